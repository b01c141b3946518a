"""Cells of a table on the page: interval plots, other tests, and columns that say the same in every row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avbalance.results import formats
from avbalance.results.columns.base import Header, match_column

TESTS = {"p": "this project's test", "welch_p": "Welch's t", "paired_p": "paired t"}
"""{key of a cell's record: name of the test of the difference from the best row}."""
Records = Mapping[str, Sequence[Mapping[str, Any]]]


def spans(records: Records) -> dict[str, list[str]]:
    """Places of each cell's interval on the scale of its column, as CSS variables in per cent: {row: [column]}.

    A cell without an interval has none. A few wide intervals do not squeeze the others: they end at the edge.
    """
    by_column = [_scale(list(column)) for column in zip(*records.values(), strict=True)]
    styles = [
        [_style(record, scale) for record, scale in zip(of_row, by_column, strict=True)] for of_row in records.values()
    ]
    return dict(zip(records, styles, strict=True))


def _has_interval(record: Mapping[str, Any]) -> bool:
    return record["n"] > 1 and not record["exact"] and record["half_width"] is not None


def _scale(column: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Ends of a column's scale: those of the means, with the usual half width around them."""
    known = [record for record in column if _has_interval(record)]
    if not known:
        return 0.0, 1.0
    means = [record["mean"] for record in known]
    around = float(np.median([record["half_width"] for record in known]))
    return min(means) - around, max(means) + around


def _style(record: Mapping[str, Any], scale: tuple[float, float]) -> str:
    low, high = scale
    if not _has_interval(record) or high <= low:
        return ""
    mean, half_width = record["mean"], record["half_width"]
    ends = {"l": mean - half_width, "m": mean, "h": mean + half_width}
    places = {name: np.clip(100 * (value - low) / (high - low), 0, 100) for name, value in ends.items()}
    return ";".join(f"--{name}:{place:.0f}" for name, place in places.items())


def p_values(records: Records) -> dict[str, list[dict[str, str]]]:
    """Texts of each cell's p by each test, {row: [{key of TESTS: text}]}; a cell that is not compared has none."""
    return {
        row: [{key: formats.p_text(record[key]) for key in TESTS if record.get(key) is not None} for record in of_row]
        for row, of_row in records.items()
    }


def find_shared(
    records: Records, columns: Sequence[Header], datasets: Mapping[str, str | None]
) -> tuple[set[str], list[dict[str, Any]]]:
    """Columns of uni-modal models (`alone`) that have one value on each dataset, and these values.

    Args:
        datasets: {row: its dataset}.

    Returns:
        Their names, and [{"dataset": title, or "" in a table of one, "cells": [(heading, text)]}].
    """
    shared: set[str] = set()
    texts: dict[str | None, dict[str, str]] = {}
    for place, column in enumerate(columns):
        found = match_column(column.name)
        if found is None or found.kind != "alone":
            continue
        of_data: dict[str | None, set[str]] = {}
        for row, of_row in records.items():
            if of_row[place]["num_seeds"]:
                of_data.setdefault(datasets[row], set()).add(formats.cell_text(of_row[place], column.digits))
        has_paper = any(of_row[place]["expected"] is not None for of_row in records.values())
        if not has_paper and of_data and all(len(each) == 1 for each in of_data.values()):
            shared.add(column.name)
            for dataset, (text,) in of_data.items():
                texts.setdefault(dataset, {})[formats.heading(column)] = text
    titles = {datasets[row]: of_row[0]["label"].partition(": ")[0] for row, of_row in records.items()}
    several = len(texts) > 1
    return shared, [
        {"dataset": titles[dataset] if several else "", "cells": list(cells.items())}
        for dataset, cells in texts.items()
    ]
