"""The picture in docs/design.md against the imports of the code."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "avbalance"
FLOORS = 9
"""At most so many."""


def picture() -> list[list[str]]:
    """The boxes of each floor, from the top."""
    block = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    return [line.partition("|")[0].split() for line in block.splitlines()]


def box(module: str) -> str:
    """The file or folder below src/avbalance that holds a module."""
    return module.split(".")[1]


def imports() -> set[tuple[str, str]]:
    """(box, box that it imports from)."""
    found = set()
    for file in SOURCES.rglob("*.py"):
        own = file.relative_to(SOURCES).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module == "avbalance":
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avbalance."):
                names = [box(node.module or "")]
            elif isinstance(node, ast.Import):
                names = [box(alias.name) for alias in node.names if alias.name.startswith("avbalance.")]
            found |= {(own, name) for name in names if name != own}
    return {pair for pair in found if pair[0] != "__init__"}  # which imports all when `load` is called


def test_the_picture_shows_every_file_and_folder_once() -> None:
    shown = [name for floor in picture() for name in floor]
    there = {path.stem for path in SOURCES.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(shown) == sorted(there - {"__init__"})


def test_every_import_leads_down_the_picture() -> None:
    floor_of = {name: number for number, floor in enumerate(picture()) for name in floor}
    assert [pair for pair in sorted(imports()) if floor_of[pair[0]] >= floor_of[pair[1]]] == []
    assert len(picture()) <= FLOORS


def test_every_folder_answers_a_question_in_its_first_sentence() -> None:
    for file in SOURCES.rglob("__init__.py"):
        if file.parent != SOURCES:
            sentence = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
            assert "?" in sentence, file.parent.name
