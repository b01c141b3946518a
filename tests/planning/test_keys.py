import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from avbalance import registry, source, store
from avbalance.planning import keys

SOURCES = Path(keys.__file__).parents[1]


def forget(*modules: ModuleType) -> None:
    for module in modules or (source, keys):
        for each in vars(module).values():
            if hasattr(each, "cache_clear") and each.__module__ == module.__name__:
                each.cache_clear()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in which step uses helper, helper uses deep, and nobody uses other."""
    folder = tmp_path / "pkg"
    folder.mkdir()
    files = {
        "__init__": "",
        "step": "from pkg.helper import f\nimport json\n\ndef run(x):\n    return f(x)\n",
        "helper": "from . import deep\n\ndef f(x):\n    return deep.g(x) + 1\n",
        "deep": "BASE = 3\n\ndef g(x):\n    if x > 9:\n        raise ValueError('large')\n    return x + BASE\n\n"
        "def unused(x):\n    return x\n",
        "other": "y = 1\n",
    }
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pkg", raising=False)
    return folder


def code() -> str:
    forget()
    return keys.code_of(["pkg.step:run"])


def edit(file: Path, *changes: tuple[str, str]) -> None:
    content = file.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in content
        content = content.replace(before, after)
    file.write_text(content, encoding="utf-8")


def test_code_is_every_definition_used_directly_or_through_others(package: Path) -> None:
    found = {f"{each.module}.{each.name}" for each in keys.reach(["pkg.step:run"]) if each.name}
    assert found == {"pkg.step.run", "pkg.helper.f", "pkg.deep.g", "pkg.deep.BASE"}


SAME = {
    "comment": ("    return x + BASE", "    # a comment\n    return x + BASE"),
    "docstring": ("def g(x):\n", 'def g(x):\n    """Return a sum."""\n'),
    "layout": ("def g(x)", "def g(\n    x,\n)"),
    "annotations": ("def g(x)", "def g(x: int) -> int"),
    "message of an error": ("'large'", "f'{x} is larger than 9'"),
    "unused code": ("def unused(x):\n    return x", "def unused(x):\n    return 2 * x"),
    "new code": ("BASE = 3\n", "BASE = 3\nMORE = 4\n"),
}
OTHER = {
    "expression": ("x + BASE", "x - BASE"),
    "constant": ("BASE = 3", "BASE = 4"),
    "condition of an error": ("x > 9", "x > 8"),
    "kind of error": ("raise ValueError", "raise TypeError"),
    "name from outside": ("BASE = 3", "from math import pi as BASE"),
    "statement that runs at import": ("BASE = 3\n", "BASE = 3\nprint(BASE)\n"),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_changes_no_number_changes_no_key(package: Path, change: tuple[str, str]) -> None:
    before = code()
    edit(package / "deep.py", change)
    assert code() == before


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_may_change_a_number_changes_the_key(package: Path, change: tuple[str, str]) -> None:
    before = code()
    edit(package / "deep.py", change)
    assert code() != before


def test_a_field_named_like_a_module_does_not_use_the_module(package: Path) -> None:
    (package / "step.py").write_text("from pkg import other\n\nclass run:\n    other: int = 1\n", encoding="utf-8")
    assert {each.module for each in keys.reach(["pkg.step:run"])} == {"pkg.step"}


def test_an_edit_elsewhere_changes_nothing(package: Path) -> None:
    before = code()
    (package / "other.py").write_text("y = 2\n", encoding="utf-8")
    assert code() == before


def rename(package: Path) -> None:
    (package / "deep.py").rename(package / "shallow.py")
    edit(package / "helper.py", ("from . import deep", "from . import shallow"), ("deep.g", "shallow.g"))


def move(package: Path) -> None:
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").write_text("", encoding="utf-8")
    (package / "deep.py").rename(package / "inner" / "deep.py")
    edit(package / "helper.py", ("from . import deep", "from pkg.inner.deep import g"), ("deep.g", "g"))


def split(package: Path) -> None:
    edit(package / "deep.py", ("BASE = 3\n", "from pkg.constants import BASE\n"))
    (package / "constants.py").write_text("BASE = 3\n", encoding="utf-8")


def merge(package: Path) -> None:
    deep = (package / "deep.py").read_text(encoding="utf-8")
    edit(package / "helper.py", ("from . import deep\n", deep), ("deep.g", "g"))


@pytest.mark.parametrize("change", [rename, move, split, merge])
def test_files_may_be_renamed_moved_split_and_merged(package: Path, change: Callable[[Path], None]) -> None:
    before = code()
    change(package)
    assert code() == before


def test_two_definitions_of_one_name_that_change_places_change_the_key(package: Path) -> None:
    (package / "deep.py").write_text("def g(x):\n    return x\n", encoding="utf-8")
    (package / "other.py").write_text("def g(x):\n    return 2 * x\n", encoding="utf-8")
    step = "from pkg import deep, other\n\ndef run(x):\n    return deep.g(x) - other.g(x)\n"
    (package / "step.py").write_text(step, encoding="utf-8")
    before = code()
    edit(package / "step.py", ("deep.g(x) - other.g(x)", "other.g(x) - deep.g(x)"))
    assert code() != before


def test_definitions_that_use_each_other_have_a_key(package: Path) -> None:
    (package / "step.py").write_text(
        "def run(x):\n    return again(x)\n\ndef again(x):\n    return x and run(x - 1)\n", encoding="utf-8"
    )
    assert {each.name for each in keys.reach(["pkg.step:run"])} == {"run", "again", ""}
    assert re.fullmatch("[0-9a-f]{12}", code())


def test_hashes_do_not_depend_on_the_python_version(package: Path) -> None:
    # The dump names fields that hold something; 3.12 gave functions and classes an empty `type_params`.
    before = code()
    tree = source.tree_of("pkg.deep")
    forget(keys)
    for statement in tree.body[1:]:
        statement.type_params = []  # type: ignore[attr-defined]
        statement._fields += ("type_params",)
    assert keys.code_of(["pkg.step:run"]) == before


def test_training_reaches_its_loop_but_no_method_and_no_plumbing() -> None:
    reached = {each.module for each in keys.reach(["avbalance.train:run"])}
    assert {"avbalance.train", "avbalance.model", "avbalance.data.packed", "avbalance.balancers.base"} <= reached
    methods = {registry.locate(kind, name)[0] for kind in registry.KINDS for name in registry.registered(kind)} - {
        "avbalance.balancers.base"
    }
    assert not methods & reached
    assert not keys.PLUMBING & reached


@pytest.mark.parametrize("module", sorted(keys.PLUMBING))
def test_plumbing_exists(module: str) -> None:
    assert source.source_of(module).exists()


def test_registries_hold_names_and_nothing_else() -> None:
    # keys.py leaves the packages' __init__.py out of every key, which is right only if they compute nothing.
    for file in (SOURCES / "avbalance").rglob("__init__.py"):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            assert isinstance(statement, ast.Expr | ast.Assign), file
            ast.literal_eval(statement.value)


def test_a_key_is_twelve_digits_and_ignores_the_order_of_settings() -> None:
    assert store.digest({"a": 1, "b": 2}) == store.digest({"b": 2, "a": 1})
    # printf '{"a": 1}' | sha256sum
    assert store.digest({"a": 1}) == "f9d86028c6e0"


def test_the_code_of_an_outside_method_includes_what_it_inherits_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heir.py").write_text(
        "from avbalance.balancers.ogm_ge import OGMGE\nclass Mine(OGMGE): pass\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"heir", "avbalance.balancers.ogm_ge"} <= {each.module for each in keys.reach(["heir:Mine"])}
