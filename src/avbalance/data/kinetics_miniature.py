"""A small Kinetics-400 and Kinetics-Sounds that need no network."""

from pathlib import Path

from avbalance.data.kinetics import FOLDER, REPLACEMENT
from avbalance.data.scene_miniature import SceneMiniature

ACTIONS = ("bowling", "chopping wood", "clapping", "laughing", "playing drums", "singing", "tap dancing", "texting")


class KineticsMiniature(SceneMiniature):
    """The files of CVDF's Kinetics-400 and of Kinetics-Sounds in small: h264 and aac.

    Pictures tell more than sound, as in the real set. The first training clip is broken in its archive and whole in the
    replacements. Kinetics-Sounds lists the same clips, with CRLF.
    """

    def generate(self, folder: Path) -> None:
        """Write kinetics400/{annotations,train,val,...} and kinetics_sounds."""
        kinetics = folder / FOLDER
        for name in ("annotations", "train"):
            (kinetics / name).mkdir(parents=True)
        (folder / "kinetics_sounds").mkdir()
        for split, part in (("train", "train"), ("test", "val")):
            annotations = ["label,youtube_id,time_start,time_end,split,is_cc"]
            sounds = []
            for index in range(self.sizes[split]):
                random, label = self.random(split, index), index % self.num_classes
                video, start = f"k-{part[0]}_{index:07d}", int(random.integers(0, 200))
                name = f"{video}_{start:06d}_{start + 10:06d}"
                annotations.append(f"{ACTIONS[label]},{video},{start},{start + 10},{part},0")
                sounds.append(f"{name},10,{label}")
                if (split, index) == ("train", 0):
                    (kinetics / f"{part}/{name}.mp4").write_bytes(b"\0" * 64)
                    self.write_clip(kinetics / f"{REPLACEMENT}/{name}.mp4", label, random)
                else:
                    self.write_clip(kinetics / f"{part}/{name}.mp4", label, random)
            (kinetics / f"annotations/{part}.csv").write_text("\n".join(annotations) + "\n")
            (folder / f"kinetics_sounds/my_{split}.txt").write_bytes(("\r\n".join(sounds) + "\r\n").encode())
