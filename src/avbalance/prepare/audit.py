"""Step: write the page that documents the preprocessing of a prepared dataset."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from avbalance import cli, stamps, store
from avbalance.data.packed import MappedArray, files_of
from avbalance.prepare import audit_pictures

TEMPLATE = Path(__file__).with_name("audit.html.j2")
MOST_CLASSES = 40
"""A set with more classes has the smallest and the largest named only."""
NUM_EXTREMES = 5
NUM_NAMED = 200
NUM_REASONS = 30
NUM_SOURCES = 30
SAMPLE_CLASSES, SAMPLE_CLIPS = 6, 3

Labels = Mapping[str, NDArray[np.integer]]
"""{split: [clips], or [clips, classes] of 0 and 1}."""
Place = tuple[str, int]
"""Split and index of a clip."""


def name_classes(dataset: Mapping[str, Any], labels: Labels) -> list[str]:
    """Names of all classes; the persons of a verification's test, numbered beyond them, have none but their number."""
    names: list[str] = dataset["classes"]
    if dataset.get("task") != "verification":
        return names
    return names + [str(person) for person in range(len(names), max(label.max() for label in labels.values()) + 1)]


def count_classes(labels: Labels, num_classes: int) -> dict[str, list[int]]:
    """{split: clips of each class}."""
    return {
        split: (label.sum(axis=0) if label.ndim == 2 else np.bincount(label, minlength=num_classes)).tolist()
        for split, label in labels.items()
    }


def describe_splits(
    folder: Path, labels: Labels, counts: Mapping[str, list[int]], clips: pd.DataFrame
) -> list[dict[str, Any]]:
    """One line a split: clips, videos, minutes, classes, and the least, median and most clips of a class."""
    lines = []
    for split, label in labels.items():
        video = folder / f"{split}_video.npy"
        line: dict[str, Any] = {"split": split, "clips": len(label), "classes": np.count_nonzero(counts[split])}
        line |= {"least": min(counts[split]), "median": np.median(counts[split]), "most": max(counts[split])}
        line["videos"] = len(np.unique(np.load(video))) if video.exists() else len(label)
        line["windows"] = line["videos"] < len(label)
        line["minutes"] = pd.to_numeric(clips.loc[clips["split"] == split].get("seconds", pd.Series())).sum() / 60
        line["per_clip"] = label.sum() / max(len(label), 1) if label.ndim == 2 else 1
        lines.append(line)
    return lines


def describe_classes(counts: Mapping[str, list[int]], classes: Sequence[str]) -> list[dict[str, Any]]:
    """{title, lines: [(class, clips of each split, of all)]}: of all classes, or of the smallest and the largest."""
    columns = zip(*counts.values(), strict=True)
    lines = [(name, column, sum(column)) for name, column in zip(classes, columns, strict=True)]
    if len(lines) <= MOST_CLASSES:
        return [{"title": "Clips of each class", "lines": lines}]
    lines.sort(key=lambda line: line[2])
    return [
        {"title": f"The {NUM_EXTREMES} smallest classes", "lines": lines[:NUM_EXTREMES]},
        {"title": f"The {NUM_EXTREMES} largest classes", "lines": lines[: -NUM_EXTREMES - 1 : -1]},
    ]


