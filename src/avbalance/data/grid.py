"""GRID, speaker 1: 1,000 sentences of six words, cut to one of the words."""

import csv
from pathlib import Path
from typing import Literal

from avbalance.data.clips import Clip, Reader
from avbalance.errors import UserError
from avbalance.ranges import Positive

METADATA = "grid_s1/metadata.csv"
COLUMNS = ("path", "id", "word_times_s")
TEST_EVERY = 5
WORDS = {
    "command": ("bin", "lay", "place", "set"),
    "colour": ("blue", "green", "red", "white"),
    "preposition": ("at", "by", "in", "with"),
    "letter": tuple("abcdefghijklmnopqrstuvxyz"),
    "digit": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "adverb": ("again", "now", "please", "soon"),
}
"""The six words of a sentence in their order, and the values of each; the letter w does not occur."""


class GRID(Reader):
    """One word of every sentence: a stretch of fixed length around its middle.

    Cooke, Barker, Cunningham and Shao, JASA 2006. The sentences are clips/<id>.mp4 of metadata.csv, which also gives
    the times of the words. There is no published split for one speaker: ours takes, within each class and in the
    order of the ids, every fifth sentence for test, so every class has its share.

    Args:
        word: Which of the six is the label: 10 digits, or 25 letters of which many sound and look alike.
        seconds: Length of the stretch; a digit lasts 0.27 s on average, a letter 0.18 s. None for all of it.
    """

    media = ("grid_s1/clips/*.mp4",)

    def __init__(
        self,
        word: Literal["command", "colour", "preposition", "letter", "digit", "adverb"] = "digit",
        seconds: Positive | None = 0.64,
    ) -> None:
        if seconds is not None and seconds <= 0:
            raise UserError(f"grid.seconds is {seconds}; it must be more than 0")
        self.word = word
        self.seconds = seconds

    def class_names(self, raw: Path) -> list[str]:
        """The values of the word."""
        return list(WORDS[self.word])

    def clips(self, raw: Path) -> list[Clip]:
        """One clip a sentence, in the order of the ids."""
        place, known = list(WORDS).index(self.word), self.class_names(raw)
        seen = dict.fromkeys(known, 0)
        clips = []
        for where, row in sorted(read_metadata(raw / METADATA), key=lambda line: line[1]["id"]):
            try:
                words = [entry.split(":") for entry in row["word_times_s"].split(";")]
                said, start, end = words[place][0], float(words[place][1]), float(words[place][2])
            except (IndexError, ValueError) as error:
                raise UserError(
                    f"{where}: word_times_s is {row['word_times_s']!r}; it must be word:start:end;... in seconds"
                ) from error
            seen[said] = seen.get(said, 0) + 1
            first = None if self.seconds is None else max(0.0, (start + end - self.seconds) / 2)
            file = f"grid_s1/{row['path']}"
            clips.append(
                Clip(
                    name=row["id"],
                    split="test" if seen[said] % TEST_EVERY == 0 else "train",
                    label=known.index(said) if said in known else -1,
                    visual=file,
                    audio=file,
                    landmarks=f"grid_s1/{row['landmarks']}" if row.get("landmarks") else None,
                    start=first,
                    end=None if first is None or self.seconds is None else first + self.seconds,
                    problem="" if said in known else f"{said!r} is not a {self.word}",
                )
            )
        return clips


def read_metadata(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the lines of metadata.csv, each with its place in the file.

    Raises:
        UserError: The file is absent or lacks a column or a field.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; remove its folder and download the dataset again")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise UserError(f"{path}: line 1: has no column {missing[0]!r}; fetch it again")
        lines = [(f"{path}: line {rows.line_num}", row) for row in rows]
    for where, row in lines:
        if None in row.values() or None in row:
            raise UserError(f"{where}: has another number of fields than line 1; fetch it again")
    return lines
