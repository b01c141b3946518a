"""What runs make of a table's columns: a value for every seed and test clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.metrics import (
    by_class,
    by_video,
    clip_losses,
    correct,
    equal_error_rate,
    mean_over_classes,
    min_dcf,
    trial_scores,
)
from avbalance.provenance import peak_memory_mib
from avbalance.registry import nearest
from avbalance.results import combined as combinations
from avbalance.results import curves, layers
from avbalance.results.columns import BEST_TEST, OF_A_HEAD, P_TARGET, SHAPLEY, UNIMODAL, VERIFICATION, describe
from avbalance.results.imbalance import gap, right_with, shapley
from avbalance.results.runs import Predictions, Runs

OF_THE_MODEL = {"gflops": ("multiply_adds_per_clip", 1e9), "parameters": ("num_parameters", 1e6)}
"""{column: (name in metrics.json, its value that the column shows as 1)}."""


@dataclass
class Measured:
    """One cell's values.

    Attributes:
        values: {seed: [clips]} or {seed: [videos]} in the column's unit, or {seed: [1]} where there is none for each.
        num_seeds: How many seeds there should be; 0 where the row has no such column.
        data: The prepared data set; only values of one are of the same clips.
        exact: Without spread: computed from a formula, or of the model and not of what it learnt.
        remark: What to know of the values, or why there are none.
    """

    values: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    num_seeds: int = 0
    data: str = ""
    exact: bool = False
    remark: str = ""

    def means(self, seeds: list[int] | None = None) -> NDArray[np.float64]:
        """Mean over clips for each seed, [seeds]."""
        return np.array([self.values[seed].mean() for seed in (self.values if seeds is None else seeds)])

    def stacked(self) -> NDArray[np.float64]:
        """[seeds, clips]."""
        return np.array(list(self.values.values()))

    def enter(self, seed: int, value: NDArray[np.float64], data: str) -> None:
        """Take a seed's values, unless they are no finite numbers."""
        if np.isfinite(value).all():
            self.values[seed], self.data = value, data
        elif not self.remark:
            self.remark = "no value where a run gives no finite number"


Values = dict[str, dict[str, Measured]]
"""{row: {column: its values}}."""


def minus(left: Measured, right: Measured) -> Measured:
    """left - right on the seeds that both have; by their means where they are not of the same clips one by one."""
    found = Measured(data=left.data, exact=left.exact and right.exact)
    for seed in sorted(left.values.keys() & right.values.keys()) if left.data == right.data else ():
        a, b = left.values[seed], right.values[seed]
        found.values[seed] = a - b if a.shape == b.shape else np.array([a.mean() - b.mean()])
    return found


def measure(
    rows: Mapping[str, list[dict[str, Any]]],
    columns: Sequence[str],
    runs: Runs,
    combined: Mapping[str, list[str]] | None = None,
) -> Values:
    """Read every row's runs.

    Args:
        rows: {row: [{"seed", "run": folder, "probe": folder or None, "alone": {modality: folder}}]}.
        columns: Names.
        runs: Opens the folders.
        combined: {row: rows}: further rows, right about a clip where all of theirs are.
    """
    values = {row: {column: _cell(column, entries, runs) for column in columns} for row, entries in rows.items()}
    for row, parts in (combined or {}).items():
        folders = [{entry["seed"]: entry["run"] for entry in rows[part]} for part in parts]
        values[row] = {column: _combined_cell(row, column, folders, runs) for column in columns}
    return values


def _cell(column: str, entries: list[dict[str, Any]], runs: Runs) -> Measured:
    cell = Measured(exact=column in OF_THE_MODEL)
    for entry in entries:
        folders, logits = _sources(column, entry)
        found = [runs.predictions(folder) for folder in folders]
        predictions = [each for each in found if each is not None]
        failed = len(predictions) < len(found)
        value = _value(column, folders[0], predictions, logits, runs) if predictions and not failed else None
        cell.num_seeds += value is not None or failed
        if value is not None:
            cell.remark = cell.remark or _remark(column, predictions[0], value)
            cell.enter(entry["seed"], value, runs.data(folders[0]))
        elif predictions and not failed:
            cell.remark = cell.remark or _missing(column, predictions[0])
    return _without_meaning(cell)


