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
import torch
import yaml
from numpy.typing import NDArray

from avbalance import cli, stamps, store
from avbalance.data.packed import Split
from avbalance.data.prepared import Folders, folders_of, numbers_of, read_description
from avbalance.evaluate import read_trials
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
    splits: Mapping[str, Split], counts: Mapping[str, list[int]], clips: Mapping[str, pd.DataFrame]
) -> list[dict[str, Any]]:
    """One line a split: clips, videos, minutes, classes, the least, median and most clips of a class, all of the clips
    that every modality has; and {modality: number of its clips}.

    Args:
        clips: {modality: its clips.csv}.
    """
    lines = []
    for name, split in splits.items():
        label, count = split.labels, counts[name]
        line: dict[str, Any] = {"split": name, "clips": len(label), "classes": np.count_nonzero(count)}
        line |= {"least": min(count), "median": np.median(count), "most": max(count)}
        line["videos"] = len(label) if split.videos is None else len(np.unique(split.videos))
        line["windows"] = line["videos"] < len(label)
        own = {modality: each[each["split"] == name] for modality, each in clips.items()}
        line["by_modality"] = {modality: len(each) for modality, each in own.items()}
        first = next(iter(own.values()))
        line["minutes"] = pd.to_numeric(first.get("seconds", pd.Series())).sum() / 60
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


