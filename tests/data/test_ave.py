from collections import Counter
from pathlib import Path

import pytest
import yaml

from avbalance.data.ave import AVE, FOLDER, LISTS
from avbalance.data.miniatures.ave import AVEMiniature
from avbalance.errors import UserError
from avbalance.prepare.selection import select

ROOT = Path(__file__).parents[2]


def write(raw: Path, **lists: list[str]) -> None:
    """Write the three lists, of which those that are not given hold one line."""
    for split, path in LISTS.items():
        (raw / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / path).write_text("\n".join(lists.get(split, [f"Bark&{split}&good&0&10"])) + "\n", encoding="utf-8")


def test_lines_of_the_official_form_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        train=["Church bell&VWi2ENBuTbw&good&0&0", "Male speech, man speaking&-hChcJAh5N0&good&5&10"],
        val=["Church bell&PIdEa_F_VYg&good&0&10"],
        test=["Male speech, man speaking&0PRVVZXqqv4&good&1&10", "Frying (food)&x&good&0&10"],
    )
    clips = AVE().clips(tmp_path)
    assert [(clip.name, clip.split, clip.label) for clip in clips] == [
        ("VWi2ENBuTbw_train0001", "train", 0),
        ("-hChcJAh5N0_train0002", "train", 1),
        ("PIdEa_F_VYg_val0001", "val", 0),
        ("0PRVVZXqqv4_test0001", "test", 1),
        ("x_test0002", "test", -1),
    ]
    assert clips[1].visual == clips[1].audio == "ave/AVE_Dataset/AVE/-hChcJAh5N0.mp4"
    assert (clips[1].start, clips[1].end) == (None, None)  # the whole video, not the event alone
    assert [clip.problem for clip in clips] == [""] * 4 + ["'Frying (food)' is not a class of train"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Bark&b&good&0", r"line 2 has 4 fields instead of 5"),
        ("Bark, dog,b,good,0,10", r"line 2 has 1 fields instead of 5"),
        ("Bark&b&good&0&ten", r"line 2 is not class, video, quality, start and end"),
        ("Bark&b&good&-1&10", r"line 2 is not class"),
        ("&b&good&0&10", r"line 2 is not class"),
        ("Bark&&good&0&10", r"line 2 is not class"),
        ("Category&VideoID&Quality&StartTime&EndTime", r"line 2 is not class"),  # the head of Annotations.txt
    ],
)
@pytest.mark.parametrize("split", LISTS)
def test_a_malformed_line_is_named(tmp_path: Path, split: str, line: str, message: str) -> None:
    write(tmp_path, **{split: ["Bark&a&good&0&10", line]})
    with pytest.raises(UserError, match=rf"{split}Set\.txt: {message}"):
        AVE().clips(tmp_path)


@pytest.mark.parametrize("split", LISTS)
def test_a_missing_list_is_named(tmp_path: Path, split: str) -> None:
    write(tmp_path)
    (tmp_path / f"{FOLDER}/{split}Set.txt").unlink()
    with pytest.raises(UserError, match=rf"{split}Set\.txt: this list does not exist"):
        AVE().clips(tmp_path)


def test_a_video_with_two_classes_stays_in_test_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        train=["Banjo&a&good&0&10", "Mandolin&a&good&0&10", "Banjo&b&good&0&10", "Mandolin&c&good&0&10"],
        val=["Banjo&d&good&0&10"],
        test=["Mandolin&b&good&0&10", "Banjo&e&good&0&5", "Mandolin&e&good&5&10"],
    )
    checksums = {f"{FOLDER}/AVE/{video}.mp4": video for video in "abcde"}
    selection = select(AVE().clips(tmp_path), AVE.media, checksums, (), val_fraction=0.5, seed=0, drop_duplicates=True)
    assert [clip.name for clip in selection.clips] == [
        "c_train0004", "d_val0001", "b_test0001", "e_test0002", "e_test0003"
    ]  # fmt: skip
    assert {entry["clip"] for entry in selection.dropped} == {"a_train0001", "a_train0002", "b_train0003"}


def test_the_configured_classes_are_sorted_as_the_reader_sorts_them() -> None:
    configured = yaml.safe_load((ROOT / "config/datasets/ave.yaml").read_text(encoding="utf-8"))
    assert configured["classes"] == sorted(set(configured["classes"]))


def test_generated_clips_are_all_there(tmp_path: Path) -> None:
    AVEMiniature(num_train=20, num_test=4).generate(tmp_path)
    clips = AVE().clips(tmp_path)
    assert Counter(clip.split for clip in clips) == {"train": 17, "val": 4, "test": 4}
    assert Counter(clip.label for clip in clips if clip.split != "train") == dict.fromkeys(range(4), 2)
    assert all((tmp_path / str(clip.audio)).is_file() for clip in clips)
    assert clips[0].visual == clips[16].visual
    assert (clips[0].label, clips[16].label) == (0, 1)


def test_a_clip_without_its_file_is_dropped_and_reported(tmp_path: Path) -> None:
    write(tmp_path, train=["Bark&a&good&0&10", "Bark&b&good&0&10"])
    checksums = {f"{FOLDER}/AVE/{video}.mp4": video for video in ("a", "val", "test", "unknown")}
    selection = select(AVE().clips(tmp_path), AVE.media, checksums, (), val_fraction=0.5, seed=0, drop_duplicates=True)
    assert selection.dropped == [{"clip": "b_train0002", "why": f"{FOLDER}/AVE/b.mp4 does not exist"}]
    assert [entry["file"] for entry in selection.unused] == [f"{FOLDER}/AVE/unknown.mp4"]
