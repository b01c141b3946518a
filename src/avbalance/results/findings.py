"""Findings: sentences whose numbers, intervals and verdicts come from the json of tables and figures.

A template is Markdown. Each {{ }} calls a method of `Facts`, which prints a number with its interval. A word of the
sentence that rests on the number, such as "holds" or "above", is an argument: rendering fails if the number says
otherwise. Each sentence of a list item needs an interval, and text outside {{ }} may hold no decimal number.
"""

import json
import re
from collections import Counter
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from avbalance.errors import UserError
from avbalance.registry import nearest
from avbalance.results import formats
from avbalance.results.columns.base import Header

RESULTS = Path("results")
INTERVAL = re.compile(r"\[[+−]?\d[^\]]*, [+−]?\d[^\]]*\]|± \d")
TAKEN = re.compile(r"\{\{.*?\}\}|`[^`]*`|\]\([^()]*\)", re.DOTALL)
"""Parts of a template whose numbers are not typed: calls, code and addresses."""
ITEM = re.compile(r"^- (.*?)(?=^- |^\n|\n\n|\Z)", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`])")


class AbsentError(UserError):
    """A template names a table or figure that does not exist."""


class Finding(NamedTuple):
    """A sentence on the page: its Markdown, the tables that it names, and why it is left out, if it is."""

    text: str
    tables: list[str]
    problem: str


class Facts:
    """Numbers of the tables and figures of a scale, as text with intervals; `used` lists those that were asked.

    Args:
        shown: Tables and figures that may be asked; None for all that exist.
    """

    def __init__(self, scale: str, shown: Collection[str] | None = None) -> None:
        self.scale, self.shown = scale, shown
        self.used: dict[str, None] = {}
        self._read: dict[str, dict[str, Any]] = {}

    def value(self, table: str, row: str, column: str) -> str:
        """A cell of a table, such as `78.2 ± 5.2`."""
        content = self._file("tables", table)
        digits = {each["name"]: each["digits"] for each in content["columns"]}
        cells = {record["column"]: record for record in _matching(content["frame"], table, row=row)}
        return formats.cell_text(_named(cells, column, f"{table}: column"), digits[column])

    def claim(self, table: str, claim: str, verdict: str) -> str:
        """Difference of the comparison that decides a claim, such as `+2.43 points [+0.38, +2.88]`."""
        content = _named(
            {each["name"]: each for each in self._file("tables", table)["claims"]}, claim, f"{table}: claim"
        )
        _expect(f"{table}: claim {claim}", content["verdict"], verdict)
        numbers = (content["difference"], content["low"], content["high"])
        return _with_interval(numbers, content["digits"], content["unit"])

    def gain(self, figure: str, method: str, side: str, dataset: str = "all") -> str:
        """Gain of a method over joint training of equal budget; `side` is above, below or unclear."""
        return self._line(figure, method, dataset, ("gain", "low", "high"), side)

    def lead(self, figure: str, method: str, side: str) -> str:
        """Lead of a method over the hardest reference; `side` is above, below or unclear."""
        return self._line(figure, method, "all", ("lead", "lead_low", "lead_high"), side)

    def first(self, figure: str, kind: str = "gain", dataset: str = "all") -> str:
        """The method with the largest gain (or lead), with it, such as `OGM-GE, +3.2 points [+1.0, +5.4]`."""
        lines = [line for line in self._methods(figure, dataset) if line[kind] is not None]
        best = max(lines, key=lambda line: float(line[kind]))
        return f"{best['label']}, {_with_interval(_numbers(best, kind), self._digits(figure), self._unit(figure))}"

    def count(self, figure: str, side: str, kind: str = "gain", dataset: str = "all") -> str:
        """Number of methods whose gain (or lead) is on a side by its interval, such as `3 of 41`."""
        sides = [_side(_numbers(line, kind)) for line in self._methods(figure, dataset) if line[kind] is not None]
        return f"{sides.count(side)} of {len(sides)}"

    def correlation(self, figure: str, side: str, dataset: str = "all") -> str:
        """Spearman's correlation over methods, such as `−0.31 [−0.52, −0.07]`."""
        correlations = self._file("figures", figure).get("correlations", {})
        numbers = tuple(_named(correlations, dataset, f"{figure}: dataset")[:3])
        _expect(f"{figure}: correlation, {dataset}", _side(numbers), side)
        return _with_interval(numbers, 2, "")

    def verdicts(self, verdict: str) -> str:
        """Number of claims about experiments with a verdict, such as `14 of 53`."""
        return f"{self._verdicts[verdict]} of {sum(self._verdicts.values())}"

    @cached_property
    def _verdicts(self) -> Counter[str]:
        files = sorted((RESULTS / "tables" / self.scale).glob("*.json"))
        tables = [self._file("tables", file.stem) for file in files if self.shown is None or file.stem in self.shown]
        claims = [claim for table in tables for claim in table["claims"]]
        return Counter(claim["verdict"] for claim in claims if claim["basis"] == "experiment")

    def _line(self, figure: str, method: str, dataset: str, keys: tuple[str, str, str], side: str) -> str:
        (line,) = _matching(self._lines(figure), figure, method=method, dataset=dataset)
        numbers = tuple(line[key] for key in keys)
        _expect(f"{figure}: {keys[0]} of {method}, {dataset}", _side(numbers), side)
        return _with_interval(numbers, self._digits(figure), self._unit(figure))

    def _methods(self, figure: str, dataset: str) -> list[dict[str, Any]]:
        return _matching(self._lines(figure), figure, role="method", dataset=dataset)

    def _lines(self, figure: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self._file("figures", figure)["numbers"]["lines"]
        return lines

    def _header(self, figure: str) -> Header:
        columns = self._file("figures", figure)["numbers"]["columns"]
        return next(Header(**column) for column in columns if column["name"] == "gain")

    def _digits(self, figure: str) -> int:
        return self._header(figure).digits

    def _unit(self, figure: str) -> str:
        return self._header(figure).unit

    def _file(self, folder: str, name: str) -> dict[str, Any]:
        file = RESULTS / folder / self.scale / f"{name}.json"
        if not file.exists() or (self.shown is not None and name not in self.shown):
            raise AbsentError(f"{file} is missing; make it with 'snakemake --cores all --config scale={self.scale}'")
        self.used[name] = None
        return self._read.setdefault(name, json.loads(file.read_text(encoding="utf-8")))


def _named(contents: dict[str, Any], name: str, what: str) -> Any:  # noqa: ANN401
    if name not in contents:
        raise UserError(f"{what} {name!r} does not exist; {nearest(name, list(contents))}")
    return contents[name]


def _matching(lines: list[dict[str, Any]], what: str, **wanted: str) -> list[dict[str, Any]]:
    """Lines that have all wanted values."""
    for key, value in wanted.items():
        known = list(dict.fromkeys(str(line[key]) for line in lines))
        if value not in known:
            raise UserError(f"{what}: {key} {value!r} does not exist; {nearest(value, known)}")
        lines = [line for line in lines if line[key] == value]
    return lines


def _numbers(line: dict[str, Any], kind: str) -> tuple[Any, ...]:
    return (line[kind], *(line[end if kind == "gain" else f"{kind}_{end}"] for end in ("low", "high")))


def _side(numbers: tuple[Any, ...]) -> str:
    """Side of 0 on which the interval lies; unclear without one."""
    _, low, high = numbers
    return "unclear" if low is None or low <= 0 <= high else "above" if low > 0 else "below"


def _expect(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise UserError(f"{what} is {found!r}, but the sentence says {expected!r}; write it anew")


def _with_interval(numbers: tuple[Any, ...], digits: int, unit: str) -> str:
    if None in numbers:
        raise UserError("a number of the sentence has no interval; it needs two seeds")
    middle, low, high = (formats.number(value, digits, sign=True) for value in numbers)
    return " ".join(filter(None, [middle, unit, f"[{low}, {high}]"]))


def render(template: str, facts: Facts) -> str:
    """Fill a template.

    Raises:
        UserError: A name is unknown, a number contradicts its sentence, a sentence lacks its interval, or a decimal
            number is typed.
    """
    own = TAKEN.sub("", template)
    if decimal := re.search(r"\d+\.\d+", own):
        raise UserError(f"findings: {decimal[0]} is typed; take it from a table by {{{{ }}}}")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
    methods = {name: getattr(facts, name) for name in vars(Facts) if not name.startswith("_")}
    try:
        text = environment.from_string(template).render(**methods)
    except jinja2.TemplateError as error:
        raise UserError(f"findings: {error}; a {{{{ }}}} may call {', '.join(methods)}") from error
    for item in ITEM.findall(text):
        for sentence in SENTENCE.split(" ".join(item.split())):
            if not INTERVAL.search(sentence):
                raise UserError(f"findings: the sentence {sentence!r} has no interval")
    return text


def in_short(template: str, scale: str, shown: Collection[str]) -> list[Finding]:
    """Items of the template's first list, for the page; one whose tables the page lacks is left out.

    A sentence that its table contradicts is replaced by the reason.
    """
    first_list = re.search(r"(?:^- .*\n(?:  .*\n)*)+", template, re.MULTILINE)
    findings = []
    for item in ITEM.findall(first_list[0] if first_list else ""):
        facts = Facts(scale, shown)
        try:
            text = " ".join(render(f"- {item}", facts).removeprefix("- ").split())
            findings.append(Finding(text, list(facts.used), ""))
        except AbsentError:
            continue
        except UserError as error:
            findings.append(Finding("", list(facts.used), str(error)))
    return findings
