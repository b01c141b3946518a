import ast
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from avbalance import cli, store
from avbalance.errors import UserError


def make(path: Path) -> Path:
    with store.publish(path, {"step": "x"}) as out:
        (out / "numbers.txt").write_text("1 2 3", encoding="utf-8")
    return path


def test_a_manifest_holds_recipe_files_and_provenance(tmp_path: Path) -> None:
    manifest = store.open_artifact(make(tmp_path / "a"))
    assert manifest["recipe"] == {"step": "x"}
    digest = "7c8f5059290305cec8323d79521f0353c9ac308b60cb4c1976340d0ce4a121d5"  # printf '1 2 3' | sha256sum
    assert manifest["files"] == {"numbers.txt": {"size": 5, "sha256": digest}}
    assert set(manifest["provenance"]) >= {"commit", "versions", "device", "seconds", "peak_memory_bytes"}


def test_an_artifact_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), store.publish(tmp_path / "a", {}) as out:
        (out / "half").write_text("", encoding="utf-8")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_is_seen_without_reading_it(tmp_path: Path) -> None:
    (make(tmp_path / "a") / "numbers.txt").write_text("1 2", encoding="utf-8")
    with pytest.raises(UserError, match=r"numbers.txt has 3 bytes instead of 5.*; remove it with 'rm -r .*/a': "):
        store.read_manifest(tmp_path / "a")


def test_a_large_file_is_hashed_again_only_if_it_was_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with store.publish(Path("a"), {}) as out:
        (out / "large").write_bytes(b"x" * store.LARGE)
        (out / "small").write_bytes(b"y")
    hashed: list[str] = []
    sha256 = store.sha256
    monkeypatch.setattr(store, "sha256", lambda file: (hashed.append(file.name), sha256(file))[1])
    store.open_artifact(Path("a"))
    store.open_artifact(Path("a"))
    assert hashed == ["small", "small"]  # the large one was hashed when it was published
    store.open_artifact(Path("a"), read_again=True)
    assert hashed[2:] == ["large", "small"]
    os.link("a/large", "another name")  # changes a time
    hashed.clear()
    store.open_artifact(Path("a"))
    store.open_artifact(Path("a"))
    assert hashed == ["large", "small", "small"]
    times = (Path("a/large").stat().st_atime_ns, Path("a/large").stat().st_mtime_ns)
    Path("a/large").write_bytes(b"z" * store.LARGE)
    os.utime("a/large", ns=times)  # as if nothing had happened
    with pytest.raises(UserError, match=r"large has other bytes"):
        store.open_artifact(Path("a"))


def test_a_file_of_the_same_size_but_other_bytes_is_refused(tmp_path: Path) -> None:
    (make(tmp_path / "a") / "numbers.txt").write_text("1 2 4", encoding="utf-8")
    store.read_manifest(tmp_path / "a")
    with pytest.raises(UserError, match=r"numbers.txt has other bytes"):
        store.open_artifact(tmp_path / "a")


def test_a_missing_file_and_a_broken_manifest_are_named(tmp_path: Path) -> None:
    (make(tmp_path / "a") / "numbers.txt").unlink()
    with pytest.raises(UserError, match=r"numbers.txt is missing"):
        store.open_artifact(tmp_path / "a")
    (make(tmp_path / "b") / "manifest.json").write_text(json.dumps({"files": 3})[:-2], encoding="utf-8")
    with pytest.raises(UserError, match=r"manifest.json is not a manifest"):
        store.open_artifact(tmp_path / "b")


def test_an_absent_artifact_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist; get it with 'dvc pull'"):
        store.open_artifact(tmp_path / "nothing")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/a: No space left on device$"), store.publish(tmp_path / "a", {}) as out:
        (out / "full.npy").symlink_to("/dev/full")
        np.save(out / "full.npy", np.zeros(10_000))
    (tmp_path / ".a.txt.unfinished").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"/a.txt: No space left on device$"):
        store.replace(tmp_path / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_an_array_that_is_larger_than_the_space_left_is_named(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        message = r"/a: 20000 requested and \d+ written: is the disk full"
        with pytest.raises(UserError, match=message), store.publish(tmp_path / "a", {}) as out:
            np.save(out / "array.npy", np.zeros(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_permission_is_one_line_that_names_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)

    def step() -> None:
        with store.publish(closed / "a", {}):
            pass

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # root may write everywhere, so the child gives up being root
        os.dup2(writing, 2)
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            cli.run(step)
        except SystemExit as end:
            os.write(2, str(end.code).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    message = os.read(reading, 10000).decode()
    assert message.startswith("error: [Errno 13] Permission denied: ")
    assert str(tmp_path) in message
    assert list(closed.iterdir()) == []


def test_json_never_holds_a_number_that_json_has_not() -> None:
    """Every call says so; `finite` gives None where a number does not exist."""
    sources = sorted((Path(store.__file__).parent).rglob("*.py"))
    calls = [
        (source.name, node)
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("dump", "dumps")
    ]
    assert len(calls) > 10
    for name, call in calls:
        assert "allow_nan=False" in [ast.unparse(keyword) for keyword in call.keywords], f"{name}, line {call.lineno}"
    content = {"eer": float("nan"), "ogr": [np.float64("inf"), 1.5], "name": "nan"}
    assert store.finite(content) == {"eer": None, "ogr": [None, 1.5], "name": "nan"}
