"""What a trained model says of every clip, and how good that is, by the task of its data."""

import csv
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from avbalance import metrics
from avbalance.cli import UserError
from avbalance.data.packed import Batches, Split
from avbalance.model import Model
from avbalance.types import Batch


@torch.no_grad()
def predict(
    model: Model, batches: Iterable[Batch], precision: torch.dtype, wanted: Collection[str] = ("logits",)
) -> dict[str, NDArray[np.float32]]:
    """One pass over the clips, in order.

    Args:
        model: Left in the mode in which it is.
        batches: Of any sizes.
        precision: Of the encoders.
        wanted: `logits`, `masked`, `embedding`.

    Returns:
        "logits", [n, num_classes]; "masked_<modality>", of the same shape; "embedding", [n, dim], what the head sees:
        its streams one after another, brought to length 1, so that float16 holds them.
    """
    was_training = model.training
    model.eval()
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for batch in batches:
        with torch.autocast(batch.labels.device.type, precision, enabled=precision != torch.float32):
            output = model(batch.inputs)
            said = {"logits": output.logits} if "logits" in wanted else {}
            if "masked" in wanted:
                said |= {f"masked_{name}": logits for name, logits in model.masked(output).items()}
            if "embedding" in wanted:
                said["embedding"] = normalize(torch.cat(list(output.streams.values()), dim=1))
        for name, values in said.items():
            parts.setdefault(name, []).append(values.cpu().numpy())
    model.train(was_training)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def read_trials(file: Path) -> dict[str, NDArray[np.int64]]:
    """{name of a list: [trials, 3]: places of the two clips in test, and 1 where they show one person, else 0}.

    Raises:
        UserError: The file holds no trial.
    """
    trials: dict[str, list[list[int]]] = {}
    with file.open(newline="") as lines:
        for line in csv.DictReader(lines):
            trials.setdefault(line["list"], []).append([int(line[key]) for key in ("enrol", "test", "is_target")])
    if not trials:
        raise UserError(f"{file}: holds no trial; the data set's reader must give lists of trials")
    return {name: np.array(pairs) for name, pairs in trials.items()}


def classify(
    model: Model, splits: Mapping[str, Split], batch_size: int, precision: torch.dtype
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Predictions and figures of every split, where test has the classes that were trained.

    Returns:
        "<split>_logits" and "test_masked_<modality>", float16, with "<split>_label" and, where clips are windows of
        videos, "test_video"; and "<split>_" with each name of `metrics.summarise`.
    """
    predictions: dict[str, NDArray[Any]] = {}
    figures: dict[str, float] = {}
    for name, split in splits.items():
        wanted = ("logits", "masked") if name == "test" and len(model.encoders) > 1 else ("logits",)
        said = predict(model, Batches(split, batch_size), precision, wanted)
        predictions |= {f"{name}_{what}": logits.astype(np.float16) for what, logits in said.items()}
        predictions[f"{name}_label"] = split.labels
        summary = metrics.summarise(predictions[f"{name}_logits"], split.labels, split.videos)
        figures |= {f"{name}_{what}": value for what, value in summary.items()}
    if splits["test"].videos is not None:
        predictions["test_video"] = splits["test"].videos
    return predictions, figures


def verify(
    model: Model,
    splits: Mapping[str, Split],
    trials: Mapping[str, NDArray[np.int64]],
    batch_size: int,
    precision: torch.dtype,
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Predictions and figures where test shows persons who are no classes: a trial's score is a cosine of embeddings.

    Logits of thousands of persons would take gigabytes, so none are kept, and train is not looked at again.

    Returns:
        "test_embedding", float16, "test_label" and "trials_<list>"; and "val_" with each name of `metrics.summarise`,
        "test_eer_<list>" and "test_min_dcf_<list>".
    """
    val, test = splits["val"], splits["test"]
    logits = predict(model, Batches(val, batch_size), precision)["logits"]
    figures = {f"val_{what}": value for what, value in metrics.summarise(logits, val.labels, val.videos).items()}
    said = predict(model, Batches(test, batch_size), precision, ("embedding",))
    embedding = said["embedding"].astype(np.float16)
    for name, pairs in trials.items():
        scores = metrics.trial_scores(embedding, pairs)
        figures[f"test_eer_{name}"] = metrics.equal_error_rate(scores, pairs[:, 2])
        figures[f"test_min_dcf_{name}"] = metrics.min_dcf(scores, pairs[:, 2])
    listed = {f"trials_{name}": pairs for name, pairs in trials.items()}
    return {"test_embedding": embedding, "test_label": test.labels, **listed}, figures
