import gzip
import hashlib
from collections import Counter
from pathlib import Path

import pytest

from avbalance.configuration.project import read_yaml
from avbalance.data.kinetics import Kinetics
from avbalance.data.kinetics_sounds import KineticsSounds
from avbalance.data.miniatures.kinetics import KineticsMiniature
from avbalance.errors import UserError
from avbalance.prepare.inspection import inspect_media

CONFIG = Path(__file__).parents[2] / "config/datasets"
HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinetics")
    KineticsMiniature(num_train=8, num_test=4).generate(folder)
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two actions, listed out of order; one file in train, none in val."""
    for name in ("annotations", "train", "val", "replacement_for_corrupted_k400"):
        (tmp_path / "kinetics400" / name).mkdir(parents=True)
    annotations = tmp_path / "kinetics400/annotations"
    (annotations / "train.csv").write_text(
        HEADER + "zumba,bbbbbbbbbbb,7,17,train,0\nabseiling,-aaaaaaaaaa,0,10,train,0\n", encoding="utf-8"
    )
    (annotations / "val.csv").write_text(
        HEADER + "zumba,ccccccccccc,120,130,val,0\nyodelling,ddddddddddd,1,11,val,0\n", encoding="utf-8"
    )
    (tmp_path / "kinetics400/train/bbbbbbbbbbb_000007_000017.mp4").touch()
    return tmp_path


def test_classes_are_sorted_and_val_is_test(raw: Path) -> None:
    clips = {clip.name: clip for clip in Kinetics().clips(raw)}
    assert [(clip.split, clip.label) for clip in clips.values()][:3] == [("train", 1), ("train", 0), ("test", 1)]
    assert clips["bbbbbbbbbbb_000007_000017"].visual == "kinetics400/train/bbbbbbbbbbb_000007_000017.mp4"


def test_unknown_action_is_a_problem_of_the_clip(raw: Path) -> None:
    (clip,) = (clip for clip in Kinetics().clips(raw) if clip.problem)
    assert clip.name == "ddddddddddd_000001_000011"
    assert clip.problem == "'yodelling' is not a class of train.csv"


def test_absent_clip_is_given_where_it_should_be(raw: Path) -> None:
    (clip,) = (clip for clip in Kinetics().clips(raw) if clip.name == "ccccccccccc_000120_000130")
    assert clip.visual == clip.audio == "kinetics400/val/ccccccccccc_000120_000130.mp4"


def test_replacement_goes_before_the_broken_clip(raw: Path) -> None:
    file = "kinetics400/replacement_for_corrupted_k400/bbbbbbbbbbb_000007_000017.mp4"
    (raw / file).touch()
    assert Kinetics().clips(raw)[0].visual == file


def test_line_twice_is_one_clip_but_not_under_two_labels(raw: Path) -> None:
    path = raw / "kinetics400/annotations/train.csv"
    path.write_text(path.read_text(encoding="utf-8") + "zumba,bbbbbbbbbbb,7,17,train,0\n", encoding="utf-8")
    assert len(Kinetics().clips(raw)) == 4
    path.write_text(path.read_text(encoding="utf-8") + "abseiling,bbbbbbbbbbb,7,17,train,0\n", encoding="utf-8")
    assert [clip.label for clip in Kinetics().clips(raw) if clip.name.startswith("bbb")] == [1, 0]  # refused by select


def test_time_that_is_no_number_is_named_by_line(raw: Path) -> None:
    (raw / "kinetics400/annotations/val.csv").write_text(HEADER + "zumba,ccccccccccc,,130,val,0\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"val\.csv: line 2: time_start and time_end are not whole seconds"):
        Kinetics().clips(raw)


def test_sounds_are_found_in_both_parts_and_replacements(raw: Path) -> None:
    (raw / "kinetics_sounds").mkdir()
    (raw / "kinetics400/val/ccccccccccc_000120_000130.mp4").touch()
    lines = ["ccccccccccc_000120_000130,10,30", "bbbbbbbbbbb_000007_000017,10,0", "eeeeeeeeeee_000000_000010,10,31"]
    (raw / "kinetics_sounds/my_train.txt").write_bytes("\r\n".join(lines).encode())
    (raw / "kinetics_sounds/my_test.txt").write_bytes(b"")
    val, train, unknown = KineticsSounds().clips(raw)
    assert (val.visual, val.label, val.split) == ("kinetics400/val/ccccccccccc_000120_000130.mp4", 30, "train")
    assert train.visual == "kinetics400/train/bbbbbbbbbbb_000007_000017.mp4"
    assert unknown.problem == "'31' is not one of the classes 0 to 30"


def test_official_sounds_lists_are_read(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "kinetics_sounds").mkdir()
    for name in ("my_train.txt", "my_test.txt"):
        content = gzip.decompress((mirror / f"splits/kinetics_sounds/{name}.gz").read_bytes())
        (tmp_path / "kinetics_sounds" / name).write_bytes(content)
    listed = {file["path"]: file for file in read_yaml(CONFIG / "kinetics400.yaml")["sources"]["official"]["files"]}
    for path in (tmp_path / "kinetics_sounds").iterdir():
        expected = listed[f"kinetics_sounds/{path.name}"]
        assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (
            expected["size"],
            expected["sha256"],
        )
    clips = KineticsSounds().clips(tmp_path)
    assert Counter(clip.split for clip in clips) == {"train": 14799, "test": 2597}
    assert {clip.label for clip in clips} == set(range(31))
    assert len({clip.name for clip in clips}) == len(clips)
    assert not any(clip.problem for clip in clips)
    assert clips[0].visual == "kinetics400/train/--4-0ihtnBU_000058_000068.mp4"


def test_generated_clips_are_all_there(generated: Path) -> None:
    for reader in (Kinetics(), KineticsSounds()):
        clips = reader.clips(generated)
        assert Counter((clip.split, clip.label) for clip in clips) == {
            (split, label): count for split, count in (("train", 2), ("test", 1)) for label in range(4)
        }
        assert all((generated / str(clip.visual)).stat().st_size > 1000 for clip in clips)


def test_generated_clips_hold_pictures_and_sound(generated: Path) -> None:
    media = inspect_media(generated / str(Kinetics().clips(generated)[1].visual))
    assert len(media.frame_seconds) == 15
    assert media.has_audio
    assert media.end - media.start == pytest.approx(1.5, abs=0.1)
