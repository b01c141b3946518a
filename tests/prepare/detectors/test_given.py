from pathlib import Path

import numpy as np
import pytest

from avbalance.data.clips import ClipError
from avbalance.prepare.detectors.given import Given
from avbalance.prepare.pictures import Pictures

HEADER = (
    "seconds,right_eye_x,right_eye_y,left_eye_x,left_eye_y,nose_x,nose_y,"
    "mouth_right_x,mouth_right_y,mouth_left_x,mouth_left_y"
)
FACE = "10,20,30,20,20,30,12,40,28,40"


def pictures(landmarks: Path | None, *seconds: float) -> Pictures:
    return Pictures(np.zeros((len(seconds), 4, 4, 3), np.uint8), np.array(seconds), landmarks)


def sidecar(folder: Path, *lines: str) -> Path:
    path = folder / "clip.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def test_landmarks_come_in_the_order_of_the_header(tmp_path: Path) -> None:
    [[face]] = Given(None).detect(pictures(sidecar(tmp_path, f"0.04,{FACE}"), 0.04))
    assert face.landmarks.tolist() == [[10, 20], [30, 20], [20, 30], [12, 40], [28, 40]]
    assert face.score == 1
    # the landmarks span x 10 to 30 and y 20 to 40; twice as wide and high about the middle (20, 30)
    assert face.box == (0, 10, 40, 40)


def test_a_frame_takes_the_nearest_line_within_ten_milliseconds(tmp_path: Path) -> None:
    path = sidecar(tmp_path, f"0,{FACE}", f"0.012,1{FACE}", f"0.5,{FACE}")
    found = Given(None).detect(pictures(path, 0.5, 0.005, 0.007, 0.0219, 0.0221, 0.489, 0.5))
    first_x = [[face.landmarks[0, 0] for face in faces] for faces in found]
    assert first_x == [[10], [10], [110], [110], [], [], [10]]


def test_bom_and_crlf_are_read(tmp_path: Path) -> None:
    path = tmp_path / "clip.csv"
    path.write_bytes(f"\ufeff{HEADER}\r\n0,{FACE}\r\n".encode())
    [[face]] = Given(None).detect(pictures(path, 0.0))
    assert face.landmarks[0].tolist() == [10, 20]


def test_a_header_alone_means_no_face(tmp_path: Path) -> None:
    assert Given(None).detect(pictures(sidecar(tmp_path), 0.0, 0.04)) == [[], []]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("0.2,1,2,3", "line 3: 11 numbers"),
        (f"0.2,{FACE},1", "line 3: 11 numbers"),
        (f"0.2,x{FACE}", "line 3: 11 numbers"),
        ("", "line 3: 11 numbers"),
        (f"nan,{FACE}", "line 3: a number is not finite"),
        (f"0.2,{FACE}e300", "line 3: a number is not finite or far too large"),
        (f"0.1,{FACE}", "line 3: the seconds do not ascend"),
        ("0.2" + ",5,7" * 5, "line 3: the landmarks are less than a pixel apart"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    path = sidecar(tmp_path, f"0.1,{FACE}", line, f"0.3,{FACE}")
    with pytest.raises(ClipError, match=rf"^clip\.csv: {why}"):
        Given(None).detect(pictures(path, 0.1))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", HEADER.upper().encode()])
def test_another_header_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.csv"
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r"^clip\.csv: line 1 is "):
        Given(None).detect(pictures(path, 0.0))


def test_a_clip_without_readable_landmarks_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no file of landmarks"):
        Given(None).detect(pictures(None, 0.0))
    with pytest.raises(ClipError, match=r"clip\.csv: cannot be read"):
        Given(None).detect(pictures(tmp_path / "clip.csv", 0.0))
    (tmp_path / "clip.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClipError, match=r"clip\.csv: cannot be read"):
        Given(None).detect(pictures(tmp_path / "clip.csv", 0.0))
