"""`avbalance verify` names in one line each whatever is not as it was left."""

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from avbalance import stamps, store, verify
from avbalance.errors import UserError
from avbalance.prepare.download import download

RUN, PAGE, STAMP = Path("results/runs/a-0"), Path("results/page/laptop.html"), Path("results/page/laptop.0.key")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run and one page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["verify"])
    with store.publish(RUN, {"step": "train"}) as out:
        (out / "numbers.txt").write_text("1 2 3", encoding="utf-8")
    stamps.write(PAGE.with_suffix(""), {".html": "page"}, STAMP, {"step": "page", "inputs": {}})


def test_what_is_whole_is_counted(results: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/runs/failed-0").mkdir()  # Snakemake makes it before the step
    verify.main()
    said = capsys.readouterr().out
    assert "1 artifacts and 1 tables, figures, audits and pages verified; 0 tables are what their runs say" in said


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (RUN / "numbers.txt", "1 2 4", f"{RUN}/numbers.txt has other bytes than its manifest says"),
        (RUN / store.MANIFEST, None, f"{RUN}/{store.MANIFEST} is missing: the artifact is damaged; remove it with"),
        (PAGE, None, f"{PAGE} is missing; 'snakemake --cores all' makes it again"),
        (PAGE, "pagE", f"{PAGE} has other bytes than laptop.0.key records"),
        (STAMP, "", f"{STAMP} is not a stamp (JSONDecodeError"),
        (STAMP, '{"step": "page", "fil', f"{STAMP} is not a stamp (JSONDecodeError"),
        (STAMP, "[]", f"{STAMP} is not a stamp (TypeError"),
        (STAMP, '{"step": "page"}', f"{STAMP} is not a stamp (KeyError('files'))"),
    ],
)
def test_what_is_not_as_it_was_left_is_one_line(results: None, file: Path, content: str | None, said: str) -> None:
    file.unlink() if content is None else file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        verify.main()
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_files_within_archives_are_read_again(results: None, tmp_path: Path) -> None:
    with tarfile.open("clips.tar", "w") as archive:
        member = tarfile.TarInfo("a.mp4")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"first"))
    file = {"path": "clips.tar", "urls": [], "sha256": store.sha256(Path("clips.tar")), "unpack": True}
    download({"settings": {"files": [file]}}, Path("results/raw/a.0"), str(tmp_path), tmp_path / "cache")
    verify.main()
    archive_file = Path("results/raw/a.0/clips.tar")
    archive_file.write_bytes(archive_file.read_bytes().replace(b"first", b"fir5t"))
    with pytest.raises(UserError, match=r"^results/raw/a.0/clips.tar has other bytes than its manifest says"):
        verify.main()
    Path("results/raw/a.0/index.sqlite").write_bytes(b"no index")
    with pytest.raises(UserError, match=r"^results/raw/a.0/index.sqlite has 8 bytes instead of"):
        verify.main()


def test_a_table_of_older_code_is_counted_and_not_compared(results: None, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"table": "old", "spec": {}}
    recipe = {"step": "table", "settings": settings, "inputs": {}, "code": "0123456789ab"}
    stamp = Path("results/tables/laptop/old.0123456789ab.key")
    stamps.write(stamp.with_name("old"), {".md": "old"}, stamp, recipe)
    verify.main()
    assert "0 tables are what their runs say, 1 of older code were not compared with them" in capsys.readouterr().out


def test_a_stamp_holds_the_recipe_and_what_the_files_are(results: None) -> None:
    recipe = stamps.read(STAMP)
    assert (recipe["step"], recipe["files"]) == ("page", {"laptop.html": store.file_entry(PAGE)})
    assert json.loads(STAMP.read_text(encoding="utf-8")) == recipe
