import gzip
import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from avbalance.configuration.project import read_yaml
from avbalance.data.epic_kitchens import EPICKitchens, seconds
from avbalance.data.miniatures.epic_kitchens import HEADER, EPICKitchensMiniature
from avbalance.errors import UserError
from avbalance.prepare.inspection import inspect_media

CONFIG = Path(__file__).parents[2] / "config/datasets"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three verbs, two nouns, four segments of kitchens 25 and 26, one with a noun that is not listed."""
    folder = tmp_path / "epic_kitchens"
    folder.mkdir()
    (folder / "EPIC_verb_classes.csv").write_text(
        "verb_id,class_key,verbs\n0,take,['take']\n1,put,['put']\n2,cut,['cut']\n", encoding="utf-8"
    )
    (folder / "EPIC_noun_classes.csv").write_text(
        "noun_id,class_key,nouns\n0,pan,['pan']\n1,knife,['knife']\n", encoding="utf-8"
    )
    lines = [
        "7,P25,P25_02,take pan,00:00:01.50,00:00:03.00,1,2,take,0,pan,0,['pan'],[0]",
        "8,P25,P25_02,cut,00:59:59.00,01:00:02.25,1,2,cut,2,knife,1,\"['knife', 'pan']\",\"[1, 0]\"",
        "9,P26,P26_01,take pan,00:00:00.00,00:00:01.00,1,2,take,0,pan,0,['pan'],[0]",
        "10,P26,P26_01,take spoon,00:00:02.00,00:00:03.00,1,2,take,0,spoon,2,['spoon'],[2]",
    ]
    (folder / "EPIC_train_action_labels.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("label", "expected"), [("verb", [0, 2, 0]), ("noun", [0, 1, 0]), ("action", [0, 2, 0])])
def test_label_is_what_is_asked_for(raw: Path, label: Literal["noun", "verb", "action"], expected: list[int]) -> None:
    # Pairs in order: (0, 0), (0, 2), (2, 1).
    assert [clip.label for clip in EPICKitchens(label).clips(raw)][:3] == expected


def test_segments_share_a_video_and_unseen_kitchens_are_test(raw: Path) -> None:
    clips = EPICKitchens("verb").clips(raw)
    assert [clip.split for clip in clips] == ["train", "train", "test", "test"]
    assert [clip.name for clip in clips[:2]] == ["P25_02_00007", "P25_02_00008"]
    assert {clip.visual for clip in clips[:2]} == {"epic_kitchens/videos/train/P25/P25_02.MP4"}
    assert [(clip.start, clip.end) for clip in clips[:2]] == [(1.5, 3.0), (3599.0, 3602.25)]


def test_class_that_is_not_listed_is_a_problem_of_the_clip(raw: Path) -> None:
    assert [clip.problem for clip in EPICKitchens("verb").clips(raw)] == [
        "",
        "",
        "",
        "noun 2 is not one of the 2 classes",
    ]


def test_segment_that_ends_before_it_starts_is_a_problem_of_the_clip(raw: Path) -> None:
    path = raw / "epic_kitchens/EPIC_train_action_labels.csv"
    path.write_text(
        path.read_text(encoding="utf-8").replace("00:00:03.00,1,2,take,0,pan", "00:00:00.50,1,2,take,0,pan"),
        encoding="utf-8",
    )
    assert EPICKitchens("verb").clips(raw)[0].problem == "ends at 0.5 s, but starts at 1.5 s"


def test_time_that_is_none_is_named_by_line(raw: Path) -> None:
    path = raw / "epic_kitchens/EPIC_train_action_labels.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("00:59:59.00", "59:59"), encoding="utf-8")
    with pytest.raises(UserError, match=r"labels\.csv: line 3: '59:59' is not a time"):
        EPICKitchens("verb").clips(raw)


def test_times_are_seconds() -> None:
    assert seconds("01:02:03.5") == 3723.5
    assert seconds("00:00:07") == 7


def test_unknown_label_is_refused() -> None:
    with pytest.raises(UserError, match=r"epic_kitchens\.label is 'adverb'"):
        EPICKitchens("adverb")  # type: ignore[arg-type]


def test_official_lists_of_edition_100_are_read(mirror: Path, tmp_path: Path) -> None:
    folder, source = tmp_path / "epic_kitchens_100", mirror / "splits/epic_kitchens_100"
    folder.mkdir()
    for name in ("EPIC_100_verb_classes.csv", "EPIC_100_noun_classes_v2.csv"):
        shutil.copy(source / name, folder)
    listed = gzip.decompress((source / "EPIC_100_validation.csv.gz").read_bytes())
    (folder / "EPIC_100_validation.csv").write_bytes(listed)
    for file in read_yaml(CONFIG / "epic_kitchens_100.yaml")["sources"]["official"]["files"]:
        if "sha256" in file:
            assert hashlib.sha256((tmp_path / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    (folder / "EPIC_100_train.csv").write_bytes(listed.partition(b"\n")[0] + b"\n")
    clips = EPICKitchens("noun", edition="100").clips(tmp_path)
    assert Counter(clip.split for clip in clips) == {"test": 9668}
    assert not any(clip.problem for clip in clips)
    assert max(clip.label for clip in clips if isinstance(clip.label, int)) < 300
    assert len({clip.name for clip in clips}) == 9668
    first = clips[0]
    assert (first.name, first.label, first.start, first.end) == ("P01_11_00000", 2, 0.0, 1.89)
    assert first.visual == "epic_kitchens_100/videos/P01/videos/P01_11.MP4"


def test_addresses_are_those_of_the_272_videos_with_public_labels() -> None:
    addresses = (CONFIG / "epic_kitchens_videos.urls").read_text(encoding="utf-8").split()
    names = {address.rpartition("/")[2] for address in addresses}
    assert len(names) == len(addresses) == 272
    assert len({name[:3] for name in names}) == 28
    for address in addresses:
        video = address.rpartition("/")[2].removesuffix(".MP4")
        assert address.endswith(EPICKitchens("verb").edition.video.format(kitchen=video[:3], video=video))


def test_generated_segments_fill_their_videos(tmp_path: Path) -> None:
    EPICKitchensMiniature(num_train=20, num_test=10).generate(tmp_path)
    clips = EPICKitchens("action").clips(tmp_path)
    assert Counter(clip.split for clip in clips) == {"train": 20, "test": 10}
    assert {clip.label for clip in clips} == set(range(6))
    assert {clip.label for clip in EPICKitchens("noun").clips(tmp_path)} == set(range(4))
    videos = {str(clip.visual) for clip in clips}
    assert len(videos) == 3
    media = inspect_media(tmp_path / min(videos))
    assert len(media.frame_seconds) == 150
    assert media.has_audio
    assert max(clip.end for clip in clips if clip.end is not None) == pytest.approx(media.end, abs=0.1)