def _combined_cell(row: str, column: str, folders: list[dict[int, str]], runs: Runs) -> Measured:
    """A combined row's values, from {seed: folder} of each row that it combines."""
    cell = Measured()
    if column not in combinations.COLUMNS:
        return cell
    for seed in folders[0]:
        parts = [runs.predictions(each[seed]) for each in folders]
        found = [part for part in parts if part is not None]
        value = combinations.measure(row, column, found) if len(found) == len(parts) else None
        cell.num_seeds += value is not None or len(found) < len(parts)
        if value is not None:
            # Comparable with what combines the same data sets, and with nothing else.
            cell.enter(seed, value, " and ".join(sorted(runs.data(each[seed]) for each in folders)))
    return _without_meaning(cell)


def _without_meaning(cell: Measured) -> Measured:
    """A cell of which no run has a finite number is no column of its row; its remark says so."""
    if not cell.values and cell.remark:
        cell.num_seeds = 0
    return cell


def _sources(column: str, entry: dict[str, Any]) -> tuple[list[str], str]:
    """The folders a column is computed from, none where the row has no such column, and its logits' name."""
    if column in layers.COLUMNS:
        return layers.sources(entry)
    if column == "alone_gap":
        return list(entry["alone"].values()), "test_logits"
    match = UNIMODAL.fullmatch(column)
    kind = match[3] if match else column.removesuffix("_gap")
    logits = f"test_{kind}_{match[2] if match else ''}" if kind in ("masked", "probe") else "test_logits"
    folder = entry["alone"].get(match[2]) if match and kind == "alone" else entry["probe" if kind == "probe" else "run"]
    return [folder] if folder is not None else [], logits


def _value(
    column: str, folder: str, said: Sequence[Predictions], logits: str, runs: Runs
) -> NDArray[np.float64] | None:
    """One seed's values, [clips], [videos] or [1]; None where the run or the task of its data has no such column."""
    if column in layers.COLUMNS:
        return layers.value(column, said[0], logits, runs.metrics(folder))
    predictions = said[0]
    if column in curves.COLUMNS or curves.OF_A_STREAM.fullmatch(column):
        return curves.value(column, folder, predictions, runs)
    if column == "peak_memory":
        return np.array([peak_memory_mib(runs.manifests[folder]["provenance"])])
    if column == "train_seconds":
        return np.array([runs.metrics(folder)["train_seconds"]])
    if column in OF_THE_MODEL:
        name, one = OF_THE_MODEL[column]
        figures = runs.metrics(folder)
        return np.array([figures[name] / one]) if name in figures else None
    if match := BEST_TEST.fullmatch(column):
        return _best_test(column, match[1], runs.history(folder))
    if column == "fallback":
        return _fallback(runs.history(folder))
    if OF_A_HEAD.fullmatch(column):
        return _of_a_head(column, runs.history(folder))
    if match := VERIFICATION.fullmatch(column):
        return _of_trials(column, match[1], match[2], predictions)
    if column.endswith("_gap"):
        return gap(said, logits)
    if match := SHAPLEY.fullmatch(column):
        worth = right_with(predictions) if predictions["test_label"].ndim == 1 else None
        return shapley(worth, match[1]) if worth and frozenset([match[1]]) in worth else None
    return _of_clips(column, predictions, logits)


