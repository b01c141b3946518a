"""Archives of every kind, well-behaved and not."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from avbalance import store
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.prepare import archives
from avbalance.prepare.archives import WrongBytesError
from avbalance.prepare.download import download, place
from avbalance.prepare.indexing import index, unpack
from avbalance.prepare.staging import Staging

NOISE = hashlib.shake_128(b"noise").digest(300_000)
FILES = {"clips/a.mp4": b"first", "clips/deep/b.mp4": b"second", "c.txt": b""}


def tar(folder: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w") -> Path:
    path = folder / "archive.tar"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.name = name
            if isinstance(content, bytes):
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


def zipped(folder: Path, members: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    path = folder / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return path


def rar(folder: Path, members: dict[str, bytes]) -> Path:
    """Version 4 of the format, its members stored as they are."""

    def block(kind: int, flags: int, rest: bytes) -> bytes:
        header = struct.pack("<BHH", kind, flags, 7 + len(rest)) + rest
        return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header

    blocks = [b"Rar!\x1a\x07\x00", block(0x73, 0, bytes(6))]
    for name, content in members.items():
        fields = (len(content), len(content), 3, zlib.crc32(content), 0, 20, 0x30, len(name), stat.S_IFREG | 0o644)
        blocks += [block(0x74, 0x8000, struct.pack("<IIBIIBBHI", *fields) + name.encode()), content]
    path = folder / "archive.rar"
    path.write_bytes(b"".join([*blocks, block(0x7B, 0x4000, b"")]))
    return path


def indexed(archive: Path, folder: Path) -> dict[str, bytes]:
    """The members of an archive by way of a raw folder, each as its checksum says."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = Staging(folder / "staging")
    place({"path": archive.name, "sha256": store.sha256(archive), "unpack": True}, [archive], staging, folder)
    known: dict[str, str] = {}
    with store.publish(folder / "raw", {}, known, lists_all=False) as made:
        known |= staging.fill(made)
    raw = RawFiles(folder / "raw")
    found = {}
    for name in raw.checksums:
        raw.check(name)
        opened = raw.open(name)
        if isinstance(opened, Path):
            found[name] = opened.read_bytes()
        else:
            with opened:
                found[name] = opened.read()
    staging.close()
    return {name: content for name, content in found.items() if name not in (archive.name, f"{archive.name}.tar")}


