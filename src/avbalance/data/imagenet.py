"""ImageNet of the challenge of 2012 (ILSVRC2012): 1,281,167 + 50,000 images of 1,000 synsets."""

from pathlib import Path, PurePosixPath

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError

FOLDER = "imagenet"
PARTS: dict[str, SplitName] = {"train": "train", "val": "test"}


class ImageNet(Reader):
    """train/<synset>/*.JPEG and val/<synset>/*.JPEG, as torchvision's `ImageNet` and most public code lay them out.

    Russakovsky et al., IJCV 2015. The labels of the official test images are kept back, so papers measure on val, and
    so do we: it becomes test, and our val is cut from train. Classes are the synsets of train, sorted, which is the
    order of torchvision's classifiers.
    """

    media = (f"{FOLDER}/*/*/*.JPEG",)

    def clips(self, raw: Path) -> list[Clip]:
        """Return the images of train, then of val, by synset and name.

        Raises:
            UserError: The folders of classes do not exist.
        """
        files = {part: RawFiles(raw).matching(f"{FOLDER}/{part}/*/*.JPEG") for part in PARTS}
        synsets = sorted({PurePosixPath(file).parent.name for file in files["train"]})
        if not synsets:
            raise UserError(f"{raw / FOLDER / 'train'}: no folders of synsets such as n01440764 are there")
        classes = {synset: index for index, synset in enumerate(synsets)}
        clips = []
        for part, split in PARTS.items():
            for file in files[part]:
                synset = PurePosixPath(file).parent.name
                name = f"{part}/{synset}/{PurePosixPath(file).stem}"
                problem = "" if synset in classes else f"{synset!r} is not a synset of train"
                clips.append(Clip(name, split, classes.get(synset, -1), visual=file, problem=problem))
        return clips
