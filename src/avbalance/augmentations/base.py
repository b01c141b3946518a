"""Base class of augmentations."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from avbalance.augmentations.crops import Boxes, Size

# Constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the step of its counter and the rounds that mix it.
STEP = np.uint64(0x9E3779B97F4A7C15)
ROUNDS = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


class Augmentation:
    """One box a clip in each epoch, mirrored or not with equal probability.

    All frames of a clip share the box, and so do its modalities that are pictures. The draws for a clip depend on
    the seed of the epoch and on the clip alone, not on its batch. Options are the constructor's keywords.

    Attributes:
        num_draws: Number of uniform numbers that `boxes` needs for a clip.
    """

    num_draws: ClassVar[int]

    def __call__(self, seed: tuple[int, ...], clips: NDArray[np.int64], stored: Size, seen: Size) -> Boxes:
        """The boxes of these clips.

        Args:
            seed: Seed of the epoch.
            clips: [batch], places in the split.
            stored: Height and width of a stored picture.
            seen: Height and width of the picture that an encoder sees.
        """
        numbers = uniform(seed, clips, 1 + self.num_draws)
        return Boxes(self.boxes(numbers[:, 1:], stored, seen), numbers[:, 0] < 0.5)

    def boxes(self, numbers: NDArray[np.float64], stored: Size, seen: Size) -> NDArray[np.int64]:
        """Top, left, height and width, [batch, 4], in pixels of the stored picture.

        Args:
            numbers: [batch, num_draws], in [0, 1).
            stored, seen: As above.
        """
        raise NotImplementedError


def uniform(seed: tuple[int, ...], clips: NDArray[np.int64], num: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), [batch, num], a function of the seed and of each clip: SplitMix64 at its own counter."""
    (key,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
    counters = clips.astype(np.uint64)[:, None] * np.uint64(num) + np.arange(num, dtype=np.uint64)
    bits: NDArray[np.uint64] = key + counters * STEP
    for shift, factor in ROUNDS:
        bits = (bits ^ (bits >> np.uint64(shift))) * factor
    bits = bits ^ (bits >> np.uint64(31))
    return np.ldexp((bits >> np.uint64(11)).astype(np.float64), -53)


def place(numbers: NDArray[np.float64], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole offsets from 0 to `room`, all equally likely, from numbers in [0, 1)."""
    return np.floor(numbers * (room + 1)).astype(np.int64)