def merge_reports(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """{"dropped", "repaired", "unused": (clip or file, why)} from the reports of modalities, each entry once.

    An entry that other modalities do not have begins with the names of those that have it.
    """
    merged: dict[str, list[tuple[str, str]]] = {}
    for kind in ("dropped", "repaired", "unused"):
        having: dict[tuple[str, str], list[str]] = {}
        for modality, report in reports.items():
            for entry in report.get(kind, []):
                named = entry["clip"] if "clip" in entry else entry["file"], entry["why"]
                if modality not in (known := having.setdefault(named, [])):
                    known.append(modality)
        merged[kind] = [
            (name, why if len(modalities) == len(reports) else f"{', '.join(modalities)}: {why}")
            for (name, why), modalities in sorted(having.items())
        ]
    return merged


def describe_report(named: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Summarise entries of a report: their number, the number for each reason (ignoring digits), and the entries."""
    reasons = Counter(re.sub(r"\d+(?:[.,]\d+)*", "#", why) for _, why in named).most_common()
    return {
        "number": len({name for name, _ in named}),
        "reasons": reasons[:NUM_REASONS],
        "more_reasons": max(len(reasons) - NUM_REASONS, 0),
        "named": named[:NUM_NAMED],
        "more_named": max(len(named) - NUM_NAMED, 0),
    }


def describe_lengths(clips: Iterable[pd.DataFrame]) -> dict[str, audit_pictures.Histogram]:
    """Histograms of the clips' lengths, each by the first of the tables `clips.csv` that has them."""
    lengths: dict[str, audit_pictures.Histogram] = {}
    for column, title, unit, finest in (
        ("seconds", "Length of the clips", "s", 0.01),
        ("num_frames", "Frames of the clips before any are chosen", "frames", 1.0),
    ):
        for table in clips:
            values = pd.to_numeric(table.get(column, pd.Series())).dropna().to_numpy(np.float64)
            if len(values) and title not in lengths:
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
    folders: Folders,
    splits: Mapping[str, Split],
    chosen: Mapping[int, list[Place]],
    classes: Sequence[str],
    clips: pd.DataFrame,
) -> tuple[list[audit_pictures.Drawing], list[dict[str, Any]]]:
    """Return the drawings of the sample clips, and [{"class", "clips": [{"number", "split", "name", "labels"}]}].

    Args:
        clips: The clips.csv of the first modality.
    """
    places = [place for group in chosen.values() for place in group]
    arrays = {
        modality: [splits[split].stored(modality, np.array([index]))[0] for split, index in places]
        for modality in folders
    }
    # Where clips have no names of their own, they are named by what they were made of.
    columns = ["clip"] if "clip" in clips else list(clips.columns[3:])
    numbers = {split: numbers_of(next(iter(folders.values())), split) for split in splits}
    rows = clips[["split", "index", *columns]].itertuples(index=False, name=None)
    names = {(split, int(numbers[split][int(index)])): " · ".join(parts) for split, index, *parts in rows}
    groups, number = [], 0
    for label, group in chosen.items():
        cards = []
        for split, index in group:
            given = splits[split].labels[index]
            own = np.flatnonzero(given) if given.ndim else [given]
            said = ", ".join(classes[int(each)] for each in own)
            cards.append(
                {"number": number, "split": split, "name": names[split, splits[split].clips[index]], "labels": said}
            )
            number += 1
        groups.append({"class": classes[label], "clips": cards})
    return audit_pictures.draw_all(arrays), groups


def describe_trials(folders: Folders, test: Split, listed: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Return the number of pairs of each list of trials, of those that show the same person, and of those left out.

    Args:
        listed: {list: {"used", "dropped"}} of one modality.
    """
    lines = []
    for name, pairs in (read_trials(folders, test) if listed else {}).items():
        dropped = sum(listed[name].values()) - len(pairs)
        lines.append({"list": name, "used": len(pairs), "dropped": dropped, "targets": int(pairs[:, 2].sum())})
    return lines


def describe_artifacts(folders: Folders) -> list[dict[str, Any]]:
    """{"modalities", "key", "recipe", "provenance"} of each folder.

    Raises:
        UserError: A folder is absent or damaged.
    """
    having: dict[Path, list[str]] = {}
    for modality, folder in folders.items():
        having.setdefault(folder, []).append(modality)
    return [
        {
            "modalities": ", ".join(modalities),
            "key": folder.name.rpartition(".")[2],
            **{name: value for name, value in store.open_artifact(folder).items() if name != "files"},
        }
        for folder, modalities in having.items()
    ]


def read_reports(folders: Folders) -> dict[str, dict[str, Any]]:
    """{modality: its report.json}."""
    return {
        modality: json.loads((folder / "report.json").read_text(encoding="utf-8"))
        for modality, folder in folders.items()
    }


def render(recipe: Mapping[str, Any]) -> str:
    """The page.

    Args:
        recipe: Its settings are {"about": {"title", "licence", "citation", "scale", "faces", "source"}, "parameters":
            of the preparation}, where `faces` is {modality: its detector}, and `source` is {"files": [...]} or
            {"generator": {name: options}} as in the dataset's YAML; its inputs {"data_<modality>": folder of the
            prepared modality}.

    Raises:
        UserError: A prepared modality is absent or damaged.
    """
    folders = folders_of(recipe["inputs"])
    artifacts = describe_artifacts(folders)
    dataset, reports = read_description(folders), read_reports(folders)
    splits = {split: Split(folders, split, torch.device("cpu")) for split in dataset["splits"]}
    clips = {
        modality: pd.read_csv(folder / "clips.csv", dtype=str, keep_default_na=False)
        for modality, folder in folders.items()
    }
    labels = {name: split.labels for name, split in splits.items()}
    classes = name_classes(dataset, labels)
    counts = count_classes(labels, len(classes))
    chosen = choose_samples(labels, counts)
    drawings, samples = describe_samples(folders, splits, chosen, classes, next(iter(clips.values())))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        about=recipe["settings"]["about"],
        generated="generator" in recipe["settings"]["about"]["source"],
        num_sources=NUM_SOURCES,
        artifacts=artifacts,
        dataset=dataset,
        task=dataset.get("task", "single_label"),
        parameters=yaml.safe_dump(
            recipe["settings"]["parameters"], sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        ),
        splits=describe_splits(splits, counts, clips),
        class_tables=describe_classes(counts, classes),
        trials=describe_trials(folders, splits["test"], dataset.get("trials", {})),
        num_found=next(iter(reports.values())).get("num_clips"),
        reports={kind: describe_report(named) for kind, named in merge_reports(reports).items()},
        lengths=describe_lengths(clips.values()),
        drawings=drawings,
        samples=samples,
    )


def summarise_dataset(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary for the results page; argument as for `render`, which has verified the dataset.

    Returns:
        {"title", "licence", "citation", "faces": {modality: detector}, "task", "num_classes", "classes": names, of few
        classes only, "clips": {split: number}, "dropped", "repaired": numbers of clips or files}.
    """
    folders, about = folders_of(recipe["inputs"]), recipe["settings"]["about"]
    dataset, merged = read_description(folders), merge_reports(read_reports(folders))
    return {
        "title": about["title"],
        "licence": about["licence"],
        "citation": about["citation"],
        "faces": about["faces"],
        "task": dataset.get("task", "single_label"),
        "num_classes": dataset["num_classes"],
        "classes": dataset["classes"] if dataset["num_classes"] <= MOST_CLASSES else [],
        "clips": {split: len(Split(folders, split, torch.device("cpu"))) for split in dataset["splits"]},
        **{kind: describe_report(merged[kind])["number"] for kind in ("dropped", "repaired")},
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
