"""Access to the files of a raw folder."""

from pathlib import Path

import pytest

from avbalance import store
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError


@pytest.fixture
def raw(tmp_path: Path) -> RawFiles:
    with store.publish(tmp_path / "raw", {"step": "download"}) as folder:
        for name in ("clips/b.mp4", "clips/a.mp4", "list.csv"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name, encoding="utf-8")
    return RawFiles(tmp_path / "raw")


def test_the_files_of_a_folder_are_listed_found_and_opened(raw: RawFiles) -> None:
    assert sorted(raw.checksums) == ["clips/a.mp4", "clips/b.mp4", "list.csv"]
    assert raw.matching("clips/*.mp4") == ["clips/a.mp4", "clips/b.mp4"]
    assert "list.csv" in raw
    assert "clips" not in raw
    assert raw.open("list.csv") == raw.locate("list.csv") == raw.folder / "list.csv"


def test_a_file_with_other_bytes_is_named(raw: RawFiles) -> None:
    raw.check("list.csv")
    (raw.folder / "list.csv").write_text("list.cs5", encoding="utf-8")
    with pytest.raises(UserError, match=r"raw/list.csv: differs from its manifest"):
        raw.check("list.csv")


def test_a_folder_without_a_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest.json: cannot be read"):
        assert RawFiles(tmp_path).checksums
