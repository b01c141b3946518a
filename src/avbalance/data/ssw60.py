"""Sapsucker Woods 60 (SSW60): videos of 60 species of birds, and images and sounds of the same species.

Van Horn et al., ECCV 2022. `<part>.csv` names the files of a part, `<part>/<asset_id>.<suffix>`, their labels and
splits; taxa.csv names the species.
"""

from pathlib import Path

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_table
from avbalance.errors import UserError

FOLDER = "ssw60"
SPLITS: dict[str, SplitName] = {"train": "train", "val": "val", "test": "test"}


class SSW60(Reader):
    """SSW60, the videos: 5,400 of about ten seconds, 3,462 train and 1,938 test.

    Not all of them have sound, and where they have, the bird may be silent; `reliable_audio` of video_ml.csv, a guess
    by machine, is not used, as in its authors' best results.
    """

    media = (f"{FOLDER}/video_ml/*.mp4",)

    def clips(self, raw: Path) -> list[Clip]:
        """As listed."""
        return listed(raw, "video_ml", "mp4", pictures=True, sound=True)


class SSW60Images(Reader):
    """SSW60, the images of two origins.

    iNat2021: 21,600 (18,000 train, 600 val, 3,000 test); NABirds: 10,221 (5,050 train, 5,171 test).
    """

    media = (f"{FOLDER}/images_inat/*.jpg", f"{FOLDER}/images_nabirds/*.jpg")

    def clips(self, raw: Path) -> list[Clip]:
        """As listed, iNat2021 first."""
        parts = ("images_inat", "images_nabirds")
        return [clip for part in parts for clip in listed(raw, part, "jpg", pictures=True, sound=False)]


class SSW60Audio(Reader):
    """SSW60, the sounds: 3,861 recordings of ten seconds, 2,597 train and 1,264 test; 22,050 Hz, one channel."""

    media = (f"{FOLDER}/audio_ml/*.wav",)

    def clips(self, raw: Path) -> list[Clip]:
        """As listed."""
        return listed(raw, "audio_ml", "wav", pictures=False, sound=True)


def listed(raw: Path, part: str, suffix: str, pictures: bool, sound: bool) -> list[Clip]:
    """Return the clips of one part, in the order of its list.

    Raises:
        UserError: A list is absent or malformed; the message names file and line.
    """
    labels = {row["label"] for _, row in read_table(raw / FOLDER / "taxa.csv", ("label", "common_name"))}
    path = raw / FOLDER / f"{part}.csv"
    clips = []
    for line, row in read_table(path, ("asset_id", "label", "split")):
        if row["split"] not in SPLITS:
            raise UserError(f"{path}: line {line}: split is {row['split']!r}; allowed are {', '.join(SPLITS)}")
        known = row["label"] in labels and row["label"].isdecimal()
        file = f"{FOLDER}/{part}/{row['asset_id']}.{suffix}"
        clips.append(
            Clip(
                name=f"{part}/{row['asset_id']}",
                split=SPLITS[row["split"]],
                label=int(row["label"]) if known else -1,
                visual=file if pictures else None,
                audio=file if sound else None,
                problem="" if known else f"label {row['label']!r} is not in taxa.csv",
            )
        )
    return clips
