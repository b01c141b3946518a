import gzip
import shutil
from collections import Counter
from pathlib import Path

import av
import pytest

from avbalance import store
from avbalance.configuration.project import read_yaml
from avbalance.data.clips import Clip, Trial
from avbalance.data.miniatures.voxceleb import VoxCelebMiniature
from avbalance.data.voxceleb import LISTS, VoxCeleb, read_trials
from avbalance.errors import UserError

CONFIG = Path(__file__).parents[2] / "config/datasets"
PATHS = {name: path for name, (_, _, path) in LISTS.items()}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    VoxCelebMiniature(num_train=24, num_test=24).generate(folder)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Lists of a few trials and empty files in the place of media."""
    texts = {
        "vc1": "1,id10270/aaaaaaaaaaa/00001.wav,id10270/bbbbbbbbbbb/00002.wav\n",
        "vc2": "0,/id00017/ccccccccccc/00001.wav,/id10001/ddddddddddd/00003.wav\n",
        "vc1_o": "0 id10270/aaaaaaaaaaa/00001.wav id10269/eeeeeeeeeee/00001.wav\n",
        "vc1_o_cleaned": "0 id10270/aaaaaaaaaaa/00001.wav id10269/eeeeeeeeeee/00001.wav\n",
    }
    media = [
        "vox2/dev/aac/id00013/z/00002.m4a",
        "vox2/dev/aac/id00012/y/00001.m4a",
        "voxceleb_videos/dev/mp4/id00012/y/00001.mp4",
        "voxceleb_videos/dev/mp4/id00012/y/00001.landmarks.csv",
        "voxceleb_videos/mp4/id10270/aaaaaaaaaaa/00001.mp4",
    ]
    for path in (*PATHS.values(), *media):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for name, text in texts.items():
        (tmp_path / PATHS[name]).write_text(text, encoding="utf-8")
    return tmp_path


def test_dev_is_train_and_what_the_lists_name_is_test(small: Path) -> None:
    one, two = "id10270/aaaaaaaaaaa/00001", "id10270/bbbbbbbbbbb/00002"
    three, four, five = "id00017/ccccccccccc/00001", "id10001/ddddddddddd/00003", "id10269/eeeeeeeeeee/00001"
    landmarks = "voxceleb_videos/dev/mp4/id00012/y/00001.landmarks.csv"
    dev = "{0}/dev/{1}/id00013/z/00002.{2}".format
    assert VoxCeleb().clips(small) == [
        Clip(
            "vox2/id00012/y/00001", "train", 0, f"{landmarks[:-14]}.mp4", "vox2/dev/aac/id00012/y/00001.m4a", landmarks
        ),
        Clip("vox2/id00013/z/00002", "train", 1, dev("voxceleb_videos", "mp4", "mp4"), dev("vox2", "aac", "m4a")),
        # Persons of test follow the two of train: id00017, id10001, id10269, id10270. Of VoxCeleb1 only one clip
        # has a video; that a video of VoxCeleb2 is absent is the pipeline's to report.
        Clip(f"vox1/{five}", "test", 4, None, f"vox1/wav/{five}.wav"),
        Clip(f"vox1/{one}", "test", 5, f"voxceleb_videos/mp4/{one}.mp4", f"vox1/wav/{one}.wav"),
        Clip(f"vox1/{two}", "test", 5, None, f"vox1/wav/{two}.wav"),
        Clip(f"vox2/{three}", "test", 2, f"voxceleb_videos/mp4/{three}.mp4", f"vox2/aac/{three}.m4a"),
        Clip(f"vox2/{four}", "test", 3, f"voxceleb_videos/mp4/{four}.mp4", f"vox2/aac/{four}.m4a"),
    ]


def test_trials_name_the_test_clips(small: Path) -> None:
    one, two = "vox1/id10270/aaaaaaaaaaa/00001", "vox1/id10270/bbbbbbbbbbb/00002"
    assert VoxCeleb().trials(small) == {
        "vc1": [Trial(one, two, True)],
        "vc2": [Trial("vox2/id00017/ccccccccccc/00001", "vox2/id10001/ddddddddddd/00003", False)],
        "vc1_o": [Trial(one, "vox1/id10269/eeeeeeeeeee/00001", False)],
        "vc1_o_cleaned": [Trial(one, "vox1/id10269/eeeeeeeeeee/00001", False)],
    }


def test_byte_order_marks_and_line_ends_change_nothing(small: Path) -> None:
    expected = VoxCeleb().trials(small)
    for path in PATHS.values():
        text = (small / path).read_text(encoding="utf-8").replace("\n", "\r\n")
        (small / path).write_bytes(text.encode("utf-8-sig"))
    assert VoxCeleb().trials(small) == expected


@pytest.mark.parametrize(
    "line",
    [
        "2,id10270/aaaaaaaaaaa/00001.wav,id10270/bbbbbbbbbbb/00002.wav",
        "1,id10270/aaaaaaaaaaa/00001.wav,../etc/passwd",
        "1,id10270/aaaaaaaaaaa/00001.wav,id10270/../../00001.wav",
        "label,enrol,test",
    ],
)
def test_what_is_no_trial_is_an_error_that_names_file_and_line(small: Path, line: str) -> None:
    with (small / PATHS["vc1"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=r"veri_test\.csv: line 2: is not 1 or 0 and two files"):
        VoxCeleb().clips(small)


def test_an_absent_list_is_an_error(small: Path) -> None:
    (small / PATHS["vc1_o"]).unlink()
    with pytest.raises(UserError, match=r"veri_test\.txt: .* does not exist"):
        VoxCeleb().clips(small)


def test_the_order_in_which_files_were_made_does_not_matter(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for path in sorted((path for path in small.rglob("*") if path.is_file()), reverse=True):
        target = copy / path.relative_to(small)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert VoxCeleb().clips(copy) == VoxCeleb().clips(small)


def test_the_miniature_has_the_layout_of_the_real_set(raw: Path) -> None:
    clips = VoxCeleb().clips(raw)
    assert Counter(clip.split for clip in clips) == {"train": 24, "test": 24}  # 6 x 4 of each
    assert Counter(clip.label for clip in clips if clip.split == "train") == dict.fromkeys(range(6), 4)
    assert all((raw / file).is_file() for clip in clips for file in (clip.visual, clip.audio, clip.landmarks) if file)
    for file, codec in ((clips[-1].visual, "h264"), (clips[-1].audio, "aac"), (clips[24].audio, "pcm_s16le")):
        with av.open(str(raw / str(file))) as container:
            assert [stream.codec_context.name for stream in container.streams] == [codec]
    names = {clip.name for clip in clips}
    assert len(names) == len(clips)
    persons = {split: {c.name.split("/")[1] for c in clips if c.split == split} for split in ("train", "test")}
    assert not persons["train"] & persons["test"]
    for trials in VoxCeleb().trials(raw).values():
        assert {trial.enrol for trial in trials} | {trial.test for trial in trials} <= names
        assert all(trial.is_target == (trial.enrol.split("/")[1] == trial.test.split("/")[1]) for trial in trials)


def test_the_miniature_holds_the_oddities_of_the_real_set(raw: Path) -> None:
    clips = VoxCeleb().clips(raw)
    (unseen,) = (clip.name for clip in clips if clip.visual is None)
    trials = VoxCeleb().trials(raw)
    # 3 persons of 4 clips: 3 x 6 targets and as many others; without one clip, 3 targets less.
    assert {name: sum(trial.is_target for trial in found) for name, found in trials.items()} == {
        "vc1": 15,
        "vc2": 18,
        "vc1_o": 18,
        "vc1_o_cleaned": 17,
    }
    assert set(trials["vc1"]) == {trial for trial in trials["vc1_o"] if unseen not in trial[:2]}
    assert trials["vc1_o_cleaned"] == trials["vc1_o"][:-2]
    used = {file for clip in clips for file in (clip.visual, clip.audio)}
    found = {path.relative_to(raw).as_posix() for pattern in VoxCeleb.media for path in raw.glob(pattern)}
    assert len(found - used) == 1
    broken = [clip.name for clip in clips if clip.visual and (raw / clip.visual).stat().st_size == 200]
    assert broken == ["vox2/id01000/video000000/00001"]


def test_the_real_lists_of_mmcosine_are_as_described(mirror: Path, tmp_path: Path) -> None:
    files = {file.get("path"): file for file in read_yaml(CONFIG / "voxceleb.yaml")["sources"]["official"]["files"]}
    expected = {"vc1": (27270, 13905, 3984, 40), "vc2": (9822, 4911, 10319, 118)}
    for name, numbers in expected.items():
        part, delimiter, path = LISTS[name]
        (tmp_path / Path(path).name).write_bytes(gzip.decompress((mirror / f"{path}.gz").read_bytes()))
        assert store.sha256(tmp_path / Path(path).name) == files[path]["sha256"]
        assert (tmp_path / Path(path).name).stat().st_size == files[path]["size"]
        trials = read_trials(tmp_path / Path(path).name, part, delimiter)
        named = {clip for trial in trials for clip in trial[:2]}
        persons = {clip.split("/")[1] for clip in named}
        assert (len(trials), sum(trial.is_target for trial in trials), len(named), len(persons)) == numbers
        assert all(trial.is_target == (trial.enrol.split("/")[1] == trial.test.split("/")[1]) for trial in trials)
