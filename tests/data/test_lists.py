import hashlib
from pathlib import Path

import pytest

from avbalance.data.lists import read_checksums, read_rows, read_table, write_rows
from avbalance.errors import UserError

LINES = ["id,start,label", '-x1, 3,"dog, barking"', "", "y2,4,cat"]
ROWS = [(2, {"id": "-x1", "start": "3", "label": "dog, barking"}), (4, {"id": "y2", "start": "4", "label": "cat"})]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["without_mark", "byte_order_mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_marks_and_line_ends_do_not_matter(tmp_path: Path, mark: bytes, end: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(mark + end.join(LINES).encode())
    assert list(read_table(path, ("label", "id"))) == ROWS
    assert [fields for _, fields in read_rows(path, 3)] == [list(ROWS[0][1]), *(list(row.values()) for _, row in ROWS)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("delimiter", [",", " "], ids=["comma", "blank"])
def test_what_is_written_is_read_again(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    path = tmp_path / "lists/list.csv"
    write_rows(path, [["a", "dog, barking"], ["b", 2]], delimiter, end, encoding)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    assert path.read_bytes().count(end.encode()) == 2
    assert [fields for _, fields in read_rows(path, 2, delimiter)] == [["a", "dog, barking"], ["b", "2"]]


def test_comment_is_passed_over_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("# made by, hand, today, at last\na,1\n# b\nc,2\n", encoding="utf-8")
    assert list(read_rows(tmp_path / "list.csv", 2, comment="#")) == [(2, ["a", "1"]), (4, ["c", "2"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,label\na,1\nb\n", "line 3 has 1 fields instead of 2"),
        (b"id,label\na,1,2\n", "line 2 has 3 fields instead of 2"),
        (b"id,class\na,1\n", "line 1 has no column 'label'"),
        (b"", "line 1 has no column 'id'"),
        (b"id,label\na,\xff\n", "cannot be read"),
    ],
)
def test_what_is_no_such_list_is_named_by_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        list(read_table(path, ("id", "label")))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv: this list does not exist"):
        list(read_rows(tmp_path / "none.csv", 1))


def test_a_list_of_checksums_is_read_whatever_its_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "files.sha256"
    path.write_bytes(f"\ufeff{'0' * 64}  a b.wav\r\n\n{'1' * 64} *sub/\u2028.wav".encode())
    assert read_checksums(path) == {"a b.wav": "0" * 64, "sub/\u2028.wav": "1" * 64}


def test_a_list_of_checksums_of_another_form_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "files.sha256"
    path.write_text(f"\ufeff{'0' * 64}  a.wav\r\nnonsense\r\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"files.sha256: line 2: expected a sha256 and a path"):
        read_checksums(path)


def test_a_list_of_checksums_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "files.sha256"
    path.write_text(f"{'0' * 64}  a.wav\n", encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(read_checksums(path, digest)) == ["a.wav"]
    path.write_text(f"{'1' * 64}  a.wav\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"files.sha256: was changed after the work was planned"):
        read_checksums(path, digest)
