"""The package: one version everywhere, all files in the wheel, and a command that works without a checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*command: str | Path, cwd: Path) -> str:
    """Output of a command that runs without this checkout's code."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `python -m build` makes: from the source distribution, which is made from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    assert archive.stat().st_size < 2_000_000
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=folder / archive.name[:-7])
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the commands of an environment with the wheel, and with the packages of this one."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=environment,
    )
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'), end='')", cwd=environment)
    Path(packages, "all.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return environment / "bin"


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["version"]


def test_hosted_tests_run_on_the_pythons_that_the_package_names() -> None:
    hosted = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    named = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    assert hosted["jobs"]["test"]["strategy"]["matrix"]["python-version"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/avbalance"]
    listed = {name.removeprefix("src/") for name in run(*command, cwd=ROOT).splitlines() if (ROOT / name).exists()}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.startswith("avbalance/")} == listed


def test_the_command_works_without_a_checkout_and_writes_a_method_that_a_row_can_name(
    programs: Path, tmp_path: Path
) -> None:
    avbalance = programs / "avbalance"
    assert run(avbalance, "--version", cwd=tmp_path) == f"avbalance {PROJECT['version']}\n"
    said = run(avbalance, "new", "balancer", "my_balancer", cwd=tmp_path)
    assert "name it in a row, balancer: 'my_balancer:MyBalancer'" in said
    assert [file.name for file in tmp_path.iterdir()] == ["my_balancer.py"]
    code = "import avbalance; from avbalance.configuration import signature as s; print(avbalance.__file__)\n"
    code += "print(s.resolve('balancer', 'my_balancer:MyBalancer'))"
    place, resolved = run(programs / "python", "-c", code, cwd=tmp_path).splitlines()
    assert Path(place).is_relative_to(programs.parent)
    assert resolved == "{'my_balancer:MyBalancer': {'weight': 1.0}}"
