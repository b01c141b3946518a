"""Trials of verification: pairs of test clips, and whether both show the same person."""

import csv

import numpy as np
from numpy.typing import NDArray

from avbalance.data.packed import Split
from avbalance.data.prepared import Folders
from avbalance.errors import UserError


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