def _fallback(history: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """In how many of a run's super-epochs no head generalised, so that weights were equal, in %, [1]."""
    if "fallback" not in history:
        return None
    numbers = history.get("super_epoch", np.ones_like(history["fallback"]))
    first = np.unique(numbers, return_index=True)[1]
    return np.array([100.0 * history["fallback"][first].mean()])


def _of_a_head(column: str, history: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """A head's weight or OGR in a run's last epoch, [1]; NaN for a weight that is a fallback."""
    if column not in history:
        return None
    if column.startswith("weight_") and "fallback" in history and history["fallback"][-1]:
        return np.array([np.nan])
    return history[column][-1:]


def _best_test(column: str, plain: str, history: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """The best of a run's epochs on test, [1]; NaN where none has a number."""
    if f"test_{plain}" not in history:
        if match := VERIFICATION.fullmatch(plain):
            start = f"test_{match[1]}_"
            listed = [name.removeprefix(start) for name in history if name.startswith(start)]
            _check_list(column, plain.removeprefix(f"{match[1]}_"), listed)
        return None
    by_epoch = history[f"test_{plain}"]
    known = by_epoch[np.isfinite(by_epoch)]
    if len(known) == 0:
        return np.array([np.nan])
    described = describe(plain)
    return np.array([(known.max() if described.better > 0 else known.min()) * (100 if described.unit == "%" else 1)])


def _of_clips(column: str, predictions: Predictions, logits: str) -> NDArray[np.float64] | None:
    """One seed's values of a column that is computed from logits."""
    labels, videos = predictions["test_label"], predictions.get("test_video")
    of_classes = _is_of_classes(column)
    if column != "loss" and of_classes != (labels.ndim == 2):
        return None
    if logits not in predictions:
        return None
    said = predictions[logits]
    if column == "loss":
        return clip_losses(said, labels)
    if of_classes:
        precision, area = by_class(*by_video(said, labels, videos))
        return 100.0 * np.array([mean_over_classes(area if column == "mauc" else precision)])
    if column.startswith("video_"):
        if videos is None:
            return None
        said, labels = by_video(said, labels, videos)
    right = correct(said, labels, k=5 if column.endswith("top5") else 1)
    return 100.0 * (~right if column == "error" else right).astype(np.float64)


def _of_trials(column: str, measure: str, listed: str | None, predictions: Predictions) -> NDArray[np.float64] | None:
    """One seed's figure of a list of trials, or of all, [1]; None where there are no trials."""
    trials = _trials(column, listed, predictions)
    if trials is None:
        return None
    scores = trial_scores(predictions["test_embedding"], trials)
    if measure == "eer":
        return 100.0 * np.array([equal_error_rate(scores, trials[:, 2])])
    return np.array([min_dcf(scores, trials[:, 2], P_TARGET[measure])])


def _trials(column: str, listed: str | None, predictions: Predictions) -> NDArray[np.int64] | None:
    """The trials of a list, or of all, [trials, 3]."""
    lists = {name.removeprefix("trials_"): trials for name, trials in predictions.items() if name.startswith("trials_")}
    if listed is not None:
        _check_list(column, listed, list(lists))
        return lists.get(listed)
    return np.concatenate(list(lists.values())) if lists else None


def _check_list(column: str, listed: str, lists: list[str]) -> None:
    if lists and listed not in lists:
        raise UserError(f"column {column!r}: {listed!r} is not a list of trials; {nearest(listed, lists)}")


def _missing(column: str, predictions: Predictions) -> str:
    """Why a run has no value of a column that others like it have."""
    if column == "probe_loss":
        return "older probes do not say what the loss of each clip is; make them anew"
    sets = [name for name in predictions if name.startswith("test_masked_")]
    if SHAPLEY.fullmatch(column) and len(sets) > 2 and not any("+" in name for name in sets):
        return "older runs do not say what two of three modalities tell; train them anew"
    return ""


def _remark(column: str, predictions: Predictions, value: NDArray[np.float64]) -> str:
    """A remark on a column on these test clips, or on a run's value; empty if there is none."""
    if column.startswith("weight_") and np.isnan(value).all():
        return "runs that ended with equal weights, for no head generalised, are left out"
    labels = predictions["test_label"]
    if _is_of_classes(column):
        left_out = int((labels.all(axis=0) | ~labels.any(axis=0)).sum())
        said = f"{left_out} of {labels.shape[1]} classes have no positive or no negative test clip and are left out"
        return said if left_out else ""
    match = VERIFICATION.fullmatch(column)
    trials = _trials(column, match[2], predictions) if match else None
    if trials is not None and len(np.unique(trials[:, 2])) == 1:
        return "no value, for either every trial shows one person or none does"
    return ""


def _is_of_classes(column: str) -> bool:
    return column.startswith(("map", "mauc"))
