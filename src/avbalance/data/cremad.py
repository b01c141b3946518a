"""CREMA-D: actors say twelve sentences, each in six emotions."""

import re
from pathlib import Path
from typing import Literal

from numpy.random import default_rng

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_rows, read_table
from avbalance.errors import UserError

CLASSES = "cremad/splits_ogm_ge/stat.csv"
LISTS: dict[SplitName, str] = {"train": "cremad/splits_ogm_ge/train.csv", "test": "cremad/splits_ogm_ge/test.csv"}
DEMOGRAPHICS = "VideoDemographics.csv"
NAME = re.compile(r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]+)")
HELD_OUT = 0.1
"""Share of the actors of each sex that is val, and that is test, in the split by speakers."""


class CREMAD(Reader):
    """AudioWAV/<id>.wav and VideoFlash/<id>.flv, where <id> is actor_sentence_emotion_level.

    Cao et al., IEEE Transactions on Affective Computing 2014. The emotion that was asked for is the label; classes are
    in the order of stat.csv. A file of landmarks is VideoFlash/<id>.landmarks.csv, where there is one.

    Args:
        split: `paper`: the lists of OGM-GE, which are MMCosine's too: 6,698 clips train, 744 test, drawn at random, so
            all 91 actors are in both. `speakers`: ours; no actor is in two splits. Of each sex a tenth of the actors,
            drawn with a fixed seed, is test and another tenth val: 73 / 9 / 9 actors (38 + 35, 5 + 4, 5 + 4 men and
            women) say what both lists name.
    """

    media = ("AudioWAV/*.wav", "VideoFlash/*.flv")

    def __init__(self, split: Literal["paper", "speakers"] = "paper") -> None:
        self.split = split

    def class_names(self, raw: Path) -> list[str]:
        """Return the emotions of stat.csv."""
        return [emotion for _, (emotion,) in read_rows(raw / CLASSES, num_fields=1)]

    def clips(self, raw: Path) -> list[Clip]:
        """Return the clips of both lists, in their order."""
        classes = self.class_names(raw)
        listed: list[tuple[SplitName, str, str]] = [
            (split, name, emotion)
            for split, path in LISTS.items()
            for _, (name, emotion) in read_rows(raw / path, num_fields=2)
        ]
        if self.split == "paper":
            return [clip_of(raw, name, emotion, split, classes) for split, name, emotion in listed]
        splits = divide_actors(raw / DEMOGRAPHICS)
        return [clip_of(raw, name, emotion, splits.get(name[:4]), classes) for _, name, emotion in listed]


def clip_of(raw: Path, name: str, emotion: str, split: SplitName | None, classes: list[str]) -> Clip:
    """A listed clip; `split` is None for an actor whom nobody knows."""
    problem, parts = "", NAME.fullmatch(name)
    if emotion not in classes:
        problem = f"{emotion!r} is not one of the classes {', '.join(classes)}"
    elif parts is None or parts["emotion"] != emotion:
        problem = f"is listed as {emotion}, but its name says otherwise"
    elif split is None:
        problem = f"{DEMOGRAPHICS} has no actor {parts['actor']}"
    landmarks = f"VideoFlash/{name}.landmarks.csv"
    return Clip(
        name=name,
        split=split or "train",
        label=classes.index(emotion) if emotion in classes else -1,
        visual=f"VideoFlash/{name}.flv",
        audio=f"AudioWAV/{name}.wav",
        landmarks=landmarks if (raw / landmarks).is_file() else None,
        problem=problem,
    )


def divide_actors(path: Path) -> dict[str, SplitName]:
    """{actor: split}; both sexes in the same shares.

    Raises:
        UserError: There are too few actors.
    """
    sexes: dict[str, list[str]] = {}
    for _, row in read_table(path, ("ActorID", "Sex")):
        sexes.setdefault(row["Sex"], []).append(row["ActorID"])
    splits: dict[str, SplitName] = {}
    for number, (sex, actors) in enumerate(sorted(sexes.items())):
        count = round(HELD_OUT * len(actors))
        if count == 0:
            raise UserError(f"{path}: {len(actors)} actors of sex {sex!r}; the split by speakers needs 6 or more")
        order = default_rng(number).permutation(sorted(actors)).tolist()
        splits |= dict.fromkeys(order, "train")
        splits |= dict.fromkeys(order[:count], "test")
        splits |= dict.fromkeys(order[count : 2 * count], "val")
    return splits
