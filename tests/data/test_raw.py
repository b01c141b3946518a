"""Access to the files of a raw folder."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest

from avbalance import store
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.prepare import staging
from avbalance.prepare.download import download

CLIPS = {f"sub/{name}.mp4": hashlib.shake_128(name.encode()).digest(100_000) for name in "abc"}
LIST = {"sub/list.csv": b"a,b,c"}


def archive(path: Path) -> Path:
    """Archive of the clips and the list, of the kind that the suffix says."""
    path.parent.mkdir(exist_ok=True)
    for name, content in (CLIPS | LIST).items():
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as zipped:
                zipped.writestr(name, content)
        else:
            with tarfile.open(path, "a") as tar:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(params=["top/clips.tar", "top/clips.zip"])
def packed(tmp_path: Path, request: pytest.FixtureRequest) -> RawFiles:
    made = archive(tmp_path / "mirror" / Path(request.param).name)
    (tmp_path / "mirror/top").mkdir()
    made.rename(tmp_path / "mirror" / request.param)
    file = {"path": request.param, "urls": [], "sha256": store.sha256(tmp_path / "mirror" / request.param)}
    recipe = {"settings": {"files": [file | {"unpack": True}]}}
    download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    return RawFiles(tmp_path / "raw")


def test_files_in_an_archive_are_listed_found_and_opened(packed: RawFiles) -> None:
    (lying,) = packed.folder.glob("top/clips.*")
    names = [f"top/{name}" for name in (CLIPS | LIST)]
    assert sorted(packed.checksums) == sorted([*names, f"top/{lying.name}"])
    assert len(packed.checksums) == 5
    assert packed.matching("top/*/*.mp4") == packed.matching("top/**/*.mp4") == names[:3]
    assert packed.matching("*/list.csv") == []
    assert packed.matching("**/*.csv") == ["top/sub/list.csv"]
    assert packed.open("top/sub/list.csv") == packed.folder / "top/sub/list.csv"
    assert "top/sub/b.mp4" in packed
    assert "top/sub/d.mp4" not in packed
    with pytest.raises(KeyError):
        packed.checksums["top/sub/d.mp4"]
    again = pickle.loads(pickle.dumps(packed))
    with again.open("top/sub/b.mp4") as file:
        assert file.read(5) == CLIPS["sub/b.mp4"][:5]
        assert file.seek(-3, 2) == 99_997
        assert file.read() == CLIPS["sub/b.mp4"][-3:]
        assert file.seek(0) == 0
        assert file.read() == CLIPS["sub/b.mp4"]


def test_a_member_with_other_bytes_is_named(packed: RawFiles) -> None:
    (lying,) = packed.folder.glob("top/clips.*")
    packed.check("top/sub/b.mp4")
    content = lying.read_bytes()
    middle = len(content) // 2  # within b
    lying.write_bytes(content[:middle] + b"!!!" + content[middle + 3 :])
    with pytest.raises(UserError, match=r"sub/b.mp4:? (differs from its manifest|is damaged)"):
        packed.check("top/sub/b.mp4")
    packed.check("top/sub/a.mp4")


@pytest.mark.parametrize("name", ["manifest.json", "index.sqlite"])
def test_a_member_with_a_name_that_the_folder_needs_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x", encoding="utf-8")
    with tarfile.open(tmp_path / "x.tar", "w") as made:
        made.add(tmp_path / name, name)
    file = {"path": "x.tar", "urls": [], "sha256": store.sha256(tmp_path / "x.tar"), "unpack": True}
    with pytest.raises(UserError, match=rf"^x.tar: brings '{name}', a name that is taken"):
        download({"settings": {"files": [file]}}, tmp_path / "raw", str(tmp_path), tmp_path / "cache")


def test_an_archive_that_was_removed_is_named_with_the_way_back(packed: RawFiles) -> None:
    (lying,) = packed.folder.glob("top/clips.*")
    lying.unlink()
    with pytest.raises(UserError, match=rf"{lying}: was removed and does not exist; bring it back, or remove"):
        packed.check("top/sub/b.mp4")


def test_a_damaged_index_is_one_line(packed: RawFiles) -> None:
    index = packed.folder / "index.sqlite"
    index.write_bytes(b"x" * index.stat().st_size)
    with pytest.raises(UserError, match=r"index.sqlite: is damaged \(file is not a database\)"):
        packed.locate("top/sub/b.mp4")


def test_a_folder_of_many_files_lists_them_in_its_index_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "FEW", 2)
    (tmp_path / "mirror").mkdir()
    lines = []
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / "mirror" / name).write_text(name, encoding="utf-8")
        lines.append(f"{store.sha256(tmp_path / 'mirror' / name)}  {name}\n")
    (tmp_path / "all.sha256").write_text("".join(lines), encoding="utf-8")
    listed = {"path": str(tmp_path / "all.sha256"), "sha256": store.sha256(tmp_path / "all.sha256")}
    recipe = {"settings": {"files": [{"list": listed, "urls": []}]}}
    download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert list(store.open_artifact(tmp_path / "raw")["files"]) == ["index.sqlite"]
    raw = RawFiles(tmp_path / "raw")
    assert [f"{digest}  {name}\n" for name, digest in raw.checksums.items()] == lines
    raw.check("b.mp4")
    assert raw.open("b.mp4") == tmp_path / "raw/b.mp4"


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
