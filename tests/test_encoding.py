"""All text is UTF-8 in every locale: whatever opens text says so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]


def unspecified(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that read or write text in the locale's encoding."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            keywords = {keyword.arg for keyword in node.keywords}
            number = len(node.args)
            if name == "read_text":
                is_text = number == 0
            elif name == "write_text":
                is_text = number == 1
            elif name in ("open", "TemporaryFile", "NamedTemporaryFile"):
                is_text = _opens_text(node)
            else:
                is_text = name in ("run", "Popen", "check_output") and bool({"text", "universal_newlines"} & keywords)
            if is_text and "encoding" not in keywords:
                yield node


def _opens_text(node: ast.Call) -> bool:
    """Whether a mode, which of a path's `open` is the first argument and else the second, is one of text."""
    if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in ("av", "tarfile"):
        return False
    modes = [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
    modes += node.args[isinstance(node.func, ast.Name) and node.func.id == "open" :][:1]
    if not modes:
        return isinstance(node.func, ast.Name) == bool(node.args)  # open(file), path.open()
    mode = modes[0].value if isinstance(modes[0], ast.Constant) else None
    return isinstance(mode, str) and re.fullmatch("[rwaxt+]+", mode) is not None


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("path.read_text(); path.write_text('a'); path.read_text('utf-8'); path.write_text('a', 'utf-8')", 2),
        ("open(file); open(file, 'w'); open(file, 'rb'); open(file, encoding='utf-8'); open(file, mode='a')", 3),
        ("path.open(); path.open('w'); path.open('wb'); path.open('r', encoding='utf-8'); av.open(file)", 2),
        ("run(command, text=True); run(command, text=True, encoding='utf-8'); run(command); Result(text=a)", 1),
        ("TemporaryFile('w+'); TemporaryFile('w+b'); tarfile.open(fileobj=stream, mode='r|')", 1),
    ],
)
def test_calls_without_an_encoding_are_found(code: str, number: int) -> None:
    assert len(list(unspecified(ast.parse(code)))) == number


def test_whatever_opens_text_says_that_it_is_utf_8() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in unspecified(ast.parse(path.read_bytes()))
    ]
    assert found == []
