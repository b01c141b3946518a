import sys
from pathlib import Path

import pytest

from avbalance import keys, registry, source


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in which step imports helper, helper imports deep, and nobody imports other."""
    folder = tmp_path / "pkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "step.py").write_text("from pkg.helper import f\nimport json\n", encoding="utf-8")
    (folder / "helper.py").write_text("from . import deep\n\ndef f(x):\n    return deep.g(x) + 1\n", encoding="utf-8")
    (folder / "deep.py").write_text("def g(x):\n    return x\n", encoding="utf-8")
    (folder / "other.py").write_text("y = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pkg", raising=False)
    forget()
    return folder


def forget() -> None:
    for cached in (keys._reach, source.tree_of, keys.module_hash, keys._imports, keys._is_code):
        cached.cache_clear()


def code(**equivalent: str | dict[str, str] | None) -> dict[str, str]:
    forget()
    return keys.code_of(["pkg.step"], equivalent)


def test_code_is_every_project_module_reached_by_imports(package: Path) -> None:
    assert sorted(code()) == ["pkg.deep", "pkg.helper", "pkg.step"]


@pytest.mark.parametrize(
    "cosmetic",
    [
        "def g(x):\n    # a comment\n    return x\n",
        'def g(x):\n    """What g does."""\n    return x\n',
        '"""A module."""\n\n\ndef g(\n    x,\n):\n    return (x)\n',
    ],
)
def test_comments_layout_and_docstrings_change_nothing(package: Path, cosmetic: str) -> None:
    before = code()
    (package / "deep.py").write_text(cosmetic, encoding="utf-8")
    assert code() == before


def test_an_edit_in_an_imported_module_changes_its_hash_alone(package: Path) -> None:
    before = code()
    (package / "deep.py").write_text("def g(x):\n    return 2 * x\n", encoding="utf-8")
    after = code()
    assert [module for module in before if before[module] != after[module]] == ["pkg.deep"]


def test_a_renamed_module_counts_as_what_it_was(package: Path) -> None:
    before = code()
    now = {"pkg.old": before.pop("pkg.deep")}
    assert code(**{now["pkg.old"]: now}) == before | now


def test_an_edit_elsewhere_changes_nothing(package: Path) -> None:
    before = code()
    (package / "other.py").write_text("y = 2\n", encoding="utf-8")
    assert code() == before


def test_an_edit_judged_harmless_keeps_the_old_hash(package: Path) -> None:
    before = code()
    (package / "deep.py").write_text("def g(x):\n    return x + 0\n", encoding="utf-8")
    after = code()["pkg.deep"]
    assert code(**{after: before["pkg.deep"]}) == before


def test_a_new_module_judged_harmless_does_not_count(package: Path) -> None:
    before = code()
    (package / "deep.py").write_text("import pkg.other\n\ndef g(x):\n    return x\n", encoding="utf-8")
    after = code()
    assert code(**{after["pkg.deep"]: before["pkg.deep"], after["pkg.other"]: None}) == before


def test_hashes_do_not_depend_on_the_python_version(package: Path) -> None:
    # The dump names fields that hold something; 3.12 gave functions and classes an empty `type_params`.
    tree = source.tree_of("pkg.deep")
    before = keys._dump(tree)
    tree.body[0].type_params = []  # type: ignore[attr-defined]
    tree.body[0]._fields += ("type_params",)
    assert keys._dump(tree) == before


def test_training_reaches_its_loop_but_no_method_and_no_plumbing() -> None:
    forget()
    reached = keys.code_of(["avbalance.train"], {})
    assert {"avbalance.train", "avbalance.model", "avbalance.data.packed", "avbalance.balancers.base"} <= set(reached)
    methods = {
        registry.locate(kind, name)[0]
        for kind in registry.FOLDERS
        for name in registry.import_module(f"avbalance.{registry.FOLDERS[kind]}").REGISTRY
    } - {"avbalance.balancers.base"}
    assert not methods & set(reached)
    assert not keys.PLUMBING & set(reached)


def test_registries_hold_names_and_nothing_else() -> None:
    # keys.py leaves the packages' __init__.py out of every key, which is right only if they compute nothing.
    import ast

    for file in (Path(keys.__file__).parent).rglob("__init__.py"):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            assert isinstance(statement, ast.Expr | ast.Assign), file
            ast.literal_eval(statement.value)


def test_a_key_is_twelve_digits_and_ignores_the_order_of_settings() -> None:
    assert keys.digest({"a": 1, "b": 2}) == keys.digest({"b": 2, "a": 1})
    # printf '{"a": 1}' | sha256sum
    assert keys.digest({"a": 1}) == "f9d86028c6e0"


def test_the_code_of_an_outside_method_includes_what_it_inherits_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heir.py").write_text(
        "from avbalance.balancers.ogm_ge import OGMGE\nclass Mine(OGMGE): pass\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    assert {"heir", "avbalance.balancers.ogm_ge"} <= set(keys.code_of(["avbalance.train", "heir"], {}))
