"""Printed cells of a table, and the table as Markdown."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from avbalance.results import escape
from avbalance.results.columns.base import Header
from avbalance.results.relations import RELATIONS

EVALUATED = "evaluated on generated data"
RULES = {
    "welch": "by Welch's t-test over seeds alone",
    "paired": "by the paired t-test over seeds alone",
    "fdr": "by the false discovery rate (Benjamini and Hochberg)",
}
"""Names of `claims.OTHERS`."""


class Cell(NamedTuple):
    """One printed cell; `mark` is best, tied or empty; `paper` and `difference` may be empty."""

    text: str
    mark: str
    paper: str
    difference: str


class Line(NamedTuple):
    """One printed row."""

    label: str
    cells: list[Cell]


def number(value: float, digits: int, sign: bool = False) -> str:
    """A rounded number with a true minus sign; `sign` also writes a plus."""
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "−")


def cell_text(record: Mapping[str, Any], digits: int) -> str:
    """Text such as `92.1 ± 0.6`; with the number of seeds if an interval or a run is missing."""
    n, num_seeds = record["n"], record["num_seeds"]
    if num_seeds == 0:
        return "–"
    if n == 0:
        return "failed"
    text = number(record["mean"], digits)
    if record["exact"]:
        return text
    if n > 1:
        text += f" ± {number(record['half_width'], digits)}"
    seeds = f"n={n}" if n == num_seeds else f"n={n}/{num_seeds}"
    return text if 1 < n == num_seeds else f"{text} ({seeds})"


def plain_cell(value: float | str | None, digits: int) -> str:
    """A text, a number, or a dash where there is none."""
    if isinstance(value, str):
        return value
    return "–" if value is None else number(value, digits)


def lines(frame: pd.DataFrame, columns: Sequence[Header]) -> list[Line]:
    """Printed rows of the frame, in its order."""
    digits = {column.name: column.digits for column in columns}
    table: dict[str, Line] = {}
    for entry in frame.to_dict("records"):
        record = {str(name): value for name, value in entry.items()}
        places = digits[record["column"]]
        paper = "" if pd.isna(record["expected"]) else number(record["expected"], places)
        difference = "" if pd.isna(record["difference"]) else number(record["difference"], places, sign=True)
        cell = Cell(cell_text(record, places), record["mark"], paper, difference)
        table.setdefault(record["row"], Line(record["label"], [])).cells.append(cell)
    return list(table.values())


def has_paper(frame: pd.DataFrame, columns: Sequence[Header]) -> list[bool]:
    """True for each column in which the paper has a number."""
    return [bool(frame.loc[frame["column"] == column.name, "expected"].notna().any()) for column in columns]


def heading(column: Header) -> str:
    """Name and unit."""
    return f"{column.heading}, {column.unit}" if column.unit else column.heading


def interval(claim: Mapping[str, Any]) -> tuple[str, str]:
    """A claim's difference and its 95 % interval as text."""
    if claim["difference"] is None:
        return "no runs", "–"
    digits = claim["digits"]
    if claim["unit"] == "times":
        return f"{number(claim['difference'], digits)} times", "exact"
    difference = f"{number(claim['difference'], digits, sign=True)} {claim['unit']}".strip()
    if claim["low"] is None or claim["high"] is None:
        return difference, "none from one seed"
    if claim["low"] == claim["high"] and p_value(claim) == "–":
        return difference, "exact"
    low, high = (number(claim[end], digits, sign=True) for end in ("low", "high"))
    return difference, f"{low} to {high}"


def p_value(claim: Mapping[str, Any]) -> str:
    """Corrected p of a claim as text; tables of older code have none."""
    p = claim.get("adjusted_p")
    return "–" if p is None else p_text(p)


def p_text(p: float) -> str:
    """A p with three decimals."""
    return "< 0.001" if p < 0.001 else number(p, 3)


def comparison(claim: Mapping[str, Any], labels: Mapping[str, str], columns: Sequence[Header]) -> str:
    """The two sides of a claim's comparison: two rows in a column, or two columns of a row."""
    headings = {column.name: column.heading for column in columns}
    what, left, right = headings[claim["metric"]], labels[claim["left"]], labels.get(claim["right"], "paper")
    relation = RELATIONS[claim["relation"]]
    left, right = relation.subject.format(left), relation.subject.format(right)
    if claim["metric"] != claim["right_metric"]:
        what, left, right = left, what, headings[claim["right_metric"]]
    less = claim.get("less", 0.0)
    by = f" {'−' if less > 0 else '+'} {abs(less):g}" if less else ""
    condition = claim.get("condition", "")
    kind = "one" if "at least" in condition else relation.decisive
    notes = [f"{kind} of {len(claim['pairs'])}"] * (len(claim["pairs"]) > 1)
    notes += [f"claimed: {condition}"] * bool(condition)
    rest = f" ({'; '.join(notes)})" if notes else ""
    return f"{what}: {left} {relation.operator} {right}{by}{rest}"


