from collections import Counter
from pathlib import Path

import pytest

from avbalance.data.miniatures.sports import SportsMiniature
from avbalance.data.sports import Sports
from avbalance.errors import UserError


def write(raw: Path, train: list[str], test: list[str], present: list[str]) -> Path:
    """Lists of `id labels`, and empty videos."""
    (raw / "sports1m/original").mkdir(parents=True)
    (raw / "sports1m/videos").mkdir()
    (raw / "sports1m/labels.txt").write_text("archery\nbowling\nboxing\n", encoding="utf-8")
    for split, lines in (("train", train), ("test", test)):
        text = "".join(f"https://www.youtube.com/watch?v={line}\n" for line in lines)
        (raw / f"sports1m/original/{split}_partition.txt").write_text(text, encoding="utf-8")
    for name in present:
        (raw / f"sports1m/videos/{name}.mp4").touch()
    return raw


def test_first_of_several_labels_counts_and_test_keeps_a_video_of_both(tmp_path: Path) -> None:
    raw = write(tmp_path, ["aa 2,0", "bb 1", "cc 3"], ["bb 0,1"], ["aa", "bb", "cc"])
    clips = {clip.name: clip for clip in Sports(10, 10).clips(raw)}
    assert {name: (clip.split, clip.label) for name, clip in clips.items()} == {
        "aa": ("train", 2),
        "bb": ("test", 0),
        "cc": ("train", 3),
    }
    assert clips["cc"].problem == "label 3 is not one of the 3 in labels.txt"
    assert clips["aa"].visual == "sports1m/videos/aa.mp4"


def test_absent_videos_are_asked_for_only_where_too_few_are_there(tmp_path: Path) -> None:
    names = [f"v{index:02d}" for index in range(20)]
    raw = write(tmp_path, [f"{name} 0" for name in names], ["test 1"], names[::2])
    assert {clip.name for clip in Sports(10, 1).clips(raw) if clip.split == "train"} == set(names[::2])
    chosen = {clip.name for clip in Sports(12, 1).clips(raw) if clip.split == "train"}
    assert len(chosen) == 12
    assert chosen > set(names[::2])


def test_sample_depends_on_the_seed_and_not_on_the_order_of_the_list(tmp_path: Path) -> None:
    lines = [f"v{index:02d} 0" for index in range(40)]
    raw = write(tmp_path / "one", lines, ["test 1"], [])
    turned = write(tmp_path / "other", lines[::-1], ["test 1"], [])
    assert Sports(10, 1).clips(raw) == Sports(10, 1).clips(turned)
    assert Sports(10, 1).clips(raw) != Sports(10, 1, seed=1).clips(raw)


@pytest.mark.parametrize("line", ["aa", "aa x", "aa 1 2"])
def test_line_that_is_no_address_with_labels_is_named(tmp_path: Path, line: str) -> None:
    raw = write(tmp_path, ["bb 1", line], ["cc 0"], [])
    with pytest.raises(UserError, match=r"train_partition\.txt: line 2 "):
        Sports(10, 10).clips(raw)


def test_generated_sample_is_there(tmp_path: Path) -> None:
    SportsMiniature(num_train=10, num_test=5).generate(tmp_path)
    clips = Sports(num_train=10, num_test=5).clips(tmp_path)
    assert Counter(clip.split for clip in clips) == {"train": 10, "test": 5}
    assert all((tmp_path / str(clip.visual)).is_file() for clip in clips)
    assert {clip.label for clip in clips} == {0, 1, 2, 3}
    assert len(Sports(num_train=99, num_test=99).clips(tmp_path)) == 12 + 6  # a sixth has left YouTube
