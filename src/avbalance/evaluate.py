"""Predictions of a model for every clip, and their metrics for the task of the dataset."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avbalance import metrics
from avbalance.data.packed import Batches, Split
from avbalance.model import Model
from avbalance.types import Batch

NUM_SEEN = 20
"""Number of training clips, with evenly spaced numbers, whose logits a run stores: the most that a figure shows."""


@torch.no_grad()
def predict(
    model: Model, batches: Iterable[Batch], precision: torch.dtype, wanted: Collection[str] = ("logits",)
) -> dict[str, NDArray[np.float32]]:
    """Predict all clips in one pass, in order.

    Args:
        model: Model to evaluate; its mode stays as it is.
        batches: Batches of any sizes.
        precision: Data type of the encoders' arithmetic.
        wanted: `logits`, `masked`, `subsets`, `embedding`, `angle`.

    Returns:
        "logits", [n, num_classes]; "masked_<modality>", of the same shape, and for `subsets` of two or more but not
        all modalities "masked_<modality>+<modality>"; "embedding", [n, dim], of `Head.embedding`; "angle_<stream>",
        [n], of `Model.angles`.
    """
    was_training = model.training
    model.eval()
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for batch in batches:
        with torch.autocast(batch.labels.device.type, precision, enabled=precision != torch.float32):
            output = model(batch.inputs)
            arrays = {"logits": output.logits} if "logits" in wanted else {}
            if "masked" in wanted:
                arrays |= {f"masked_{name}": logits for name, logits in model.masked(output).items()}
            for size in range(2, len(model.encoders)) if "subsets" in wanted else ():
                arrays |= {f"masked_{names}": logits for names, logits in model.masked(output, size).items()}
            if "embedding" in wanted:
                arrays["embedding"] = model.head.embedding(output.streams)
            if "angle" in wanted:
                arrays |= {f"angle_{name}": angle for name, angle in model.angles(output, batch.labels).items()}
        for name, values in arrays.items():
            parts.setdefault(name, []).append(values.cpu().numpy())
    model.train(was_training)
    return {name: np.concatenate(of_batches) for name, of_batches in parts.items()}


def mean_loss(model: Model, batches: Iterable[Batch], precision: torch.dtype) -> float:
    """Return the mean of `metrics.clip_losses` over all clips; arguments as for `predict`. No logits are kept."""
    losses = [
        metrics.clip_losses(predict(model, [batch], precision)["logits"], batch.labels.cpu().numpy())
        for batch in batches
    ]
    return float(np.concatenate(losses).mean())


def classify(
    model: Model, splits: Mapping[str, Split], batch_size: int, precision: torch.dtype
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Return predictions and metrics of every split, for a test split with the classes of the training split.

    All arrays are stored by `metrics.to_float16`, masked logits by `metrics.ranks_or_logits`; metrics are those of the
    stored logits. Of train, whose logits only plots use, the logits of `NUM_SEEN` clips are stored.

    Returns:
        "val_logits", "test_logits", "test_masked_<modalities>" and "test_angle_<stream>", with "<split>_clip",
        "<split>_label" and, if clips are windows of videos, "test_video"; "train_clip" and "train_label";
        "seen_logits", "seen_clip" and "seen_label" of the chosen clips of train; and "<split>_<metric>" for each metric
        of `metrics.split_metrics`.
    """
    predictions: dict[str, NDArray[Any]] = {}
    values: dict[str, float] = {}
    for name, split in splits.items():
        wanted = ["logits"]
        if name == "test" and len(model.encoders) > 1:
            wanted += ["masked", "subsets"]
        if name == "test" and split.labels.ndim == 1:
            wanted.append("angle")
        arrays = predict(model, Batches(split, batch_size), precision, wanted)
        stored: dict[str, NDArray[Any]] = {
            kind: metrics.ranks_or_logits(array, split.labels)
            if kind.startswith("masked_")
            else metrics.to_float16(array)
            for kind, array in arrays.items()
        }
        values |= _prefixed(f"{name}_", metrics.split_metrics(stored["logits"], split.labels, split.videos))
        described = {"clip": split.clips, "label": split.labels}
        predictions |= _prefixed(f"{name}_", described)
        if name == "train":
            numbers = np.linspace(split.clips[0], split.clips[-1], NUM_SEEN).round()
            places = np.unique(np.searchsorted(split.clips, numbers))
            predictions |= {f"seen_{kind}": array[places] for kind, array in {**described, **stored}.items()}
        else:
            predictions |= _prefixed(f"{name}_", stored)
    if splits["test"].videos is not None:
        predictions["test_video"] = splits["test"].videos
    return predictions, values


