"""Predictions of a model for every clip, and their metrics for the task of the dataset."""

import csv
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avbalance import metrics
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import Folders
from avbalance.errors import UserError
from avbalance.model import Model
from avbalance.types import Batch


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


def read_trials(folders: Folders, test: Split) -> dict[str, NDArray[np.int64]]:
    """Read {list of trials: [trials, 3]}: the places of two clips in test, and 1 if they show one person, else 0.

    A trial whose clips do not have all modalities is left out.

    Args:
        folders: The prepared modalities, any of which has the trials of the clips that all have.
        test: The test split.

    Raises:
        UserError: The file holds no trial.
    """
    file = next(iter(folders.values())) / "trials.csv"
    places = {clip: place for place, clip in enumerate(test.clips.tolist())}
    trials: dict[str, list[list[int]]] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            enrol, tested = (places.get(int(line[key])) for key in ("enrol", "test"))
            if enrol is not None and tested is not None:
                trials.setdefault(line["list"], []).append([enrol, tested, int(line["is_target"])])
    if not trials:
        raise UserError(f"{file}: holds no trial; the dataset's reader must give lists of trials")
    return {name: np.array(pairs) for name, pairs in trials.items()}


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

    Metrics are computed from float32 logits. Logits of val and test are stored as they are, masked logits by
    `metrics.ranks_or_logits`. Logits of train, which only plots use, are stored by `metrics.to_float16`.

    Returns:
        "train_logits", "val_logits", "test_logits", "test_masked_<modalities>" and "test_angle_<stream>", with
        "<split>_clip", "<split>_label" and, if clips are windows of videos, "test_video"; and "<split>_<metric>" for
        each metric of `metrics.split_metrics`.
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
        values |= _prefixed(f"{name}_", metrics.split_metrics(arrays["logits"], split.labels, split.videos))
        predictions[f"{name}_clip"], predictions[f"{name}_label"] = split.clips, split.labels
        if name == "train":
            predictions["train_logits"] = metrics.to_float16(arrays["logits"])
            continue
        for kind, array in arrays.items():
            ranked = kind.startswith("masked_")
            predictions[f"{name}_{kind}"] = metrics.ranks_or_logits(array, split.labels) if ranked else array
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
