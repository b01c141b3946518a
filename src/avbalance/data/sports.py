"""Mini-Sports: a sample of Sports-1M, YouTube videos of 487 sports (Karpathy et al., CVPR 2014)."""

from pathlib import Path, PurePosixPath

from numpy.random import default_rng

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_rows
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.ranges import Count, Whole

FOLDER = "sports1m"
SPLITS: tuple[SplitName, ...] = ("train", "test")


class Sports(Reader):
    """original/{train,test}_partition.txt, labels.txt and videos/<YouTube id>.mp4.

    Gradient-Blending (Wang et al., CVPR 2020) samples 240,000 videos of train and 20,000 of test uniformly and does
    not say which. Ours: the first in a seeded order of all listed. Many videos have left YouTube since, so those on
    disk come first; an absent one is in the sample, and reported, only where too few are there.

    A video with several labels has the first, one of both parts belongs to test.

    Args:
        num_train, num_test: Videos in the sample.
        seed: Of the order.
    """

    def __init__(self, num_train: Count = 240_000, num_test: Count = 20_000, seed: Whole = 0) -> None:
        if min(num_train, num_test) < 1:
            raise UserError(f"sports.num_train is {num_train} and num_test {num_test}; at least 1 is needed")
        self.sizes = {"train": num_train, "test": num_test}
        self.seed = seed

    def clips(self, raw: Path) -> list[Clip]:
        """The sample of train, then of test."""
        num_classes = sum(1 for _ in read_rows(raw / FOLDER / "labels.txt", num_fields=1, delimiter="\t"))
        listed = {split: self._read(raw / FOLDER / f"original/{split}_partition.txt") for split in SPLITS}
        listed["train"] = {name: label for name, label in listed["train"].items() if name not in listed["test"]}
        present = {PurePosixPath(file).stem for file in RawFiles(raw).matching(f"{FOLDER}/videos/*.mp4")}
        clips = []
        for split, labels in listed.items():
            names = sorted(labels)
            order = default_rng([self.seed, SPLITS.index(split)]).permutation(len(names))
            shuffled = sorted((names[i] for i in order), key=lambda name: name not in present)
            for name in shuffled[: self.sizes[split]]:
                label, file = labels[name], f"{FOLDER}/videos/{name}.mp4"
                problem = "" if label < num_classes else f"label {label} is not one of the {num_classes} in labels.txt"
                clips.append(Clip(name, split, label, file, file, problem=problem))
        return clips

    def _read(self, path: Path) -> dict[str, int]:
        """{YouTube id: label} of lines such as `https://www.youtube.com/watch?v=UDqivjS-lpI 168,169`."""
        labels: dict[str, int] = {}
        for line, (address, numbers) in read_rows(path, num_fields=2, delimiter=" "):
            _, found, name = address.partition("watch?v=")
            first = numbers.partition(",")[0]
            if not found or not first.isdecimal():
                raise UserError(f"{path}: line {line} is not an address with labels; fetch it again")
            labels.setdefault(name, int(first))
        return labels