def made_folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(folder: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Write a list of checksums; return its place in a recipe."""
    path = folder / "files.sha256"
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_everything_is_read_whatever_the_kind_and_the_name(tmp_path: Path, mode: str) -> None:
    made = zipped(tmp_path, FILES) if mode == "zip" else tar(tmp_path, dict(FILES), mode)
    assert indexed(made.rename(tmp_path / "nameless"), tmp_path / "out") == FILES
    kept = "nameless" if mode in ("w", "zip") else "nameless.tar"
    assert sorted(contents(tmp_path / "out/raw")) == sorted(["c.txt", "index.sqlite", "manifest.json", kept])


@pytest.mark.parametrize("kind", [tar, zipped])
def test_of_listed_contents_only_these_are_unpacked_with_or_without_a_top_folder(tmp_path: Path, kind: Any) -> None:  # noqa: ANN401
    made = kind(tmp_path, {"top-1.0/clips/a.mp4": b"first", "clips/deep/b.mp4": b"second", "../evil": b"!", "x": b"x"})
    wanted = {name: FILES[name] for name in ("clips/a.mp4", "clips/deep/b.mp4")}
    unpack([made], tmp_path / "out", listed(tmp_path, wanted))
    assert contents(tmp_path / "out") == wanted
    with pytest.raises(
        WrongBytesError, match=r"of the 3 files in .*files.sha256, 1 are missing \(c.txt\) and 1 have other"
    ):
        unpack([made], tmp_path / "again", listed(tmp_path, wanted | {"clips/a.mp4": b"fir5t", "c.txt": b""}))


@pytest.mark.parametrize("kind", [tar, zipped])
@pytest.mark.parametrize("name", ["../evil", "clips/../../evil", "/tmp/avbalance-evil", ".."])
def test_a_member_outside_the_folder_is_refused_and_not_written(tmp_path: Path, kind: Any, name: str) -> None:  # noqa: ANN401
    made = kind(tmp_path, {name: b"!"})
    with pytest.raises(UserError, match="lies outside the folder it belongs to"):
        index([made], made_folder(tmp_path / "work/out"), "x")
    assert contents(tmp_path) == {made.name: made.read_bytes()}
    assert not Path("/tmp/avbalance-evil").exists()


@pytest.mark.parametrize("kind", [tar, zipped])
@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("c/a", "c/a/b/d")])
def test_a_file_that_is_a_folder_as_well_is_one_line(tmp_path: Path, kind: Any, names: tuple[str, str]) -> None:  # noqa: ANN401
    made = kind(tmp_path, dict.fromkeys(names, b"x"))
    with pytest.raises(UserError, match=rf"^{made}: holds '{names[1]}' both as a file and as a folder"):
        index([made], made_folder(tmp_path / "out"), "x")


def test_a_member_of_any_other_name_lies_in_the_folder_under_that_name(tmp_path: Path) -> None:
    files = {"..\\..\\x": b"1", "new\nline": b"2", "-rf": b"3", "$(touch y)": b"4", "ä b": b"5"}
    assert indexed(tar(tmp_path, dict(files)), tmp_path / "out") == files
    lists = {f"{name}.txt": content for name, content in files.items()}  # these are written as files
    assert indexed(tar(tmp_path, dict(lists)), tmp_path / "work/out") == lists
    assert lists.items() <= contents(tmp_path / "work/out/raw").items()
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["out"]


def test_a_name_that_is_not_utf8_is_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    made = tmp_path / "archive.tar"
    with tarfile.open(made, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    assert indexed(made, tmp_path / "out") == {name: b""}


def test_a_member_that_was_packed_twice_counts_as_the_later_one(tmp_path: Path) -> None:
    made = tar(tmp_path, {"a": b"first"})
    with tarfile.open(made, "a") as archive:
        member = tarfile.TarInfo("a")
        member.size = 6
        archive.addfile(member, io.BytesIO(b"second"))
    assert indexed(made, tmp_path / "out") == {"a": b"second"}


def test_a_tar_of_files_with_holes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holes.mp4").write_bytes(b"")
    os.truncate(tmp_path / "holes.mp4", 1 << 20)
    made = tmp_path / "archive.tar"
    subprocess.run(["tar", "--sparse", "-cf", made, "-C", tmp_path, "holes.mp4"], check=True)
    with pytest.raises(UserError, match=r"holds 'holes.mp4', a file with holes; pack it without --sparse"):
        index([made], made_folder(tmp_path / "out"), "x")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_cannot_be_read_in_place_becomes_a_tar(tmp_path: Path, method: int) -> None:
    made = tmp_path / "archive.zip"
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    assert indexed(made, tmp_path / "out") == FILES
    assert (tmp_path / "out/raw/archive.zip").exists() == (method == zipfile.ZIP_STORED)
    assert (tmp_path / "out/raw/archive.zip.tar").exists() == (method != zipfile.ZIP_STORED)


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("names", [("x.partaa", "x.partab", "x.partac"), ("x_part1", "x_part2", "x_part10")])
def test_an_archive_in_parts_is_read_across_them(tmp_path: Path, kind: str, names: tuple[str, ...]) -> None:
    files = {"a.mp4": NOISE, "list.csv": b"a", "b.mp4": NOISE[::-1]}
    whole = (tar(tmp_path, dict(files)) if kind == "tar" else zipped(tmp_path, files)).read_bytes()
    third = len(whole) // 3
    (tmp_path / "mirror").mkdir()
    for name, part in zip(names, (whole[:third], whole[third : 2 * third], whole[2 * third :]), strict=True):
        (tmp_path / "mirror" / name).write_bytes(part)
    file = {"path": f"x.{kind}" if "_" in names[0] else "x", "urls": [], "md5": hashlib.md5(whole).hexdigest()}
    recipe = {"settings": {"files": [file | {"unpack": True}]}}
    download(recipe, tmp_path / "raw/x.0", str(tmp_path / "mirror"), tmp_path / "cache")
    raw = RawFiles(tmp_path / "raw/x.0")
    assert {name for name in raw.checksums if name not in names} == set(files)
    for name in raw.checksums:
        raw.check(name)
    with raw.open("b.mp4") as opened:
        assert opened.read() == NOISE[::-1]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    made = tar(tmp_path, {"clips": special(kind, "/etc"), "clips/passwd": b"!"})
    with pytest.raises(UserError, match=r"archive\.tar: holds 'clips', a link or a device"):
        index([made], made_folder(tmp_path / "out"), "x")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int) -> None:
    made = zipped(tmp_path, {"clips": b"/etc", "clips/passwd": b"!"}, {"clips": mode})
    with pytest.raises(UserError, match=r"archive\.zip: holds 'clips', a link or a device"):
        index([made], made_folder(tmp_path / "out"), "x")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("kind", ["w:gz", "w:xz", "zip"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str) -> None:
    members = {"zeros": bytes(5_000_000)}
    made = zipped(tmp_path, members) if kind == "zip" else tar(tmp_path, dict(members), kind)
    assert made.stat().st_size < 50_000  # else it were no bomb: 100 x 50,000 = 5,000,000
    with pytest.raises(UserError, match="implausible"):
        index([made], made_folder(tmp_path / "out"), "x")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("limit", ["MAX_MEMBERS", "MAX_BYTES"])
def test_an_archive_of_too_many_files_or_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    made = tar(tmp_path, {"a": b"123", "b": b"456", "c": b"789"})
    monkeypatch.setattr(archives, limit, {"MAX_MEMBERS": 3, "MAX_BYTES": 9}[limit])
    index([made], made_folder(tmp_path / "out"), "x")
    monkeypatch.setattr(archives, limit, {"MAX_MEMBERS": 2, "MAX_BYTES": 8}[limit])
    with pytest.raises(UserError, match="implausible"):
        index([made], made_folder(tmp_path / "out"), "x")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    made = zipped(tmp_path, {"a": b"secret"})
    damaged = bytearray(made.read_bytes())
    damaged[6] |= 1  # the flag, in the header of the file
    damaged[damaged.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    made.write_bytes(damaged)
    with pytest.raises(UserError, match=r"archive\.zip: is encrypted"):
        index([made], made_folder(tmp_path / "out"), "x")


@pytest.mark.parametrize("kind", ["tar", "gz", "bz2", "xz", "zip", "html", "empty", "rotten bz2", "rotten zip"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, kind: str) -> None:
    plain = tar(tmp_path, {"a": NOISE, "b": b"!"}).read_bytes()
    packed = zipped(tmp_path, {"a": NOISE}).read_bytes()
    middle = slice(150_000, 150_100)
    damaged = {
        "tar": plain[:200_000],
        "gz": gzip.compress(plain)[:200_000],
        "bz2": bz2.compress(plain)[:200_000],
        "xz": lzma.compress(plain)[:200_000],
        "zip": packed[:200_000],
        "html": b"<html>Not found</html>",
        "empty": b"",
        "rotten bz2": bz2.compress(plain).replace(bz2.compress(plain)[middle], bytes(100)),
        "rotten zip": packed.replace(packed[middle], bytes(100)),
    }[kind]
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(WrongBytesError, match=r"^is not a readable tar, zip or rar archive: [^\n]+$"):
        index([tmp_path / "damaged"], made_folder(tmp_path / "out"), "x")


def test_a_full_disk_is_no_fault_of_the_archive(tmp_path: Path) -> None:
    made = tar(tmp_path, {"a.txt": b"first"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.txt").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        index([made], made_folder(tmp_path / "out"), "x")


@pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar is not installed")
def test_a_rar_is_unpacked_as_safely_by_bsdtar(tmp_path: Path) -> None:
    assert indexed(rar(tmp_path, FILES), tmp_path / "out") == FILES
    with pytest.raises(UserError, match="lies outside the folder"):
        index([rar(tmp_path, {"../evil": b"!"})], made_folder(tmp_path / "work/out"), "x")
    made = rar(tmp_path, {"a": NOISE})
    made.write_bytes(made.read_bytes()[:1000])
    with pytest.raises(WrongBytesError, match="is not a readable tar, zip or rar archive"):
        index([made], made_folder(tmp_path / "again"), "x")


@pytest.mark.parametrize("code", [0, 1])
def test_what_bsdtar_writes_is_read_to_its_end_and_its_failure_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    stand_in = tmp_path / "bin/bsdtar"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f"#!/bin/sh\n/bin/cat {tar(tmp_path, dict(FILES))}\n/usr/bin/head -c 1000000 /dev/zero\nexit {code}\n",
        encoding="utf-8",
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:/usr/bin:/bin")
    if code == 0:
        assert indexed(rar(tmp_path, {}), tmp_path / "out") == FILES
        return
    with pytest.raises(WrongBytesError, match="bsdtar ended with code 1"):
        index([rar(tmp_path, {})], made_folder(tmp_path / "out"), "x")


def test_a_rar_without_bsdtar_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt install libarchive-tools") as error:
        index([rar(tmp_path, FILES)], made_folder(tmp_path / "out"), "x")
    assert not isinstance(error.value, WrongBytesError)  # the file is kept
