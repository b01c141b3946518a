"""UCF-101: 13,320 clips of 101 actions, cut from fewer videos (Soomro et al., 2012)."""

import re
from pathlib import Path, PurePosixPath
from typing import Literal

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_rows
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError

FOLDER = "ucf101"
LISTS = f"{FOLDER}/ucfTrainTestlist"
GROUP = re.compile(r"_g(\d+)_c\d+\.avi$")
NUM_VAL_GROUPS = 2


class UCF101(Reader):
    """`ucfTrainTestlist/{classInd,trainlist0N,testlist0N}.txt`, `v_<Action>_g<group>_c<clip>.avi` in any folder.

    The clips of a group are from one video and look alike, so val is not drawn at random: of every class the last two
    training groups are val. The label is the folder that a list names: test lists have no other. Files are looked for
    by name, whatever its case: the lists have v_HandStandPushups in HandstandPushups, the archives the one or the
    other, with or without folders.

    Args:
        split: Which of the three official divisions into train and test.
    """

    media = ("v_*.avi",)

    def __init__(self, split: Literal[1, 2, 3] = 1) -> None:
        if split not in (1, 2, 3):
            raise UserError(f"ucf101.split is {split!r}; allowed are 1, 2 and 3")
        self.split = split

    def class_names(self, raw: Path) -> list[str]:
        """Return the actions of classInd.txt, whose numbers begin at 1."""
        rows = read_rows(raw / LISTS / "classInd.txt", num_fields=2, delimiter=" ")
        return [action for _, action in sorted((int(number), action) for _, (number, action) in rows)]

    def clips(self, raw: Path) -> list[Clip]:
        """Return the clips of train and val, then of test, as listed."""
        folder = raw / LISTS
        classes = {action: label for label, action in enumerate(self.class_names(raw))}
        files = {PurePosixPath(file).name.lower(): file for file in RawFiles(raw).matching(f"{FOLDER}/**/v_*.avi")}
        train = self._read(folder / f"trainlist{self.split:02d}.txt", num_fields=2)
        val = self._val_groups(train)
        clips = []
        for listed, part in ((train, "train"), (self._read(folder / f"testlist{self.split:02d}.txt", 1), "test")):
            for action, name, group in listed:
                split: SplitName = "test" if part == "test" else "val" if (action, group) in val else "train"
                file = files.get(name.lower(), f"{FOLDER}/{action}/{name}")
                problem = "" if action in classes else f"{action!r} is not a class of classInd.txt"
                clips.append(
                    Clip(name.removesuffix(".avi"), split, classes.get(action, -1), file, file, problem=problem)
                )
        return clips

    def _read(self, path: Path, num_fields: int) -> list[tuple[str, str, int]]:
        """[(action, file, group)]."""
        listed = []
        for line, (entry, *_) in read_rows(path, num_fields, delimiter=" "):
            action, _, name = entry.partition("/")
            if (match := GROUP.search(name)) is None:
                raise UserError(f"{path}: line {line}: {entry!r} is not Action/v_Action_gNN_cNN.avi; fetch it again")
            listed.append((action, name, int(match[1])))
        return listed

    def _val_groups(self, train: list[tuple[str, str, int]]) -> set[tuple[str, int]]:
        """{(action, group)}."""
        groups: dict[str, set[int]] = {}
        for action, _, group in train:
            groups.setdefault(action, set()).add(group)
        return {(action, group) for action, each in groups.items() for group in sorted(each)[-NUM_VAL_GROUPS:]}
