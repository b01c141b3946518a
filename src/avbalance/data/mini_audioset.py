"""Mini-AudioSet: AudioSet without its rare classes, and with fewer clips of its common ones."""

from collections import Counter
from pathlib import Path

from numpy.random import default_rng

from avbalance.cli import UserError
from avbalance.data.audioset import FOLDER, Segment, clip_of, read_classes, read_segments
from avbalance.data.clips import Clip, Reader


class MiniAudioSet(Reader):
    """A balanced part of AudioSet, after Gradient-Blending (Wang et al., CVPR 2020).

    They "remove tiny classes and subsample the rest" to 418 classes and 243,000 videos and do not say which. Ours: the
    classes with the most training segments; of each the first k in a seeded order, with k such that `num_train` remain
    in all. Many videos have left YouTube since, so those on disk come first; an absent one is in the sample, and
    reported, only where too few are there. Other labels of a clip are left out, so are test clips that have no other.

    Args:
        num_classes: Classes that are kept; they are numbered anew in AudioSet's order.
        num_train: Training clips that are kept.
        seed: Of the order.
    """

    def __init__(self, num_classes: int = 418, num_train: int = 243_000, seed: int = 0) -> None:
        if num_classes < 2 or num_train < 1:
            raise UserError(
                f"mini_audioset.num_classes is {num_classes} and num_train {num_train}; at least 2 and 1 are needed"
            )
        self.num_classes = num_classes
        self.num_train = num_train
        self.seed = seed

    def clips(self, raw: Path) -> list[Clip]:
        """The sample of train, then all of test that has a class that is kept."""
        classes = read_classes(raw)
        train, test = (read_segments(raw, split, classes) for split in ("train", "test"))
        counts = Counter(label for segment in train for label in segment.labels)
        largest = sorted(counts, key=lambda label: (-counts[label], label))[: self.num_classes]
        number = {label: index for index, label in enumerate(sorted(largest))}
        present = {path.relative_to(raw).as_posix() for path in (raw / FOLDER / "clips").glob("*.mp4")}
        sample = self._sample(self._keep(train, number), present)
        return [clip_of(segment, "train") for segment in sample] + [
            clip_of(segment, "test") for segment in self._keep(test, number)
        ]

    def _keep(self, segments: list[Segment], number: dict[int, int]) -> list[Segment]:
        """The segments with a class that is kept, such labels alone, numbered anew."""
        kept = []
        for segment in segments:
            labels = tuple(number[label] for label in segment.labels if label in number)
            if labels:
                kept.append(Segment(segment.name, labels, segment.problem))
        return kept

    def _sample(self, segments: list[Segment], present: set[str]) -> list[Segment]:
        """The `num_train` segments that stand first in one of their classes, in the seeded order."""
        segments = sorted(segments, key=lambda segment: segment.name)
        order = default_rng(self.seed).permutation(len(segments))
        ranked: list[tuple[bool, int, int, Segment]] = []
        places: Counter[int] = Counter()
        for segment in sorted((segments[i] for i in order), key=lambda segment: segment.file not in present):
            first = min(places[label] for label in segment.labels)
            places.update(segment.labels)
            ranked.append((segment.file not in present, first, len(ranked), segment))
        return [segment for *_, segment in sorted(ranked)[: self.num_train]]
