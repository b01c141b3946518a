import gzip
import hashlib
import shutil
from collections import Counter
from pathlib import Path

import pytest

from avbalance.configuration.project import read_yaml
from avbalance.data.audioset import AudioSet
from avbalance.data.mini_audioset import MiniAudioSet
from avbalance.data.miniatures.audioset import AudioSetMiniature
from avbalance.errors import UserError

CONFIG = Path(__file__).parents[2] / "config/datasets"
COMMENT = "# Segments csv created\n# num_ytids=2, num_segs=2\n# YTID, start_seconds, end_seconds, positive_labels\n"
LISTS = ("balanced_train_segments.csv", "unbalanced_train_segments.csv", "eval_segments.csv")


def write(raw: Path, balanced: str, unbalanced: str, test: str) -> Path:
    """Lists of five classes /m/0 to /m/4."""
    (raw / "audioset/csv").mkdir(parents=True)
    (raw / "audioset/clips").mkdir()
    classes = "".join(f'{index},/m/{index},"Class {index}, so called"\n' for index in range(5))
    (raw / "audioset/csv/class_labels_indices.csv").write_text("index,mid,display_name\n" + classes, encoding="utf-8")
    for name, lines in zip(LISTS, (balanced, unbalanced, test), strict=True):
        (raw / f"audioset/csv/{name}").write_text(COMMENT + lines, encoding="utf-8")
    return raw


def test_labels_are_all_classes_of_a_segment(tmp_path: Path) -> None:
    raw = write(
        tmp_path, '-a, 30.000, 40.000, "/m/4,/m/0"\n', 'b, 417.300, 427.300, "/m/1"\n', 'c, 0.000, 10.000, "/m/2"\n'
    )
    balanced, unbalanced, test = AudioSet().clips(raw)
    assert (balanced.name, balanced.split, balanced.label) == ("-a_000030", "train", (0, 4))
    assert (unbalanced.name, unbalanced.label) == ("b_000417", (1,))
    assert (test.split, test.visual) == ("test", "audioset/clips/c_000000.mp4")


def test_unknown_class_is_a_problem_of_the_clip(tmp_path: Path) -> None:
    raw = write(tmp_path, 'a, 0.000, 10.000, "/m/1,/m/9"\n', "", "")
    assert AudioSet().clips(raw)[0].problem == "'/m/9' is not a class of class_labels_indices.csv"


@pytest.mark.parametrize("line", ['a, 0.000, "/m/1"\n', 'a, soon, 10.000, "/m/1"\n'])
def test_line_that_is_no_segment_is_named(tmp_path: Path, line: str) -> None:
    raw = write(tmp_path, "", "", 'b, 0.000, 10.000, "/m/1"\n' + line)
    with pytest.raises(UserError, match=r"eval_segments\.csv: line 5"):
        AudioSet().clips(raw)


def test_mini_keeps_the_commonest_classes_and_numbers_them_anew(tmp_path: Path) -> None:
    counts = {0: 1, 1: 9, 2: 3, 3: 2, 4: 6}
    lines = "".join(
        f'{index}{number}, 0.000, 10.000, "/m/{index}"\n' for index, count in counts.items() for number in range(count)
    )
    raw = write(tmp_path, lines, 'x, 0.000, 10.000, "/m/0,/m/1"\n', 't, 0.0, 1.0, "/m/0"\nu, 0.0, 1.0, "/m/4,/m/3"\n')
    clips = MiniAudioSet(num_classes=3, num_train=100).clips(raw)
    # Training clips of classes 0 to 4: 2, 10, 3, 2, 6; kept are 1, 2 and 4, now 0, 1 and 2.
    assert Counter(clip.label for clip in clips if clip.split == "train") == {(0,): 10, (1,): 3, (2,): 6}
    assert [(clip.name, clip.label) for clip in clips if clip.split == "test"] == [("u_000000", (2,))]


def test_mini_takes_as_many_of_each_class_as_it_can(tmp_path: Path) -> None:
    lines = "".join(
        f'{index}{number}, 0.000, 10.000, "/m/{index}"\n' for index in range(3) for number in range(3**index + 1)
    )
    raw = write(tmp_path, lines, "", "")  # 2, 4 and 10 segments
    chosen = MiniAudioSet(num_classes=3, num_train=10).clips(raw)
    assert Counter(clip.label for clip in chosen) == {(0,): 2, (1,): 4, (2,): 4}
    assert MiniAudioSet(num_classes=3, num_train=10, seed=1).clips(raw) != chosen


def test_mini_asks_for_absent_segments_only_where_too_few_are_there(tmp_path: Path) -> None:
    raw = write(tmp_path, "".join(f'v{number}, 0.000, 10.000, "/m/{number % 2}"\n' for number in range(12)), "", "")
    for number in (0, 1, 4, 5, 6):
        (raw / f"audioset/clips/v{number}_000000.mp4").touch()
    names = [clip.name for clip in MiniAudioSet(num_classes=2, num_train=5).clips(raw)]
    assert sorted(names) == [f"v{number}_000000" for number in (0, 1, 4, 5, 6)]
    assert len(MiniAudioSet(num_classes=2, num_train=7).clips(raw)) == 7


def test_official_lists_are_read(mirror: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audioset/csv"
    folder.mkdir(parents=True)
    shutil.copy(mirror / "splits/audioset/class_labels_indices.csv", folder)
    (folder / LISTS[2]).write_bytes(gzip.decompress((mirror / f"splits/audioset/{LISTS[2]}.gz").read_bytes()))
    for name in LISTS[:2]:
        (folder / name).write_text(COMMENT, encoding="utf-8")
    (classes, *_) = read_yaml(CONFIG / "audioset.yaml")["sources"]["official"]["files"]
    assert hashlib.sha256((tmp_path / classes["path"]).read_bytes()).hexdigest() == classes["sha256"]
    clips = AudioSet().clips(tmp_path)
    # Its second line: num_segs=20371, num_unique_labels=527, num_positive_labels=51804.
    labels = [label for clip in clips if isinstance(clip.label, tuple) for label in clip.label]
    assert (len(clips), len({clip.name for clip in clips}), len(set(labels)), len(labels)) == (20371, 20371, 527, 51804)
    assert not any(clip.problem for clip in clips)
    assert (clips[1].name, clips[1].label) == ("--BfvyPmVMo_000020", (419,))


def test_generated_clips_are_all_there(tmp_path: Path) -> None:
    AudioSetMiniature(num_train=15, num_test=6).generate(tmp_path)
    clips = AudioSet().clips(tmp_path)
    assert Counter(clip.split for clip in clips) == {"train": 15, "test": 6}
    assert all((tmp_path / str(clip.audio)).is_file() for clip in clips)
    assert {len(clip.label) for clip in clips if isinstance(clip.label, tuple)} == {1, 2}
    assert len(MiniAudioSet(num_classes=4, num_train=10).clips(tmp_path)) > 10