def describe_report(entries: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Summarise entries of a report: their number, the number for each reason (ignoring digits), and the entries."""
    named = [(entry["clip"] if "clip" in entry else entry["file"], entry["why"]) for entry in entries]
    reasons = Counter(re.sub(r"\d+(?:[.,]\d+)*", "#", why) for _, why in named).most_common()
    return {
        "number": len({name for name, _ in named}),
        "reasons": reasons[:NUM_REASONS],
        "more_reasons": max(len(reasons) - NUM_REASONS, 0),
        "named": named[:NUM_NAMED],
        "more_named": max(len(named) - NUM_NAMED, 0),
    }


def describe_lengths(clips: pd.DataFrame) -> dict[str, audit_pictures.Histogram]:
    """Histograms of what clips.csv says of the clips' lengths."""
    lengths = {}
    for column, title, unit, finest in (
        ("seconds", "Length of the clips", "s", 0.01),
        ("num_frames", "Frames of the clips before any are chosen", "frames", 1.0),
    ):
        values = pd.to_numeric(clips.get(column, pd.Series())).dropna().to_numpy(np.float64)
        if len(values):
            lengths[title] = audit_pictures.count_lengths(values, unit, finest)
    return lengths


def choose_samples(labels: Labels, counts: Mapping[str, list[int]]) -> dict[int, list[Place]]:
    """{class: its clips to show}: classes evenly spaced, of each one clip a split where there is one."""
    present = np.flatnonzero(np.sum(list(counts.values()), axis=0))
    shown = np.unique(np.linspace(0, len(present) - 1, SAMPLE_CLASSES).round().astype(np.int64))
    samples = {}
    for number, label in enumerate(present[shown].tolist()):
        members = {
            split: np.flatnonzero(given[:, label] if given.ndim == 2 else given == label)
            for split, given in labels.items()
        }
        # Another place for every class: clips are often in the order of their speakers.
        first = [
            (split, int(found[(2 * number + 1) * len(found) // (2 * len(shown))]))
            for split, found in members.items()
            if len(found)
        ]
        more = [(split, int(index)) for split, found in members.items() for index in found[: 2 * SAMPLE_CLIPS]]
        chosen = dict.fromkeys(first + more)  # each once, those of different splits before others
        samples[label] = list(chosen)[:SAMPLE_CLIPS]
    return samples


def describe_samples(
    folder: Path,
    modalities: Iterable[str],
    labels: Labels,
    chosen: Mapping[int, list[Place]],
    classes: Sequence[str],
    clips: pd.DataFrame,
) -> tuple[list[audit_pictures.Drawing], list[dict[str, Any]]]:
    """Return the drawings of the sample clips, and [{"class", "clips": [{"number", "split", "name", "labels"}]}]."""
    places = [place for group in chosen.values() for place in group]
    arrays: dict[str, list[NDArray[Any]]] = {}
    for modality in modalities:
        mapped = {split: MappedArray(files_of(folder, split, modality)) for split in labels}
        arrays[modality] = [mapped[split].rows(np.array([index]))[0] for split, index in places]
    # Where clips have no names of their own, they are named by what they were made of.
    columns = ["clip"] if "clip" in clips else list(clips.columns[3:])
    rows = clips[["split", "index", *columns]].itertuples(index=False, name=None)
    names = {(split, int(index)): " · ".join(parts) for split, index, *parts in rows}
    groups, number = [], 0
    for label, group in chosen.items():
        cards = []
        for split, index in group:
            given = labels[split][index]
            own = np.flatnonzero(given) if given.ndim else [given]
            said = ", ".join(classes[int(each)] for each in own)
            cards.append({"number": number, "split": split, "name": names[split, index], "labels": said})
            number += 1
        groups.append({"class": classes[label], "clips": cards})
    return audit_pictures.draw_all(arrays), groups


def describe_trials(folder: Path, trials: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Return the number of pairs of each list of trials, and the number of those that show the same person."""
    if not trials:
        return []
    pairs = pd.read_csv(folder / "trials.csv", dtype={"list": str})
    targets = pairs.groupby("list")["is_target"].sum()
    return [{"list": name, **counts, "targets": int(targets.get(name, 0))} for name, counts in trials.items()]


def render(recipe: Mapping[str, Any]) -> str:
    """The page.

    Args:
        recipe: Its settings are {"about": {"title", "licence", "citation", "scale", "faces", "source"}},
            where `faces` is {modality: its detector}, and
            `source` is {"files": [...]} or {"generator": {name: options}} as in the dataset's YAML; its inputs
            {"data": folder of the prepared set}.

    Raises:
        UserError: The prepared set is absent or damaged.
    """
    folder = Path(recipe["inputs"]["data"])
    manifest = store.open_artifact(folder)
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    clips = pd.read_csv(folder / "clips.csv", dtype=str, keep_default_na=False)
    labels = {split: np.load(folder / f"{split}_label.npy") for split in dataset["splits"]}
    classes = name_classes(dataset, labels)
    counts = count_classes(labels, len(classes))
    chosen = choose_samples(labels, counts)
    drawings, samples = describe_samples(folder, dataset["modalities"], labels, chosen, classes, clips)
    settings = {key: value for key, value in manifest["recipe"]["settings"].items() if key != "classes"}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        about=recipe["settings"]["about"],
        generated="generator" in recipe["settings"]["about"]["source"],
        num_sources=NUM_SOURCES,
        key=folder.name.rpartition("-")[2],
        dataset=dataset,
        task=dataset.get("task", "single_label"),
        recipe=manifest["recipe"],
        provenance=manifest["provenance"],
        parameters=yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100),
        splits=describe_splits(folder, labels, counts, clips),
        class_tables=describe_classes(counts, classes),
        trials=describe_trials(folder, dataset.get("trials", {})),
        num_found=report.get("num_clips"),
        reports={kind: describe_report(report.get(kind, [])) for kind in ("dropped", "repaired", "unused")},
        lengths=describe_lengths(clips),
        drawings=drawings,
        samples=samples,
    )


def summarise_dataset(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary for the results page; argument as for `render`, which has verified the dataset.

    Returns:
        {"title", "licence", "citation", "faces": {modality: detector}, "task", "num_classes", "classes": names, of few
        classes only, "clips": {split: number}, "dropped", "repaired": numbers of clips or files}.
    """
    folder, about = Path(recipe["inputs"]["data"]), recipe["settings"]["about"]
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {
        "title": about["title"],
        "licence": about["licence"],
        "citation": about["citation"],
        "faces": about["faces"],
        "task": dataset.get("task", "single_label"),
        "num_classes": dataset["num_classes"],
        "classes": dataset["classes"] if dataset["num_classes"] <= MOST_CLASSES else [],
        "clips": dataset["splits"],
        **{kind: describe_report(report.get(kind, []))["number"] for kind in ("dropped", "repaired")},
    }


def run(recipe: dict[str, Any], out: Path, stamp: Path) -> None:
    """Write the page `out`, which ends in .html, a summary in .json beside it, and the stamp."""
    # A file's name need not be text; a byte that is not text is written as \udc...
    page = render(recipe).encode(errors="backslashreplace")
    summary = json.dumps(summarise_dataset(recipe), indent=1, allow_nan=False) + "\n"
    stamps.write(out.with_suffix(""), {".html": page, ".json": summary}, stamp, recipe)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
