"""What a trained model says of every clip, and how good that is, by the task of its data."""

import csv
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avbalance import metrics
from avbalance.data.packed import Batches, Split
from avbalance.errors import UserError
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
        wanted: `logits`, `masked`, `subsets`, `embedding`, `angle`.

    Returns:
        "logits", [n, num_classes]; "masked_<modality>", of the same shape, and of `subsets` with two or more but not
        all modalities "masked_<modality>+<modality>"; "embedding", [n, dim], as of `Head.embedding`;
        "angle_<stream>", [n], as of `Model.angles`.
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
            for size in range(2, len(model.encoders)) if "subsets" in wanted else ():
                said |= {f"masked_{names}": logits for names, logits in model.masked(output, size).items()}
            if "embedding" in wanted:
                said["embedding"] = model.head.embedding(output.streams)
            if "angle" in wanted:
                said |= {f"angle_{name}": angle for name, angle in model.angles(output, batch.labels).items()}
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
    with file.open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            trials.setdefault(line["list"], []).append([int(line[key]) for key in ("enrol", "test", "is_target")])
    if not trials:
        raise UserError(f"{file}: holds no trial; the data set's reader must give lists of trials")
    return {name: np.array(pairs) for name, pairs in trials.items()}


def mean_loss(model: Model, batches: Iterable[Batch], precision: torch.dtype) -> float:
    """Mean of `metrics.clip_losses` over all clips; arguments as of `predict`. No logits are kept."""
    losses = [
        metrics.clip_losses(predict(model, [batch], precision)["logits"], batch.labels.cpu().numpy())
        for batch in batches
    ]
    return float(np.concatenate(losses).mean())


def classify(
    model: Model, splits: Mapping[str, Split], batch_size: int, precision: torch.dtype
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Predictions and figures of every split, where test has the classes that were trained.

    Figures are of float32 logits. Those of val and test are kept as they are, masked ones as `metrics.kept` says; those
    of train, of which pictures alone are made, as `metrics.rounded` says.

    Returns:
        "train_logits", "val_logits", "test_logits", "test_masked_<modalities>" and "test_angle_<stream>", with
        "<split>_label" and, where clips are windows of videos, "test_video"; and "<split>_" with each name of
        `metrics.summarise`.
    """
    predictions: dict[str, NDArray[Any]] = {}
    figures: dict[str, float] = {}
    for name, split in splits.items():
        wanted = ["logits"]
        if name == "test":
            wanted += ["masked", "subsets"] * (len(model.encoders) > 1) + ["angle"] * (split.labels.ndim == 1)
        said = predict(model, Batches(split, batch_size), precision, wanted)
        summary = metrics.summarise(said["logits"], split.labels, split.videos)
        figures |= {f"{name}_{what}": value for what, value in summary.items()}
        predictions[f"{name}_label"] = split.labels
        if name == "train":
            predictions["train_logits"] = metrics.rounded(said["logits"])
            continue
        for what, values in said.items():
            ranked = what.startswith("masked_")
            predictions[f"{name}_{what}"] = metrics.kept(values, split.labels) if ranked else values
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

    Logits of thousands of persons would take gigabytes, so none are kept, and train is not looked at.

    Returns:
        "test_embedding", "test_label" and "trials_<list>"; and "val_" with each name of `metrics.summarise`,
        "test_eer_<list>" and "test_min_dcf_<list>".
    """
    val, test = splits["val"], splits["test"]
    logits = predict(model, Batches(val, batch_size), precision)["logits"]
    figures = {f"val_{what}": value for what, value in metrics.summarise(logits, val.labels, val.videos).items()}
    said = predict(model, Batches(test, batch_size), precision, ("embedding",))
    figures |= {f"test_{what}": value for what, value in _of_trials(said["embedding"], trials).items()}
    listed = {f"trials_{name}": pairs for name, pairs in trials.items()}
    return {"test_embedding": said["embedding"], "test_label": test.labels, **listed}, figures


def _of_trials(embedding: NDArray[np.floating], trials: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
    """{"eer_<list>", "min_dcf_<list>"} of embeddings [clips, dim]."""
    figures = {}
    for name, pairs in trials.items():
        scores = metrics.trial_scores(embedding, pairs)
        figures[f"eer_{name}"] = metrics.equal_error_rate(scores, pairs[:, 2])
        figures[f"min_dcf_{name}"] = metrics.min_dcf(scores, pairs[:, 2])
    return figures


def observe(model: Model, val: Split, batch_size: int, precision: torch.dtype) -> dict[str, float]:
    """What an epoch left, on validation.

    Returns:
        "val_" with each name of `metrics.summarise`; of a joint model on clips of one class each also
        "val_acc_masked_<modality>", the share that its masked logits tell right, and "val_logit_<modality>", its mean
        masked logit of the true class (MMCosine, Xu et al., ICASSP 2023, Fig. 3).
    """
    joint = len(model.encoders) > 1 and val.labels.ndim == 1
    said = predict(model, Batches(val, batch_size), precision, ("logits", "masked") if joint else ("logits",))
    summary = metrics.summarise(said.pop("logits"), val.labels, val.videos)
    figures = {f"val_{what}": value for what, value in summary.items()}
    for name, logits in said.items():
        figures[f"val_acc_{name}"] = metrics.accuracy(logits, val.labels)
        own = np.take_along_axis(logits, val.labels[:, None], axis=1)
        figures[f"val_logit_{name.removeprefix('masked_')}"] = float(own.mean())
    return figures


def monitor(
    model: Model,
    splits: Mapping[str, Split],
    trials: Mapping[str, NDArray[np.int64]],
    batch_size: int,
    precision: torch.dtype,
) -> dict[str, float]:
    """What an epoch left elsewhere, by which nothing may be decided.

    Returns:
        "seen_" with each name of `metrics.summarise`, on as many training clips, evenly spaced, as validation has; and
        the same, or the figures of trials, as "test_".
    """
    train, test = splits["train"], splits["test"]
    places = np.unique(np.linspace(0, len(train) - 1, len(splits["val"])).round().astype(np.int64))
    logits = predict(model, Batches(train, batch_size, subset=places), precision)["logits"]
    seen = metrics.summarise(logits, train.labels[places], None)
    if trials:
        said = predict(model, Batches(test, batch_size), precision, ("embedding",))
        of_test = _of_trials(said["embedding"], trials)
    else:
        logits = predict(model, Batches(test, batch_size), precision)["logits"]
        of_test = metrics.summarise(logits, test.labels, test.videos)
    figures = {f"seen_{what}": value for what, value in seen.items()}
    return figures | {f"test_{what}": value for what, value in of_test.items()}
