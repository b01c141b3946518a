"""What README and docs point to is there: links, files, commands and their options."""

import contextlib
import csv
import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from dvc.cli.parser import get_main_parser
from snakemake.cli import get_argument_parser

from avbalance import plan
from avbalance.__main__ import COMMANDS
from avbalance.configuration.project import read_project

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "avbalance"
FOLDERS = ("benchmarks", "config", "results", "results/raw")
PAGES = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    *(f"{folder}/README.md" for folder in FOLDERS),
    *(f"docs/{page.name}" for page in sorted(ROOT.glob("docs/*.md"))),
]
PROGRAMS = ("python", "snakemake", "avbalance", "dvc", "make", "pytest")
EXAMPLES = {"config/datasets/birds.sha256", "./mine.yaml"}
"""Files that a reader is told to write."""


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, code) of every block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def text(page: str) -> str:
    """The page without blocks."""
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code(page: str) -> set[str]:
    """Code within lines."""
    return set(re.findall(r"`([^`\n]+)`", text(page)))


def anchors(page: str) -> set[str]:
    """What a link to the page may point to, as GitHub makes it of headings."""
    found = set(re.findall(r'<a id="([^"]+)"></a>', text(page)))
    for heading in re.findall(r"^#+ (.+)$", text(page), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        assert name not in found, f"two headings {heading!r}"
        found.add(name)
    return found


def commands(page: str) -> Iterator[list[str]]:
    """Every command that a page shows, as words, from the program on."""
    lines = [line for language, block in blocks(page) if language == "sh" for line in block.splitlines()]
    lines += sorted(line for line in code(page) if line.split()[0] in PROGRAMS and " " in line)
    for line in lines:
        for part in re.split(r"&&|\||;", line):
            words = shlex.split(part, comments=True)
            if start := next((index for index, word in enumerate(words, start=1) if word in PROGRAMS), 0):
                yield words[start - 1 :] + ["what comes in"] * ("xargs" in words)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page).replace("`", "")):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            there = (ROOT / page).parent / path if path else ROOT / page
            assert there.exists(), target
            assert not anchor or anchor in anchors(str(there.resolve().relative_to(ROOT))), target


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    written = {block.splitlines()[0].removeprefix("# ") for _, block in blocks(page)} | EXAMPLES
    for name in code(page) - written:
        is_path = "/" in name and not re.search(r"[^\w./-]", name)
        if is_path and any((place / name.split("/")[0]).exists() for place in (ROOT, SOURCES)):
            made = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False).returncode == 0
            assert made or (ROOT / name).exists() or (SOURCES / name).exists(), name


def test_the_numbers_in_the_readme_are_those_of_the_table() -> None:
    cells: dict[str, dict[str, str]] = {}
    with (ROOT / "results/tables/laptop/grid_balance.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            if row["mean"]:
                cell = f"{float(row['mean']):.1f} ± {float(row['half_width']):.1f}"
                cells.setdefault(row["label"].removeprefix("GRID s1, letters: "), {})[row["column"]] = cell
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+ ± [^|]+) \| ([^|]+) \| ([^|]+) \|$", text("README.md"), re.MULTILINE)
    assert len(rows) == 6
    for label, *numbers in rows:
        columns = ("accuracy", "acc_audio_probe", "acc_visual_probe")
        assert numbers == [cells[label][column] for column in columns], label
    face = re.search(r"a model of the face alone reaches (\d+\.\d)", text("README.md").replace("\n", " "))
    assert face
    assert cells["Concat, linear"]["acc_visual_alone"].startswith(f"{face[1]} ±")


def test_every_data_set_is_on_the_page_about_data() -> None:
    assert {file.stem for file in ROOT.glob("config/datasets/*.yaml")} <= code("docs/data.md")


def test_the_citation_file_says_what_the_project_says() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited.keys() >= {"cff-version", "message", "title", "authors"}  # what the schema of CFF 1.2.0 requires
    assert cited["cff-version"] == "1.2.0"
    assert (cited["title"], cited["version"], cited["license"]) == (
        project["name"],
        project["version"],
        project["license"],
    )


@pytest.mark.parametrize(
    "command",
    # What adding.md shows needs what it tells to write; it is run by tests/workflow/test_adding.py.
    [command for page in PAGES if page != "docs/adding.md" for command in commands(page)],
    ids=shlex.join,
)
def test_commands_are_understood(command: list[str]) -> None:
    program, *words = command
    if program == "avbalance" and words[0] in COMMANDS:
        program, words = "python", ["-m", f"avbalance.{words[0]}", *words[1:]]
    if program == "snakemake":
        if get_argument_parser().parse_args(words).config:
            read_project(ROOT, plan.parse_overrides(words[words.index("--config") + 1 :]))
    elif program == "dvc":
        get_main_parser().parse_args(words)
    elif program == "make":
        assert words[0] in re.findall(r"^(\S+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program == "pytest":
        assert [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()] == []
    elif program == "avbalance":
        assert words in (["--help"], ["--version"])
    elif words[0] == "-m" and "<" not in words[1]:
        with contextlib.redirect_stdout(io.StringIO()) as said, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [words[1], "--help"])
            with pytest.raises(SystemExit):
                import_module(words[1]).main()
        options = {word for word in words[2:] if word.startswith("-")}
        assert options <= set(re.findall(r"--?[a-z-]+", said.getvalue()))
