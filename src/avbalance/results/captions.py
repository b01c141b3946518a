"""Captions of tables in words."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from avbalance.results.columns.base import Column
from avbalance.results.measure import Values
from avbalance.results.statistics import ALPHA, TEST
from avbalance.store import open_artifact

OWN = "an own copy, {}; not comparable with the paper, whose numbers are left out."
GENERATED = "Generated data ({}): these numbers only show that everything runs."


def duration(seconds: float) -> str:
    """Seconds in the largest sensible unit."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def warn(generated: Iterable[str], own: Mapping[str, str]) -> str:
    """Sentences, each with a blank, about generated datasets and own copies; empty without any.

    Args:
        generated: Titles of the generated datasets.
        own: As of `count_own`.
    """
    copies = "".join(f"{title}: {OWN.format(counts)} " for title, counts in own.items())
    return copies + (GENERATED.format(", ".join(generated)) + " " if generated else "")


def count_own(folders: Mapping[str, str]) -> dict[str, str]:
    """Number of clips used and listed, in words, of own copies.

    Args:
        folders: {title: folder of the prepared dataset}.
    """
    counts = {}
    for title, folder in folders.items():
        open_artifact(Path(folder))
        num_listed = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))["num_clips"]
        with (Path(folder) / "clips.csv").open(encoding="utf-8", newline="") as file:
            used = Counter(
                split for split, _ in dict.fromkeys((row["split"], row["clip"]) for row in csv.DictReader(file))
            )
        splits = ", ".join(f"{number:,} {split}" for split, number in used.items())
        counts[title] = f"on {used.total():,} of {num_listed:,} clips ({splits})"
    return counts


def summarise_runs(settings: Mapping[str, Any], provenance: Mapping[str, Any], own: Mapping[str, str]) -> str:
    """One line: scale, seeds, clips, runs, time, device."""
    seeds = sorted({entry["seed"] for entries in settings["rows"].values() for entry in entries})
    clips = "no" if provenance["num_clips"] is None else f"{provenance['num_clips']:,}"
    apart = provenance["num_clips_apart"]
    shared = f", those that all runs have, of up to {provenance['num_clips'] + apart:,}" if apart else ""
    gradient = provenance["probe_gradient"]
    solved = "" if gradient is None else f" Probes are solved until no entry of the gradient exceeds {gradient:.0e}."
    of_runs = f"{provenance['num_runs']} runs, {duration(provenance['seconds'])} of training"
    trained = of_runs if provenance["num_runs"] else "only probes are read, made"
    warning = warn(settings["generated"], own)
    return (
        f"{warning}Scale {settings['scale']}; seeds {', '.join(map(str, seeds))}; {clips} test clips{shared}; "
        f"{trained} on {' and '.join(provenance['devices']) or 'no device'}.{solved}"
    )


def explain_table(
    frame: pd.DataFrame, columns: Sequence[Column], values: Values, joined: Mapping[str, Sequence[str]]
) -> str:
    """Meaning of numbers, marks and dashes."""
    num_seeds = int(frame["num_seeds"].max())
    meaning = (
        f"Mean over n = {num_seeds} seeds ± half width of the 95 % t-interval of that mean; where n differs, "
        "the cell says so, and a run that failed is counted as missing."
        if num_seeds > 1
        else "One seed (n=1), so no interval; claims and marks rest on the spread of the clips alone."
    )
    if frame["expected"].notna().any():
        meaning += " Δ: obtained minus paper."
    sentences = dict.fromkeys(sentence for column in columns for sentence in column.captions)
    meaning += "".join(f" {sentence}" for sentence in sentences)
    labels = dict(zip(frame["row"], frame["label"], strict=True))
    for row, parts in joined.items():
        of = ", ".join(labels[part] for part in parts)
        meaning += f" {labels[row]}: right where all of {of} are; the five best by the product of their probabilities."
    if (frame["mark"] != "").any():
        meaning += (
            " Bold: best of its column on its data; underlined: not distinguishable from the best (p times the number "
            f"of pairs of rows is {ALPHA} or more). {TEST}"
        )
    return meaning + _remarks(columns, values, labels)


def _remarks(columns: Sequence[Column], values: Values, labels: Mapping[str, str]) -> str:
    """Remarks of all cells, those of several columns or rows joined."""
    headings_of: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for column in columns:
        by_remark: dict[str, list[str]] = {}
        for row, cells in values.items():
            by_remark.setdefault(cells[column.name].remark, []).append(row)
        by_remark.pop("", None)
        for remark, rows in by_remark.items():
            headings_of.setdefault((remark, tuple(rows)), []).append(column.heading)
    return "".join(
        f" {', '.join(headings)}"
        + (f" of {', '.join(labels[row] for row in rows)}" if len(rows) < len(values) else "")
        + f": {remark}."
        for (remark, rows), headings in headings_of.items()
    )
