"""Metrics of stored predictions: for clips, videos, classes and verification trials."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def label_ranks(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Count the classes ranked before the label, [n]; among equal logits the first class ranks first.

    Args:
        logits: [n, classes], or other scores that rank the classes.
        labels: [n].
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    # Not `logits > own`: a NaN must not count as correct.
    ahead = ~(logits <= own) | ((logits == own) & earlier)
    return np.asarray(ahead.sum(axis=1), np.int32)


def correct(predicted: NDArray[Any], labels: NDArray[np.integer], k: int = 1) -> NDArray[np.bool_]:
    """Return True for each clip whose label is among the first k classes, [n].

    Args:
        predicted: Logits [n, classes], or their `label_ranks`, [n].
        labels: [n].
        k: Number of classes that are compared with the label.
    """
    return np.asarray((predicted if predicted.ndim == 1 else label_ranks(predicted, labels)) < k)


def to_float16(values: NDArray[np.float32]) -> NDArray[np.floating]:
    """Round the values to three digits, in float16, if it can hold all of them; otherwise return them as they are."""
    with np.errstate(over="ignore"):
        small = values.astype(np.float16)
    return small if np.isfinite(small).all() else values


def ranks_or_logits(
    logits: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.float32] | NDArray[np.int32]:
    """Reduce logits that are only ranked later to `label_ranks`; keep the logits if a clip has several classes."""
    return logits if labels.ndim == 2 else label_ranks(logits, labels)


def clip_losses(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return each clip's cross-entropy log sum_j exp(z_j) - z_y in nats, [n], computed in float64.

    If a clip has several classes, the loss is its binary cross-entropy: the mean over c of log(1 + exp(z_c)) - y_c z_c.

    Args:
        logits: [n, classes], any float.
        labels: [n]; or [n, classes], zeros and ones.
    """
    z = logits.astype(np.float64)
    if labels.ndim == 2:
        return np.asarray((np.logaddexp(0, z) - labels * z).mean(axis=1))
    z -= z.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels])


def accuracy(predicted: NDArray[Any], labels: NDArray[np.integer]) -> float:
    """Share of correctly classified clips, in [0, 1]; arguments as for `correct`."""
    return float(correct(predicted, labels).mean())


def cross_entropy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean of `clip_losses`, in nats."""
    return float(clip_losses(logits, labels).mean())


def macro_f1(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean over the classes that occur in the labels of the F1 score, in [0, 1]; arguments as for `correct`.

    F1_c = 2 TP_c / (|predicted c| + |labelled c|)
    """
    num_classes = logits.shape[1]
    predicted = logits.argmax(axis=1)
    hits = np.bincount(labels[predicted == labels], minlength=num_classes)
    labelled = np.bincount(labels, minlength=num_classes)
    f1 = 2 * hits / np.maximum(np.bincount(predicted, minlength=num_classes) + labelled, 1)
    return float(f1[labelled > 0].mean())


def calibration_error(logits: NDArray[np.floating], labels: NDArray[np.integer], num_bins: int = 15) -> float:
    """Expected calibration error (Guo et al., ICML 2017, eq. 3), in [0, 1]; arguments as for `correct`.

        ECE = sum_m |B_m| / n |acc(B_m) - conf(B_m)|

    B_m holds the clips whose largest probability lies in ((m - 1) / M, m / M]; conf is the mean of that probability.
    """
    confidence = by_video(logits, labels, None)[0].max(axis=1)
    place = np.ceil(confidence * num_bins).astype(np.int64) - 1
    # |B_m| cancels: what remains is the sum of hits minus confidences in each bin.
    excess = np.bincount(place, correct(logits, labels) - confidence, minlength=num_bins)
    return float(np.abs(excess).sum() / len(labels))