def each_part(claim: Mapping[str, Any], labels: Mapping[str, str], columns: Sequence[Header]) -> list[list[str]]:
    """Verdict, comparison, difference, interval and p of each part of a claim about several; empty for one."""
    alone = [{**claim, **pair, "condition": "", "pairs": [pair], "adjusted_p": pair["p"]} for pair in claim["pairs"]]
    return [
        [
            verdict(each),
            comparison(each, labels, columns),
            *interval(each),
            p_value(each) + " alone" * (each["p"] is not None),
        ]
        for each in alone * (len(alone) > 1)
    ]


def verdict(claim: Mapping[str, Any]) -> str:
    """Verdict of a claim, or the words that replace it on generated data; tables of older code have no `basis`."""
    return EVALUATED if claim.get("basis") == "generated" else str(claim["verdict"])


def tally(claims: Sequence[Mapping[str, Any]]) -> str:
    """Numbers of claims that hold, fail and are undecided, those of experiments apart from formulas."""
    sentences = []
    for basis, what in (("experiment", "Experiments"), ("formula", "Formulas and exact counts")):
        counts = _count(claim["verdict"] for claim in claims if claim["basis"] == basis)
        sentences += [f"{what}: {counts}."] * bool(counts)
    experiments = [claim["others"] for claim in claims if claim["basis"] == "experiment" and "others" in claim]
    by_others = [f"{_count(each[rule]['verdict'] for each in experiments)} {what}" for rule, what in RULES.items()]
    sentences += [f"For comparison: {'; '.join(by_others)}."] * bool(experiments)
    num_generated = sum(claim["basis"] == "generated" for claim in claims)
    sentences += [f"{EVALUATED.capitalize()}: {num_generated}; no verdicts about the paper."] * bool(num_generated)
    return " ".join(sentences)


def _count(verdicts: Iterable[str]) -> str:
    """Such as `2 hold, 1 undecided`."""
    counted = Counter(verdicts)
    words = {"holds": "hold", "fails": "fail", "undecided": "undecided"}
    return ", ".join(f"{counted[each]} {word}" for each, word in words.items() if counted[each])


def trial(content: Mapping[str, Any]) -> str:
    """A trial's options and its validation accuracy in per cent."""
    result = "failed" if "failed" in content else number(100 * content["val_accuracy"], 1)
    return f"{content['options']}: {result}"


def labels_of(frame: pd.DataFrame) -> dict[str, str]:
    """{row: label}."""
    return dict(zip(frame["row"], frame["label"], strict=True))


def to_markdown(table: Mapping[str, Any], frame: pd.DataFrame, columns: Sequence[Header]) -> str:
    """The whole report of one table."""
    paper = has_paper(frame, columns)
    text = escape.markdown
    headings = [""]
    for column, has in zip(columns, paper, strict=True):
        headings += [text(heading(column))] + ["paper", "Δ"] * has
    wrap = {"best": "**{}**", "tied": "<u>{}</u>", "": "{}"}
    body = [
        [text(line.label)]
        + [
            part
            for cell, has in zip(line.cells, paper, strict=True)
            for part in [wrap[cell.mark].format(text(cell.text))] + [text(cell.paper), text(cell.difference)] * has
        ]
        for line in lines(frame, columns)
    ]
    align = ["left"] + ["right"] * (len(headings) - 1)
    parts = [
        f"# {text(table['title'])}",
        text(table["paper"]),
        f"`{table['command']}`",
        text(table["summary"]),
        tabulate(body, headings, tablefmt="pipe", colalign=align, disable_numparse=True),
        text(table["caption"]),
    ]
    if table["tuning"]:
        tuned = []
        for row in table["tuning"]:
            trials = [text(trial(each)) for each in row["trials"]]
            trials[row["chosen"]] = f"**{trials[row['chosen']]}**"
            tuned.append([text(row["label"]), "; ".join(trials)])
        names = ["", "trials and their validation accuracy in %; bold: chosen"]
        parts += [
            "## Tuning",
            text(table["tuning_caption"]),
            tabulate(tuned, names, tablefmt="pipe", disable_numparse=True),
        ]
    if table["claims"]:
        labels = labels_of(frame)
        claims = []
        for claim in table["claims"]:
            shown = text(verdict(claim)) if claim["basis"] == "generated" else f"**{verdict(claim)}**"
            numbers = (comparison(claim, labels, columns), *interval(claim), p_value(claim))
            claims.append([text(claim["text"]), shown, *map(text, numbers)])
            claims += [["", *map(text, part)] for part in each_part(claim, labels, columns)]
        names = ["claim of the paper", "verdict", "comparison", "difference", "95 % interval", "adjusted p"]
        align = ["left", "left", "left", "right", "right", "right"]
        parts += [
            "## Claims",
            tally(table["claims"]),
            tabulate(claims, names, tablefmt="pipe", colalign=align, disable_numparse=True),
            text(table["claims_caption"]),
        ]
    return "\n\n".join(parts) + "\n"
