import gzip
import shutil
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
import yaml

from avbalance.data.miniatures.ucf101 import UCF101Miniature
from avbalance.data.ucf101 import UCF101
from avbalance.errors import UserError
from avbalance.prepare.inspection import inspect_media


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ucf101")
    UCF101Miniature(num_train=24, num_test=8).generate(folder)
    return folder


@pytest.fixture(scope="module")
def official(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("official")
    folder = raw / "ucf101/ucfTrainTestlist"
    folder.mkdir(parents=True)
    shutil.copy(mirror / "splits/ucf101/classInd.txt", folder)
    for path in (mirror / "splits/ucf101").glob("*.gz"):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return raw


@pytest.mark.parametrize(("split", "num_train", "num_test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_official_splits_are_read(official: Path, split: Literal[1, 2, 3], num_train: int, num_test: int) -> None:
    clips = UCF101(split).clips(official)
    counts = Counter(clip.split for clip in clips)
    assert (counts["train"] + counts["val"], counts["test"]) == (num_train, num_test)
    assert len({clip.name for clip in clips}) == 13320
    assert {clip.label for clip in clips if clip.split == "val"} == set(range(101))
    assert not any(clip.problem for clip in clips)


def test_the_configured_classes_are_those_of_the_list(official: Path) -> None:
    configured = yaml.safe_load((Path(__file__).parents[2] / "config/datasets/ucf101.yaml").read_text(encoding="utf-8"))
    assert UCF101().class_names(official) == configured["classes"]


def test_labels_of_folders_are_the_numbers_that_the_training_list_gives(official: Path) -> None:
    lines = (official / "ucf101/ucfTrainTestlist/trainlist01.txt").read_text(encoding="utf-8").split("\n")
    numbers = {line.split()[0].partition("/")[2]: int(line.split()[1]) for line in lines if line.strip()}
    clips = UCF101(1).clips(official)
    assert {f"{clip.name}.avi": clip.label for clip in clips if clip.split != "test"} == {
        name: number - 1 for name, number in numbers.items()
    }


@pytest.mark.parametrize("split", [1, 2, 3])
def test_no_group_is_in_two_splits(official: Path, split: Literal[1, 2, 3]) -> None:
    groups: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for clip in UCF101(split).clips(official):
        groups[clip.split].add(clip.name.rpartition("_")[0])
    assert not groups["train"] & groups["val"]
    assert not (groups["train"] | groups["val"]) & groups["test"]
    assert len(groups["val"]) == 2 * 101


@pytest.mark.parametrize(
    "file", ["UCF101/v_HandstandPushups_g01_c01.avi", "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi"]
)
def test_handstand_pushups_are_found_however_they_are_spelt(official: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(official, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "ucf101" / file
    path.parent.mkdir(parents=True)
    path.touch()
    (clip,) = (clip for clip in UCF101(1).clips(tmp_path) if clip.name == "v_HandStandPushups_g01_c01")
    assert (clip.visual, clip.label, clip.split) == (f"ucf101/{file}", 36, "test")


def test_entry_that_is_no_clip_is_named_by_line(generated: Path, tmp_path: Path) -> None:
    shutil.copytree(generated / "ucf101/ucfTrainTestlist", tmp_path / "ucf101/ucfTrainTestlist")
    (tmp_path / "ucf101/ucfTrainTestlist/testlist01.txt").write_text(
        "Archery/v_Archery_g01_c01.avi\nArchery/readme.md\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"testlist01\.txt: line 2: 'Archery/readme\.md' is no"):
        UCF101(1).clips(tmp_path)


def test_split_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"ucf101\.split is 4"):
        UCF101(4)  # type: ignore[arg-type]


def test_generated_clips_are_all_there(generated: Path) -> None:
    for split in (1, 2, 3):
        clips = UCF101(split).clips(generated)  # type: ignore[arg-type]
        assert Counter(clip.split for clip in clips) == {"train": 16, "val": 8, "test": 8}
        assert all((generated / str(clip.visual)).is_file() for clip in clips)


def test_half_of_the_generated_classes_have_sound(generated: Path) -> None:
    sounding = {
        clip.label for clip in UCF101(1).clips(generated) if inspect_media(generated / str(clip.visual)).has_audio
    }
    assert sounding == {0, 1}