def by_video(
    logits: NDArray[np.floating], labels: NDArray[np.integer], videos: NDArray[np.integer] | None
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Average the probabilities of each video's clips.

    G-Blend (Wang et al., CVPR 2020, section 3.1) averages the predictions of a video's clips, but does not say whether
    before or after the softmax. Here they are averaged after it, or after the sigmoid if a clip has several classes.

    Args:
        logits: [n, classes].
        labels: [n] or [n, classes], the same for all clips of a video.
        videos: [n], ascending, the video of each clip; None if every clip is a video of its own.

    Returns:
        Probabilities [videos, classes] and labels of the videos.
    """
    z = logits.astype(np.float64)
    if labels.ndim == 2:
        probabilities = np.exp(-np.logaddexp(0, -z))
    else:
        probabilities = np.exp(z - z.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    if videos is None:
        return probabilities, labels
    starts = np.unique(videos, return_index=True)[1]
    num_clips = np.diff(np.append(starts, len(videos)))
    return np.add.reduceat(probabilities, starts) / num_clips[:, None], labels[starts]


class ByClass(NamedTuple):
    """Ranking of the clips by each class's scores, [classes]; NaN for a class without positives or negatives.

    Attributes:
        precision: Average precision, sum_t (R_t - R_{t-1}) P_t over the thresholds t from the highest: precision P_t
            and recall R_t among the clips that score t or more.
        area: Area under the ROC curve: the share of the pairs of a positive and a negative clip in which the positive
            one scores higher; a tie counts one half.
    """

    precision: NDArray[np.float64]
    area: NDArray[np.float64]


def by_class(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> ByClass:
    """Return both measures of each class; scores and labels (zeros and ones) are [n, classes]."""
    measures = ByClass(np.full(labels.shape[1], np.nan), np.full(labels.shape[1], np.nan))
    for c, positive in enumerate(labels.T):
        hits, false_alarms = _sweep(scores[:, c], positive)
        if hits[-1] and false_alarms[-1]:
            accepted = hits[1:] + false_alarms[1:]
            measures.precision[c] = (np.diff(hits) * hits[1:] / accepted).sum() / hits[-1]
            measures.area[c] = np.trapezoid(hits, false_alarms) / (hits[-1] * false_alarms[-1])
    return measures


def mean_over_classes(values: NDArray[np.float64]) -> float:
    """Mean over the classes that have a value; NaN if none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def trial_scores(embeddings: NDArray[np.floating], trials: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the cosine of each trial's two clips, [trials].

    Args:
        embeddings: [n, dim], of length 1.
        trials: [trials, 3]: places of the two clips, and 1 if they show one person, else 0.
    """
    parts = np.array_split(trials, len(trials) // 10_000 + 1)  # so that only a part's pairs are in memory
    pairs = ((embeddings[part[:, place]].astype(np.float32) for place in (0, 1)) for part in parts)
    return np.concatenate([np.einsum("td,td->t", *pair) for pair in pairs])


def equal_error_rate(scores: NDArray[np.floating], is_target: NDArray[np.integer]) -> float:
    """Equal error rate, in [0, 1]: the share of missed targets at the threshold where it equals that of false alarms.

    Every score is a threshold and gives an operating point of both shares. They are interpolated linearly between the
    two neighbouring points between which the order of the two shares changes.

    Args:
        scores: [trials], higher if both clips show one person.
        is_target: [trials], 1 or 0.

    Returns:
        NaN without targets or without others.
    """
    accepted, missed = _error_rates(scores, is_target)
    excess = missed - accepted  # falls from 1 to -1
    after = int(np.argmax(excess <= 0))
    if np.isnan(excess[after]):
        return float("nan")
    share = excess[after - 1] / (excess[after - 1] - excess[after])
    return float(accepted[after - 1] + share * (accepted[after] - accepted[after - 1]))


def min_dcf(scores: NDArray[np.floating], is_target: NDArray[np.integer], p_target: float = 0.01) -> float:
    """Return the least detection cost over all thresholds, with costs C_miss = C_fa = 1.

        DCF = (p P_miss + (1 - p) P_fa) / min(p, 1 - p)

    As NIST and VoxCeleb do, it is divided by the cost of accepting all or none, whichever is less; so it is at most 1.

    Args:
        scores: [trials].
        is_target: [trials], 1 or 0.
        p_target: p, prior probability of a target.

    Returns:
        NaN without targets or without others.
    """
    accepted, missed = _error_rates(scores, is_target)
    return float((p_target * missed + (1 - p_target) * accepted).min() / min(p_target, 1 - p_target))


def split_metrics(
    logits: NDArray[np.floating], labels: NDArray[np.integer], videos: NDArray[np.integer] | None
) -> dict[str, float]:
    """Return the metrics of a split by name; arguments as for `by_video`.

    They are accuracy, video_accuracy if there are videos, and loss. If a clip has several classes, they are map and
    mauc of the videos, num_classes_scored, the number of classes that have a value, and loss.
    """
    if labels.ndim == 1:
        values = {"accuracy": accuracy(logits, labels)}
        if videos is not None:
            values["video_accuracy"] = accuracy(*by_video(logits, labels, videos))
    else:
        precision, area = by_class(*by_video(logits, labels, videos))
        values = {"map": mean_over_classes(precision), "mauc": mean_over_classes(area)}
        values["num_classes_scored"] = int((~np.isnan(precision)).sum())
    return values | {"loss": cross_entropy(logits, labels)}


def _sweep(scores: NDArray[np.floating], positive: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the positives and the negatives that score t or more, for t above all scores and then at each, falling."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # equal scores are accepted together
    hits = np.cumsum(positive[order], dtype=np.int64)[last]
    return np.append(0, hits), np.append(0, last + 1 - hits)


def _error_rates(
    scores: NDArray[np.floating], is_target: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of false alarms and of missed targets at every threshold, from the highest down."""
    hits, false_alarms = _sweep(scores, is_target)
    with np.errstate(invalid="ignore"):
        return false_alarms / false_alarms[-1], 1 - hits / hits[-1]
