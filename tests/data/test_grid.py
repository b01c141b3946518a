import csv
from collections import Counter
from pathlib import Path

import pytest

from avbalance import registry
from avbalance.data.grid import GRID, METADATA
from avbalance.data.miniatures.grid import GRIDMiniature
from avbalance.errors import UserError
from avbalance.prepare.decode import read_frames
from avbalance.prepare.inspection import inspect_media

HEADER = "path,id,word_times_s\n"
LINE = "clips/{0}.mp4,{0},bin:0.9:1.1;blue:1.1:1.3;at:1.3:1.4;{1}:1.4:1.6;two:1.6:1.9;now:1.9:2.1\n"


def write(raw: Path, text: str) -> Path:
    (raw / METADATA).parent.mkdir(parents=True)
    (raw / METADATA).write_bytes(text.encode())
    return raw


def test_the_real_sentences_and_their_split(mirror: Path) -> None:
    clips = GRID("digit").clips(mirror)
    assert len(clips) == 1000
    assert Counter(clip.split for clip in clips) == {"train": 800, "test": 200}
    assert set(Counter(clip.label for clip in clips).values()) == {100}
    with (mirror / METADATA).open(encoding="utf-8") as file:
        given = {row["id"]: row["split"] for row in csv.DictReader(file)}  # made by the same rule, for digits
    assert {clip.name: clip.split for clip in clips} == given
    letters = Counter((clip.label, clip.split) for clip in GRID("letter").clips(mirror))
    assert {letters[label, "test"] for label in range(25)} == {8}
    assert {letters[label, "train"] for label in range(25)} == {32}


def test_a_clip_is_a_stretch_around_the_middle_of_its_word(tmp_path: Path) -> None:
    raw = write(tmp_path, HEADER + LINE.format("bbaf2n", "f"))
    (digit,), (letter,) = GRID("digit", seconds=0.6).clips(raw), GRID("letter", seconds=0.6).clips(raw)
    # "two" lasts from 1.6 to 1.9 s: 1.75 - 0.3 and 1.75 + 0.3.
    assert (digit.start, digit.end) == pytest.approx((1.45, 2.05))
    assert (letter.start, letter.end) == pytest.approx((1.2, 1.8))
    assert (digit.label, letter.label) == (2, 5)
    assert digit.visual == digit.audio == "grid_s1/clips/bbaf2n.mp4"


def test_a_mark_at_the_start_and_ends_of_lines_of_windows_change_nothing(tmp_path: Path) -> None:
    text = HEADER + "".join(LINE.format(f"s{i}", "abcde"[i]) for i in range(5))
    plain = GRID("letter").clips(write(tmp_path / "plain", text))
    odd = GRID("letter").clips(write(tmp_path / "odd", "\ufeff" + text.replace("\n", "\r\n")))
    assert plain == odd


def test_the_order_of_the_lines_changes_nothing(tmp_path: Path) -> None:
    lines = [LINE.format(f"s{i:02d}", "ab"[i % 2]) for i in range(20)]
    ordered = GRID("letter").clips(write(tmp_path / "one", HEADER + "".join(lines)))
    assert GRID("letter").clips(write(tmp_path / "two", HEADER + "".join(lines[::-1]))) == ordered


def test_a_word_that_is_none_is_a_problem_of_its_clip_alone(tmp_path: Path) -> None:
    clips = GRID("letter").clips(write(tmp_path, HEADER + LINE.format("s0", "a") + LINE.format("s1", "w")))
    assert [clip.problem for clip in clips] == ["", "'w' is not a letter"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,id\n", r"metadata.csv: line 1: has no column 'word_times_s'"),
        (HEADER + "clips/a.mp4,a\n", r"metadata.csv: line 2: has another number of fields than line 1"),
        (HEADER + "clips/a.mp4,a,bin:0:1\n", r"line 2: word_times_s is 'bin:0:1'; it must be word:start:end"),
    ],
)
def test_a_wrong_list_is_named_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        GRID("digit").clips(write(tmp_path, text))


def test_no_list_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metadata.csv: no such file"):
        GRID().clips(tmp_path)
    with pytest.raises(UserError, match=r"grid.seconds is 0; it must be more than 0"):
        GRID(seconds=0)


def test_the_miniature_is_read_like_the_real_files_and_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        GRIDMiniature(num_sentences=6).generate(tmp_path / name)
    clips = registry.load("data", {"grid": {"word": "digit"}}).clips(tmp_path / "one")
    assert [clip.label for clip in clips] == list(range(6))
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    media = inspect_media(tmp_path / "one" / str(clips[0].visual))
    assert len(media.frame_seconds) == 32
    assert media.has_audio
    assert read_frames(media, media.frame_seconds[:1]).shape == (1, 64, 64, 3)


def test_impossible_options_are_the_users_error() -> None:
    with pytest.raises(UserError, match="num_sentences is 0; at least 1"):
        GRIDMiniature(num_sentences=0)
    with pytest.raises(UserError, match=r"informativeness_visual is 1.1; allowed are 0 to 1"):
        GRIDMiniature(informativeness_visual=1.1)


def test_each_modality_has_its_own_informativeness() -> None:
    assert GRIDMiniature().informativeness == {"audio": 0.95, "visual": 0.7}
