"""A small CREMA-D that is drawn and computed."""

import shutil
from pathlib import Path

from avbalance.data.cremad import CLASSES, DEMOGRAPHICS, LISTS
from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import SAMPLE_RATE, Miniature, cut
from avbalance.data.miniatures.synthetic import write_media

EMOTIONS = ("NEU", "HAP", "SAD", "FEA", "DIS", "ANG")
SENTENCES = {"train": ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI"), "test": ("IWL", "ITH", "DFA", "ITS", "TSI", "WSI")}
NUM_ACTORS = 12


class CREMADMiniature(Miniature):
    """Miniature of the files of CREMA-D, with the lists of OGM-GE: wavs of 16 kHz, and .flv with pictures and sound.

    The lists have CRLF line ends, and that of the classes a byte order mark, as the real ones. Twelve actors, six of
    each sex, take turns in both lists. The first training clip's .flv is cut off, the second has the wav of a test clip
    of another emotion, and one clip is in no list.
    """

    num_classes = len(EMOTIONS)

    def generate(self, folder: Path) -> None:
        """Write the wavs, videos, landmarks and lists below `folder`."""
        sounds, videos = folder / "AudioWAV", folder / "VideoFlash"
        rows: dict[str, list[list[str]]] = {split: [] for split in LISTS}
        for split, index, label, random in self.listed():
            take = index // self.num_classes
            actor, sentence = 1001 + take % NUM_ACTORS, SENTENCES[split][take // NUM_ACTORS]
            name = f"{actor}_{sentence}_{EMOTIONS[label]}_XX"
            rows[split].append([name, EMOTIONS[label]])
            wave = self.wave(label, random)
            write_media(sounds / f"{name}.wav", wave=wave, sample_rate=SAMPLE_RATE)
            self.write_face(videos / f"{name}.flv", label, random, wave)
        write_rows(folder / CLASSES, [[emotion] for emotion in EMOTIONS], end="\r\n", encoding="utf-8-sig")
        for split, path in LISTS.items():
            write_rows(folder / path, rows[split], end="\r\n")
        header = ["ActorID", "Age", "Sex", "Race", "Ethnicity"]
        actors = [
            [1001 + actor, 30, ("Male", "Female")[actor % 2], "Unknown", "Unknown"] for actor in range(NUM_ACTORS)
        ]
        write_rows(folder / DEMOGRAPHICS, [header, *actors], end="\r\n")
        first, second = rows["train"][0][0], rows["train"][1][0]
        cut(videos / f"{first}.flv")
        shutil.copy(sounds / f"{rows['test'][0][0]}.wav", sounds / f"{second}.wav")
        for media in (sounds / f"{second}.wav", videos / f"{second}.flv"):
            shutil.copy(media, media.with_name(f"9999_IEO_NEU_XX{media.suffix}"))
