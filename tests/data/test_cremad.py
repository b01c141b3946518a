import csv
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import av
import pytest

from avbalance import store
from avbalance.configuration.project import read_yaml
from avbalance.data.clips import Clip
from avbalance.data.cremad import CLASSES, CREMAD, DEMOGRAPHICS, LISTS, divide_actors
from avbalance.data.miniatures.cremad import CREMADMiniature
from avbalance.errors import UserError

CONFIG = Path(__file__).parents[2] / "config/datasets"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    CREMADMiniature().generate(folder)
    return folder


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Lists of four clips that a test may change; there are no media."""
    for path, text in (
        (CLASSES, "\ufeffNEU\r\nANG\r\n"),
        (LISTS["train"], "1002_IEO_ANG_LO,ANG\r\n1001_TIE_NEU_XX,NEU\r\n1003_TIE_NEU_XX,NEU\r\n"),
        (LISTS["test"], "1001_IEO_ANG_HI,ANG\r\n"),
        (
            DEMOGRAPHICS,
            '"ActorID","Age","Sex","Race","Ethnicity"\n'
            + "".join(
                f'{1001 + i},51,"{sex}","Caucasian","Not Hispanic"\n' for i, sex in enumerate(["Male", "Female"] * 6)
            ),
        ),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode())
    return tmp_path


def by_split(clips: list[Clip]) -> dict[str, list[Clip]]:
    groups = defaultdict(list)
    for clip in clips:
        groups[clip.split].append(clip)
    return groups


def test_clips_follow_the_lists_and_classes_their_order(lists: Path) -> None:
    assert CREMAD().clips(lists) == [
        Clip("1002_IEO_ANG_LO", "train", 1, "VideoFlash/1002_IEO_ANG_LO.flv", "AudioWAV/1002_IEO_ANG_LO.wav"),
        Clip("1001_TIE_NEU_XX", "train", 0, "VideoFlash/1001_TIE_NEU_XX.flv", "AudioWAV/1001_TIE_NEU_XX.wav"),
        Clip("1003_TIE_NEU_XX", "train", 0, "VideoFlash/1003_TIE_NEU_XX.flv", "AudioWAV/1003_TIE_NEU_XX.wav"),
        Clip("1001_IEO_ANG_HI", "test", 1, "VideoFlash/1001_IEO_ANG_HI.flv", "AudioWAV/1001_IEO_ANG_HI.wav"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_byte_order_marks_and_line_ends_change_nothing(lists: Path, encoding: str, ends: str) -> None:
    expected = CREMAD().clips(lists)
    for path in (CLASSES, *LISTS.values()):
        text = (lists / path).read_text(encoding="utf-8-sig")
        (lists / path).write_bytes(text.replace("\n", ends).encode(encoding))
    assert CREMAD().clips(lists) == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1004_IEO_JOY_XX,JOY", "'JOY' is not one of the classes NEU, ANG"),
        ("1004_IEO_NEU_XX,ANG", "is listed as ANG, but its name says otherwise"),
        ("readme,ANG", "is listed as ANG, but its name says otherwise"),
    ],
)
def test_a_clip_without_a_sure_label_has_a_problem(lists: Path, line: str, problem: str) -> None:
    with (lists / LISTS["train"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    for split in ("paper", "speakers"):
        found = [clip for clip in CREMAD(split).clips(lists) if clip.problem]  # type: ignore[arg-type]
        assert [(clip.name, clip.problem) for clip in found] == [(line.split(",")[0], problem)]


def test_a_clip_of_an_unknown_actor_has_a_problem_in_the_split_by_speakers(lists: Path) -> None:
    with (lists / LISTS["train"]).open("a", encoding="utf-8") as file:
        file.write("1099_IEO_NEU_XX,NEU\n")
    assert CREMAD("paper").clips(lists)[3].problem == ""
    assert CREMAD("speakers").clips(lists)[3].problem == "VideoDemographics.csv has no actor 1099"


def test_a_list_that_is_none_names_file_and_line(lists: Path) -> None:
    (lists / LISTS["test"]).write_text("1001_IEO_ANG_HI,ANG\n1001_IEO_NEU_XX\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"splits_ogm_ge/test\.csv: line 2 has 1 fields instead of 2"):
        CREMAD().clips(lists)
    (lists / CLASSES).unlink()
    with pytest.raises(UserError, match=r"splits_ogm_ge/stat\.csv: .* does not exist"):
        CREMAD().clips(lists)


def test_too_few_actors_cannot_be_divided(lists: Path) -> None:
    lines = (lists / DEMOGRAPHICS).read_text(encoding="utf-8").splitlines()[:-2]  # five of each sex: a tenth is none
    (lists / DEMOGRAPHICS).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match="5 actors of sex 'Female'; the split by speakers needs 6 or more"):
        CREMAD("speakers").clips(lists)


def test_the_order_of_the_demographics_does_not_matter(lists: Path) -> None:
    expected = divide_actors(lists / DEMOGRAPHICS)
    header, *lines = (lists / DEMOGRAPHICS).read_text(encoding="utf-8").splitlines()
    (lists / DEMOGRAPHICS).write_text("\n".join([header, *reversed(lines)]), encoding="utf-8")
    assert divide_actors(lists / DEMOGRAPHICS) == expected
    assert Counter(expected.values()) == {"train": 8, "val": 2, "test": 2}


def test_media_on_disk_do_not_change_what_is_listed(raw: Path, tmp_path: Path) -> None:
    # An absent file is the pipeline's to report, whatever the order in which a folder lists its files.
    expected = [(clip.name, clip.split, clip.label) for clip in CREMAD().clips(raw)]
    shutil.copytree(raw / "cremad", tmp_path / "cremad")
    assert [(clip.name, clip.split, clip.label) for clip in CREMAD().clips(tmp_path)] == expected


def test_the_miniature_has_the_layout_of_the_real_set(raw: Path) -> None:
    clips = CREMAD().clips(raw)
    assert {split: len(found) for split, found in by_split(clips).items()} == {"train": 76, "test": 24}
    assert not any(clip.problem for clip in clips)
    assert max(Counter(clip.label for clip in clips).values()) == 17  # 13 of train and 4 of test
    for clip in clips:
        for file in (clip.visual, clip.audio, clip.landmarks):
            assert file is not None
            assert (raw / file).is_file()
    with av.open(str(raw / str(clips[-1].visual))) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["flv", "mp3float"]
    with av.open(str(raw / str(clips[-1].audio))) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("pcm_s16le", 16000, 1)
    speakers = by_split(CREMAD("speakers").clips(raw))
    actors = {split: {clip.name[:4] for clip in found} for split, found in speakers.items()}
    assert {split: len(found) for split, found in actors.items()} == {"train": 8, "val": 2, "test": 2}
    assert len(set().union(*actors.values())) == 12


def test_the_miniature_holds_the_oddities_of_the_real_set(raw: Path) -> None:
    clips = CREMAD().clips(raw)
    media = {path.relative_to(raw).as_posix() for pattern in CREMAD.media for path in raw.glob(pattern)}
    assert len(media - {clip.visual for clip in clips} - {clip.audio for clip in clips}) == 2
    broken = [clip for clip in clips if (raw / str(clip.visual)).stat().st_size < 300]
    assert [clip.split for clip in broken] == ["train"]
    groups = defaultdict(list)
    for clip in clips:
        groups[store.sha256(raw / str(clip.audio))].append(clip)
    (twins,) = (group for group in groups.values() if len(group) > 1)
    assert {clip.split for clip in twins} == {"train", "test"}
    assert twins[0].label != twins[1].label


@pytest.fixture
def official(mirror: Path, tmp_path: Path) -> Path:
    """The real lists, without media."""
    shutil.copytree(mirror / "cremad/splits_ogm_ge", tmp_path / "cremad/splits_ogm_ge")
    shutil.copy(mirror / "cremad" / DEMOGRAPHICS, tmp_path / DEMOGRAPHICS)
    return tmp_path


def test_the_real_lists_are_those_of_both_papers(official: Path, mirror: Path) -> None:
    config = read_yaml(CONFIG / "cremad.yaml")
    for file in config["sources"]["official"]["files"][1:]:
        assert store.sha256(official / file["path"]) == file["sha256"]
        assert (official / file["path"]).stat().st_size == file["size"]
    clips = CREMAD().clips(official)
    assert {split: len(found) for split, found in by_split(clips).items()} == {"train": 6698, "test": 744}
    assert not any(clip.problem for clip in clips)
    assert {config["classes"][int(str(clip.label))] == clip.name[9:12] for clip in clips} == {True}
    for split, found in by_split(clips).items():
        with (mirror / f"cremad/splits_mmcosine/{split}.csv").open(newline="", encoding="utf-8") as file:
            assert [row[0] for row in csv.reader(file)] == [clip.name for clip in found]


def test_every_listed_file_has_a_checksum_and_no_other(official: Path, mirror: Path) -> None:
    pinned = dict(
        reversed(line.split("  ")) for line in (CONFIG / "cremad.sha256").read_text(encoding="utf-8").splitlines()
    )
    with (mirror / "cremad/lfs_manifest.csv").open(newline="", encoding="utf-8") as file:
        assert pinned == {row["path"]: row["sha256"] for row in csv.DictReader(file)}
    clips = CREMAD().clips(official)
    assert {file for clip in clips for file in (clip.visual, clip.audio)} == set(pinned)
    same = defaultdict(set)
    for clip in clips:
        same[pinned[str(clip.audio)]].add(clip.name[:12])
    assert sorted(sorted(names) for names in same.values() if len(names) > 1) == [
        ["1006_TIE_HAP", "1006_TIE_NEU"],
        ["1013_WSI_DIS", "1013_WSI_SAD"],
        ["1017_IWW_ANG", "1017_IWW_FEA"],
    ]


def test_three_frames_differ_from_one_in_the_pictures_alone() -> None:
    one, three = read_yaml(CONFIG / "cremad.yaml"), read_yaml(CONFIG / "cremad_three_frames.yaml")
    pictures = [config["prepare"]["views"].pop("visual")["frames"] for config in (one, three)]
    assert pictures[0].pop("fps") == 1.0  # a grid would give a short clip the same frame twice
    assert pictures[1] == {**pictures[0], "num_frames": 3}
    assert three.pop("sources") == "cremad"
    assert three.pop("title") == f"{one.pop('title')}, three frames"
    one.pop("sources")
    assert three == one


def test_no_real_actor_is_in_two_splits_and_the_sexes_are_balanced(official: Path) -> None:
    with (official / DEMOGRAPHICS).open(encoding="utf-8") as file:
        sexes = {row["ActorID"]: row["Sex"] for row in csv.DictReader(file)}
    splits = by_split(CREMAD("speakers").clips(official))
    actors = {split: {clip.name[:4] for clip in found} for split, found in splits.items()}
    counted = {split: Counter(sexes[actor] for actor in found) for split, found in actors.items()}
    assert counted == {
        "train": {"Male": 38, "Female": 35},
        "val": {"Male": 5, "Female": 4},
        "test": {"Male": 5, "Female": 4},
    }
    assert sum(map(len, actors.values())) == len(set().union(*actors.values())) == 91
    # Pinned: which actors these are must never change silently.
    assert sorted(actors["test"]) == ["1004", "1034", "1044", "1047", "1048", "1049", "1062", "1080", "1084"]
    assert sorted(actors["val"]) == ["1007", "1014", "1017", "1029", "1046", "1051", "1057", "1070", "1082"]