def score_trials(
    model: Model,
    splits: Mapping[str, Split],
    trials: Mapping[str, NDArray[np.int64]],
    batch_size: int,
    precision: torch.dtype,
) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Return predictions and metrics of verification: the test split shows persons who are not among the classes.

    The score of a trial is the cosine of two embeddings. Logits of thousands of persons would take gigabytes, so none
    are stored, and the training split is left out.

    Returns:
        "test_embedding", "test_clip", "test_label" and "trials_<list>"; and "val_<metric>" for each metric of
        `metrics.split_metrics`, "test_eer_<list>" and "test_min_dcf_<list>".
    """
    val, test = splits["val"], splits["test"]
    logits = predict(model, Batches(val, batch_size), precision)["logits"]
    values = _prefixed("val_", metrics.split_metrics(logits, val.labels, val.videos))
    embedding = predict(model, Batches(test, batch_size), precision, ("embedding",))["embedding"]
    values |= _prefixed("test_", _trial_metrics(embedding, trials))
    clips = {"test_clip": test.clips, "test_label": test.labels}
    return {"test_embedding": embedding, **clips, **_prefixed("trials_", trials)}, values


def _trial_metrics(embedding: NDArray[np.floating], trials: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
    """{"eer_<list>", "min_dcf_<list>"} of embeddings [clips, dim]."""
    values = {}
    for name, pairs in trials.items():
        scores = metrics.trial_scores(embedding, pairs)
        values[f"eer_{name}"] = metrics.equal_error_rate(scores, pairs[:, 2])
        values[f"min_dcf_{name}"] = metrics.min_dcf(scores, pairs[:, 2])
    return values


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def validation_metrics(model: Model, val: Split, batch_size: int, precision: torch.dtype) -> dict[str, float]:
    """Return the metrics of an epoch on the validation split.

    Returns:
        "val_<metric>" for each metric of `metrics.split_metrics`. For a joint model on clips of one class each also
        "val_acc_masked_<modality>", the accuracy of its masked logits, and "val_logit_<modality>", their mean for the
        true class (MMCosine, Xu et al., ICASSP 2023, Fig. 3).
    """
    joint = len(model.encoders) > 1 and val.labels.ndim == 1
    arrays = predict(model, Batches(val, batch_size), precision, ("logits", "masked") if joint else ("logits",))
    values = _prefixed("val_", metrics.split_metrics(arrays.pop("logits"), val.labels, val.videos))
    for name, logits in arrays.items():
        values[f"val_acc_{name}"] = metrics.accuracy(logits, val.labels)
        own = np.take_along_axis(logits, val.labels[:, None], axis=1)
        values[f"val_logit_{name.removeprefix('masked_')}"] = float(own.mean())
    return values


def peek_at_test(
    model: Model,
    splits: Mapping[str, Split],
    trials: Mapping[str, NDArray[np.int64]],
    batch_size: int,
    precision: torch.dtype,
) -> dict[str, float]:
    """Return the metrics of an epoch on test and on a sample of train, for reports only: they must decide nothing.

    Returns:
        "seen_<metric>" for each metric of `metrics.split_metrics`, on as many training clips, evenly spaced, as
        validation has; and "test_<metric>" for the same metrics, or for those of the trials.
    """
    train, test = splits["train"], splits["test"]
    places = np.unique(np.linspace(0, len(train) - 1, len(splits["val"])).round().astype(np.int64))
    logits = predict(model, Batches(train, batch_size, subset=places), precision)["logits"]
    seen = metrics.split_metrics(logits, train.labels[places], None)
    if trials:
        embedding = predict(model, Batches(test, batch_size), precision, ("embedding",))["embedding"]
        unseen = _trial_metrics(embedding, trials)
    else:
        logits = predict(model, Batches(test, batch_size), precision)["logits"]
        unseen = metrics.split_metrics(logits, test.labels, test.videos)
    return _prefixed("seen_", seen) | _prefixed("test_", unseen)
