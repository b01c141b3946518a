"""What a reader says of its clips before anything is decoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

SplitName = Literal["train", "val", "test"]


class ClipError(ValueError):
    """Why a clip cannot be used: one line, without the clip's name."""


@dataclass(frozen=True)
class Clip:
    """One labelled piece of media.

    Attributes:
        name: Unique in its data set, as the data set names it.
        split: Where it belongs.
        label: Its class; all of its classes, ascending, where a clip has several.
        visual, audio: Media files below the raw folder, with `/`; both are one file where it holds both, and None
            where the data set has no such modality. A still image is a file of one frame.
        landmarks: The file beside it that holds the landmarks of its face (see `prepare.detectors.given`).
        start, end: Seconds of the media that belong to the clip; None for all of it.
        problem: Why it cannot be used, such as an unknown label; it is dropped and reported.
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
    """Two test clips by name, and whether they show one person."""

    enrol: str
    test: str
    is_target: bool


class Reader:
    """Knows where a data set's clips lie and what their labels are. Options are the constructor's keywords.

    Attributes:
        media: Patterns (as for `Path.glob`) of the media files below the raw folder. A file that fits one and belongs
            to no clip is reported.
    """

    media: ClassVar[tuple[str, ...]] = ()

    def clips(self, raw: Path) -> list[Clip]:
        """All clips of a raw folder, in an order that does not depend on the file system.

        A clip in a list whose file is absent is given all the same: it is looked for, dropped and reported.

        Raises:
            UserError: A list is absent or is no such list; names file and line.
        """
        raise NotImplementedError

    def class_names(self, raw: Path) -> list[str] | None:
        """Names of the classes in the data set's own lists, by label; None where they have only numbers."""
        return None

    def trials(self, raw: Path) -> dict[str, list[Trial]]:
        """{name of a list: its trials} of a data set for verification; none by default."""
        return {}
