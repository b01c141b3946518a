"""A small ImageNet that is drawn."""

from pathlib import Path

import cv2
from numpy.random import Generator

from avbalance.data.imagenet import FOLDER, PARTS
from avbalance.data.miniatures.base import Miniature, cut

SYNSETS = ("n01440764", "n01443537", "n02099601", "n07753592")


class ImageNetMiniature(Miniature):
    """The folders of ImageNet in small: JPEGs of several sizes and shapes, of which the first of train is cut off."""

    num_classes = len(SYNSETS)

    def generate(self, folder: Path) -> None:
        """Write imagenet/{train,val}/<synset>/*.JPEG."""
        parts = {split: part for part, split in PARTS.items()}
        for split, index, label, random in self.listed():
            synset = SYNSETS[label]
            name = f"{synset}_{index + 1}" if split == "train" else f"ILSVRC2012_val_{index + 1:08d}"
            path = folder / FOLDER / parts[split] / synset / f"{name}.JPEG"
            self.write_image(path, label, random)
            if (split, index) == ("train", 0):
                cut(path)

    def write_image(self, path: Path, label: int, random: Generator) -> None:
        """Encode a shape; the picture is 4:3, square or 3:4."""
        picture = self.pictures(label, random, num_frames=1)[0]
        height, width = ((96, 128), (112, 112), (128, 96))[random.integers(3)]
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        path.parent.mkdir(parents=True, exist_ok=True)
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        path.write_bytes(encoded.tobytes())
