"""The command `avbalance`, in a copy of the project: methods from templates, and methods that stay outside."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import Checkout, copy_of

from avbalance import check, new
from avbalance.__main__ import COMMANDS
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
RIGHT = """
from torch import Tensor
from avbalance.balancers.base import Balancer
from avbalance.fusions.concat import Concat
from avbalance.types import Batch, Output
class Half(Balancer):
    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        return {name: 0.5 * value for name, value in super().losses(output, batch).items()}
class Heir(Concat): pass
class NotANumber(Balancer):
    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        return {name: value * float("nan") for name, value in super().losses(output, batch).items()}
class TooShort(Concat):
    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value[:, 1:] for name, value in features.items()}
class Nothing: pass
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return copy_of(ROOT, tmp_path_factory.mktemp("commands") / "project")


def avbalance(checkout: Checkout, *arguments: str, check: bool = True) -> str:
    paths = f"{checkout.path / 'src'}:{checkout.path}"
    return checkout.run(sys.executable, "-m", "avbalance", *arguments, check=check, PYTHONPATH=paths)


def test_help_lists_every_command_without_torch_or_pandas() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; from avbalance.__main__ import main; main(); " + (
        "print(*{'torch', 'pandas', 'rich', 'pydantic'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    *help_lines, heavy = done.stdout.splitlines()
    assert heavy == ""
    assert [line.split()[0] for line in help_lines if line.startswith("  ")] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_of_its_own(command: str, project: Checkout) -> None:
    assert f"usage: avbalance {command}" in avbalance(project, command, "--help")


def test_an_unknown_command_is_one_line(project: Checkout) -> None:
    said = avbalance(project, "statsu", check=False)
    assert said == "error: 'statsu' is not a command of avbalance; did you mean 'status'?\n"


def test_the_console_script_is_the_module() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("avbalance")], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.startswith("usage: avbalance COMMAND")


def test_every_template_passes_lint_types_and_tests(project: Checkout) -> None:
    files = [
        word for kind in new.kinds() for word in avbalance(project, "new", kind, "my_method").split() if "/" in word
    ]
    written = [file.strip("',") for file in files if file.endswith("my_method.py")]
    assert len(written) == 2 * len(new.kinds()) == 14
    project.run("ruff", "check", *written)
    project.run("ruff", "format", "--check", *written)
    if (ROOT / ".mypy_cache").exists():  # what `make types` has found out of the other modules
        shutil.copytree(ROOT / ".mypy_cache", project.path / ".mypy_cache")
    project.run("mypy", *(file for file in written if "/src/" in file))
    tests = [str(check.tests_of(kind).relative_to(ROOT)) for kind in new.kinds()]
    tests += [str(Path(file).relative_to(project.path)) for file in written if "/tests/" in file]
    options = ("-p", "no:cacheprovider", "--verbose", "-k", "my_method")
    said = project.run(sys.executable, "-m", "pytest", *tests, *options)
    assert [test for test in tests if f"{test} " not in said] == []
    registry = (project.path / "src/avbalance/heads/__init__.py").read_text(encoding="utf-8").splitlines()
    entries = [line for line in registry if line.startswith("    ")]
    assert entries == sorted(entries)
    assert '    "my_method": "my_method:MyMethod",' in registry
    avbalance(project, "docs")
    assert "`encoder: my_method`" in (project.path / "docs/methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("balancr", "mine", "'balancr' is not a kind with a template; did you mean 'balancer'"),
        ("balancer", "My-Method", "'My-Method' is not a name for a method"),
        ("balancer", "class", "'class' is not a name for a method"),
        ("balancer", "../mine", "'../mine' is not a name for a method"),
        ("balancer", "joint", "the balancer 'joint' exists already"),
        ("balancer", "base", "base.py: exists already"),
    ],
)
def test_a_wrong_kind_and_a_wrong_name_are_refused(kind: str, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        new.new(kind, name)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the methods above, whose modules are found; test_adding.py runs the command itself."""
    (tmp_path / "mine.py").write_text(RIGHT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", ".")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(("class_name", "kind"), [("Half", "balancer"), ("Heir", "fusion")])
def test_a_right_method_outside_has_every_property(
    class_name: str, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    check.check(f"mine:{class_name}")
    assert capfd.readouterr().out.endswith(f"mine:{class_name}: has every property that is tested for a {kind}\n")


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("class_name", "kind", "failed"),
    [
        ("NotANumber", "balancer", "test_within_four_epochs_every_parameter_gets_a_finite_gradient_and_moves"),
        ("TooShort", "fusion", "test_streams_have_the_declared_names_and_shapes"),
    ],
)
def test_a_wrong_method_outside_fails_with_the_property_s_name(
    class_name: str, kind: str, failed: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=f"^mine:{class_name}: lacks a property that every {kind} has; see the lines"):
        check.check(f"mine:{class_name}")
    assert failed in capfd.readouterr().out


@pytest.mark.parametrize(
    ("class_name", "said"),
    [
        ("Hlaf", "has no class 'Hlaf'; did you mean 'Half'?"),
        ("Nothing", "mine:Nothing: has no base class of a method; inherit from one of avbalance.encoders.base"),
    ],
)
def test_what_is_not_a_method_is_one_line(class_name: str, said: str, outside: Path) -> None:
    command = [sys.executable, "-m", "avbalance", "check", f"mine:{class_name}"]
    done = subprocess.run(command, cwd=outside, capture_output=True, encoding="utf-8", check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert said in text
