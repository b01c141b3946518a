"""Seeded slips in the committed configuration: each is refused in one line that names the file and the key."""

import random
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from avbalance.configuration import checks
from avbalance.configuration.project import read_project
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
NUM_SLIPS = 100
NUMBERS = (".nan", ".inf", "-.inf", "1e99", "-1e99", "ten", "true")
FREE_TEXT = re.compile(
    r"(.+\.)?(title|licence|citation|paper|label|text|request|classes\.\d+)"
    r"|.*files\.\d+\.(path|urls\.\d+|index\.\d+|list|contents|sha256|md5)"  # found when it is fetched
    r"|rows\.above_\d+\.layers\.\d+"  # found when the formula is computed
)
"""Values that may be anything."""
FREE_NAME = re.compile(
    r"rows\.[^.]+|combined\.[^.]+|claims\.[^.]+|sources\.[^.]+|datasets\.[^.]+\.snapshots\.\d+|[0-9a-f]{12}.*"
)
"""Keys that are names of one's own; where another place names them, that place is refused."""


class Scalar(NamedTuple):
    """A key or a value in a file: where it stands, what it says."""

    file: Path
    where: str
    is_key: bool
    node: yaml.ScalarNode


def scalars(file: Path, node: yaml.Node, where: str = "") -> Iterator[Scalar]:
    """All keys and values in a file, each once: what an alias repeats does not count again."""
    if isinstance(node, yaml.ScalarNode):
        yield Scalar(file, where, False, node)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from scalars(file, item, f"{where}.{index}".lstrip("."))
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = f"{where}.{key.value}".lstrip(".")
            yield Scalar(file, inside, True, key)
            yield from scalars(file, value, inside)


def slip(found: Scalar, chance: random.Random) -> str | None:
    """What stands there instead; None where anything may."""
    said, is_text = str(found.node.value), found.node.tag.endswith(":str")
    if found.is_key:
        return None if FREE_NAME.fullmatch(found.where) else misspelt(said, chance)
    if found.node.tag.endswith((":int", ":float")):
        return chance.choice(NUMBERS)
    return misspelt(said, chance) if is_text and not FREE_TEXT.fullmatch(found.where) else None


def misspelt(name: str, chance: random.Random) -> str:
    """The name with one letter more, in another case, or doubled."""
    place = chance.randrange(len(name))
    return (
        name[:place]
        + chance.choice([name[place].swapcase(), name[place] * 2, "x"])
        + name[place + 1 :]
        + "q" * (chance.random() < 0.2)
    )


@pytest.fixture(scope="module")
def slips() -> list[tuple[Scalar, str]]:
    """A sample of slips, the same each time."""
    chance = random.Random(0)
    everywhere = []
    for file in sorted((ROOT / "config").rglob("*.yaml")):
        node = yaml.compose(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
        everywhere += list({id(each.node): each for each in scalars(file, node)}.values())
    chance.shuffle(everywhere)
    made = ((each, slip(each, chance)) for each in everywhere)
    wrong = [(each, text) for each, text in made if text is not None and text != each.node.value]
    return wrong[:NUM_SLIPS]


def test_a_slip_is_refused_in_one_line(
    slips: list[tuple[Scalar, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = cache(lambda text, path: checks.read_yaml(path))
    monkeypatch.setattr(
        "avbalance.configuration.project.read_yaml", lambda path: read(path.read_text(encoding="utf-8"), path)
    )  # one of 88 differs
    shutil.copytree(ROOT / "config", tmp_path / "config")
    accepted = []
    for found, text in slips:
        file = tmp_path / found.file.relative_to(ROOT)
        before = file.read_text(encoding="utf-8")
        start, end = found.node.start_mark.index, found.node.end_mark.index
        quote = found.node.style or ""
        file.write_text(before[:start] + quote + text + quote + before[end:], encoding="utf-8")
        try:
            read_project(tmp_path, {})
        except UserError as error:
            said = str(error)
            key = next(part for part in reversed(found.where.split(".")) if not part.isdigit())
            if "\n" in said or len(said) > 600 or file.name not in said or (key not in said and text not in said):
                accepted.append(f"{found.file.name}: {found.where}: {text!r}: said {said}")
        else:
            accepted.append(f"{found.file.name}: {found.where}: {found.node.value!r} -> {text!r}")
        finally:
            file.write_text(before, encoding="utf-8")
    assert accepted == []
