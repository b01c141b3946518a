"""Mini-AudioSet: AudioSet without its rare classes, and with fewer clips of its common ones."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from numpy.random import default_rng

from avbalance.data.audioset import AudioSet
from avbalance.data.clips import Clip, Reader
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.ranges import Count, Whole


class MiniAudioSet(Reader):
    """A balanced part of AudioSet (Gemmeke et al., ICASSP 2017), after Gradient-Blending (Wang et al., CVPR 2020).

    They "remove tiny classes and subsample the rest" to 418 classes and 243,000 videos and do not say which. Ours: the
    classes with the most training segments; of each the first k in a seeded order, with k such that `num_train` remain
    in all. Many videos have left YouTube since, so those on disk come first; an absent one is in the sample, and
    reported, only where too few are there. Other labels of a clip are left out, so are test clips that have no other.

    Args:
        num_classes: Number of classes that are kept; they are renumbered in the order of AudioSet.
        num_train: Training clips that are kept.
        seed: Of the order.
    """

    def __init__(self, num_classes: Count = 418, num_train: Count = 243_000, seed: Whole = 0) -> None:
        if num_classes < 2 or num_train < 1:
            raise UserError(
                f"mini_audioset.num_classes is {num_classes} and num_train {num_train}; at least 2 and 1 are needed"
            )
        self.num_classes = num_classes
        self.num_train = num_train
        self.seed = seed

    def clips(self, raw: Path) -> list[Clip]:
        """Return the sample of train, then all clips of test with a class that is kept."""
        listed = [(clip, clip.label) for clip in AudioSet().clips(raw) if isinstance(clip.label, tuple)]
        counts = Counter(label for clip, labels in listed if clip.split == "train" for label in labels)
        largest = sorted(counts, key=lambda label: (-counts[label], label))[: self.num_classes]
        number = {label: index for index, label in enumerate(sorted(largest))}
        kept = [
            replace(clip, label=tuple(number[label] for label in labels if label in number))
            for clip, labels in listed
            if not number.keys().isdisjoint(labels)
        ]
        present = {file for pattern in AudioSet.media for file in RawFiles(raw).matching(pattern)}
        sample = self._sample([clip for clip in kept if clip.split == "train"], present)
        return sample + [clip for clip in kept if clip.split == "test"]

    def _sample(self, clips: list[Clip], present: set[str]) -> list[Clip]:
        """The `num_train` clips that stand first in one of their classes, in the seeded order."""
        clips = sorted(clips, key=lambda clip: clip.name)
        order = default_rng(self.seed).permutation(len(clips))
        ranked: list[tuple[bool, int, int, Clip]] = []
        places: Counter[int] = Counter()
        for clip in sorted((clips[i] for i in order), key=lambda clip: clip.visual not in present):
            assert isinstance(clip.label, tuple)
            first = min(places[label] for label in clip.label)
            places.update(clip.label)
            ranked.append((clip.visual not in present, first, len(ranked), clip))
        return [clip for *_, clip in sorted(ranked)[: self.num_train]]
