from collections import Counter
from pathlib import Path

import pytest

from avbalance.data.clips import Clip
from avbalance.data.imagenet import ImageNet
from avbalance.data.miniatures.imagenet import SYNSETS, ImageNetMiniature
from avbalance.errors import UserError
from avbalance.prepare.decode import read_frames
from avbalance.prepare.inspection import inspect_media


def put(raw: Path, *files: str) -> None:
    for file in files:
        (raw / file).parent.mkdir(parents=True, exist_ok=True)
        (raw / file).touch()


def test_classes_are_the_sorted_synsets_and_val_is_test(tmp_path: Path) -> None:
    put(
        tmp_path,
        "imagenet/train/n02099601/n02099601_7.JPEG",
        "imagenet/train/n01440764/n01440764_2.JPEG",
        "imagenet/val/n02099601/ILSVRC2012_val_00000003.JPEG",
        "imagenet/val/n09999999/ILSVRC2012_val_00000001.JPEG",
    )
    fish, dog, known, strange = ImageNet().clips(tmp_path)
    assert fish == Clip("train/n01440764/n01440764_2", "train", 0, "imagenet/train/n01440764/n01440764_2.JPEG")
    assert dog.label == 1
    assert (known.split, known.label, known.name) == ("test", 1, "val/n02099601/ILSVRC2012_val_00000003")
    assert strange.problem == "'n09999999' is not a synset of train"


def test_archives_in_another_layout_are_the_users_error(tmp_path: Path) -> None:
    put(tmp_path, "imagenet/train/n01440764_2.JPEG")
    with pytest.raises(UserError, match="no folders of synsets"):
        ImageNet().clips(tmp_path)


def test_the_miniature_has_images_of_several_sizes_in_the_real_folders(tmp_path: Path) -> None:
    ImageNetMiniature(num_train=12, num_test=8).generate(tmp_path)
    clips = ImageNet().clips(tmp_path)
    assert Counter(clip.split for clip in clips) == {"train": 12, "test": 8}
    assert Counter(clip.label for clip in clips) == dict.fromkeys(range(len(SYNSETS)), 5)
    shapes = set()
    for clip in clips[1:]:
        assert clip.visual is not None
        media = inspect_media(tmp_path / clip.visual)
        shapes.add(read_frames(media, media.frame_seconds).shape[1:3])
    assert shapes == {(96, 128), (112, 112), (128, 96)}
