"""EPIC-Kitchens: what people do in their kitchens, seen from their heads."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_table
from avbalance.errors import UserError

TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
COLUMNS = ("video_id", "participant_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
NUM_TRAIN_KITCHENS = 25


class Edition(NamedTuple):
    """Differences between the editions.

    Attributes:
        folder: Where everything lies.
        key: The column that names a segment.
        lists: Where segments are listed, and the split of each; None where the kitchen decides.
        verbs, nouns: The lists of classes.
        video: Where a video lies, in terms of its kitchen and name.
    """

    folder: str
    key: str
    lists: dict[str, SplitName | None]
    verbs: str
    nouns: str
    video: str


EDITIONS = {
    "55": Edition(
        "epic_kitchens",
        "uid",
        {"EPIC_train_action_labels.csv": None},
        "EPIC_verb_classes.csv",
        "EPIC_noun_classes.csv",
        "videos/train/{kitchen}/{video}.MP4",
    ),
    "100": Edition(
        "epic_kitchens_100",
        "narration_id",
        {"EPIC_100_train.csv": "train", "EPIC_100_validation.csv": "test"},
        "EPIC_100_verb_classes.csv",
        "EPIC_100_noun_classes_v2.csv",
        "videos/{kitchen}/videos/{video}.MP4",
    ),
}


class EPICKitchens(Reader):
    """Segments of long videos, each with a verb and a noun.

    Damen et al., ECCV 2018 (EPIC-55); Damen et al., IJCV 2022 (EPIC-100).

    Of EPIC-55 the public labels are of the official train part alone, 28,472 segments. Gradient-Blending (Wang et al.,
    CVPR 2020) tests on unseen kitchens as before (Baradel et al., ECCV 2018): kitchens 1 to 25 train, 26 to 31 test,
    23,191 and 5,281 segments. Of EPIC-100 the official validation part is test.

    An action is a pair of verb and noun; its class is the pair's place among all pairs that are listed, sorted.

    Args:
        label: What a segment's class is.
        edition: Hours of video: `55`, the paper's, or `100`.
    """

    media = ("*.MP4",)

    def __init__(
        self, label: Literal["noun", "verb", "action"] = "action", edition: Literal["55", "100"] = "55"
    ) -> None:
        if label not in ("noun", "verb", "action") or edition not in EDITIONS:
            raise UserError(
                f"epic_kitchens.label is {label!r}, edition {edition!r}; allowed: noun, verb, action; 55, 100"
            )
        self.label = label
        self.edition = EDITIONS[edition]

    def clips(self, raw: Path) -> list[Clip]:
        """All segments, as listed."""
        folder = raw / self.edition.folder
        num_classes = {
            "verb": self._count(folder / self.edition.verbs),
            "noun": self._count(folder / self.edition.nouns),
        }
        clips: list[Clip] = []
        pairs: list[tuple[int, int]] = []
        for name, split in self.edition.lists.items():
            path = folder / name
            for line, row in read_table(path, (self.edition.key, *COLUMNS)):
                try:
                    clip, pair = self._read(row, split)
                except ValueError as error:
                    raise UserError(f"{path}: line {line}: {error}; fetch it again") from error
                for what, index in zip(num_classes, pair, strict=True):
                    if index >= num_classes[what]:
                        clip = replace(clip, problem=f"{what} {index} is not one of the {num_classes[what]} classes")
                clips.append(clip)
                pairs.append(pair)
        if self.label != "action":
            return clips
        actions = {pair: index for index, pair in enumerate(sorted(set(pairs)))}
        return [replace(clip, label=actions[pair]) for clip, pair in zip(clips, pairs, strict=True)]

    def _count(self, path: Path) -> int:
        """Return the number of listed classes, which are numbered from 0."""
        return sum(1 for _ in read_table(path, ()))

    def _read(self, row: dict[str, str], split: SplitName | None) -> tuple[Clip, tuple[int, int]]:
        """A segment, labelled as if verb or noun were asked for, and its pair.

        Raises:
            ValueError: The line is not a segment.
        """
        kitchen, video = row["participant_id"], row["video_id"]
        verb, noun = int(row["verb_class"]), int(row["noun_class"])
        start, end = seconds(row["start_timestamp"]), seconds(row["stop_timestamp"])
        number = row[self.edition.key].removeprefix(f"{video}_")
        file = f"{self.edition.folder}/{self.edition.video.format(kitchen=kitchen, video=video)}"
        return Clip(
            name=f"{video}_{number.zfill(5)}",  # in this order a video's segments lie together
            split=split or ("train" if int(kitchen.removeprefix("P")) <= NUM_TRAIN_KITCHENS else "test"),
            label=noun if self.label == "noun" else verb,
            visual=file,
            audio=file,
            start=start,
            end=end,
            problem="" if end > start else f"ends at {end:g} s, but starts at {start:g} s",
        ), (verb, noun)


def seconds(timestamp: str) -> float:
    """`00:01:02.50` as 62.5.

    Raises:
        ValueError: The text is not a time.
    """
    if (match := TIME.fullmatch(timestamp)) is None:
        raise ValueError(f"{timestamp!r} is not a time such as 00:01:02.50")
    return round(3600 * int(match[1]) + 60 * int(match[2]) + float(match[3]), 6)
