"""Interface of readers, which list the clips of a dataset before anything is decoded."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from numpy.random import default_rng

SplitName = Literal["train", "val", "test"]


class ClipError(ValueError):
    """Reason why a clip cannot be used: one line, without the name of the clip."""


@dataclass(frozen=True)
class Clip:
    """One labelled piece of media.

    Attributes:
        name: Unique in its dataset, as the dataset names it.
        split: Split of the clip.
        label: Class of the clip; a tuple of all its classes, ascending, in tasks with several labels.
        visual, audio: Media files, relative to the raw folder, with `/`; the same file if it holds both modalities,
            None if the dataset lacks the modality. A still image is a file of one frame.
        landmarks: File with the landmarks of the face (see `prepare.detectors.given`).
        start, end: Start and end of the clip in the media file, in seconds; None for the whole file.
        problem: Reason why the clip cannot be used, such as an unknown label. The clip is dropped and reported.
    """

    name: str
    split: SplitName
    label: int | tuple[int, ...]
    visual: str | None = None
    audio: str | None = None
    landmarks: str | None = None
    start: float | None = None
    end: float | None = None
    problem: str = ""


class Trial(NamedTuple):
    """Names of two test clips, and whether both show the same person."""

    enrol: str
    test: str
    is_target: bool


class Reader:
    """Base of readers, which list the clips of a dataset. Options are the constructor's keywords.

    Attributes:
        media: Patterns (as for `Path.glob`) of the media files below the raw folder. A file that matches a pattern
            but belongs to no clip is reported.
    """

    media: ClassVar[tuple[str, ...]] = ()

    def clips(self, raw: Path) -> list[Clip]:
        """Return all clips of a raw folder, in an order that does not depend on the file system.

        A listed clip without a file is returned as well; it is dropped and reported later.

        Raises:
            UserError: A list is absent or malformed; the message names file and line.
        """
        raise NotImplementedError

    def class_names(self, raw: Path) -> list[str] | None:
        """Return the names of the classes in the dataset's lists, by label; None if the lists have only numbers."""
        return None

    def trials(self, raw: Path) -> dict[str, list[Trial]]:
        """Return {name of a list: its trials} of a dataset for verification; none by default."""
        return {}


def draw_val(clips: Iterable[tuple[str, int | tuple[int, ...]]], fraction: float, seed: int) -> set[str]:
    """Draw a share of every class's clips for validation; clips that have several labels are one class.

    Every class has a random stream of its own, so a clip more or less changes the choice in its class alone.

    Args:
        clips: (name, label) of each training clip.
        fraction: The share.
        seed: Seed of the choice.

    Returns:
        Names of the chosen clips.
    """
    classes: dict[int, list[str]] = defaultdict(list)
    for name, label in clips:
        classes[label if isinstance(label, int) else 0].append(name)
    chosen: set[str] = set()
    for label, names in classes.items():
        order = default_rng([seed, abs(label)]).permutation(len(names))
        chosen |= {names[i] for i in order[: round(fraction * len(names))]}
    return chosen
