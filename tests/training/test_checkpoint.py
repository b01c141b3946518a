"""What is taken up of a killed run, and what is not."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avbalance import store
from avbalance.errors import UserError
from avbalance.owners import this_process
from avbalance.train import train_recipe
from avbalance.training.checkpoint import FILES, load_checkpoint, save_checkpoint

Make = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def replace_by_a_pickle(file: Path) -> None:
    file.write_bytes(pickle.dumps(Hostile(), protocol=2))


def replace_by_a_pickle_with_the_right_name(file: Path) -> None:
    replace_by_a_pickle(file)
    file.rename(file.with_name(f"checkpoint.{store.sha256(file)}.pt"))


def saved(folder: Path) -> Path:
    (file,) = folder.glob(FILES)
    return file


def test_the_last_state_is_kept_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert load_checkpoint(folder, CPU) is None
    for epoch in (1, 2, 2):
        save_checkpoint(folder, {"weights": torch.full([3], epoch), "files": {}})
    assert [file.name for file in folder.iterdir()] == [saved(folder).name]
    state = load_checkpoint(folder, CPU)
    assert state is not None
    assert state["weights"].tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "damage", [flip_a_bit, cut, empty, replace_by_a_pickle, replace_by_a_pickle_with_the_right_name]
)
def test_a_damaged_checkpoint_is_set_aside_with_a_line(
    damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path, {"weights": torch.ones(1000), "files": {}})
    damage(saved(tmp_path))
    name = saved(tmp_path).name
    assert load_checkpoint(tmp_path, CPU) is None
    assert [file.name for file in tmp_path.iterdir()] == [f"{name}.damaged"]  # nothing was executed
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("the checkpoint ")
    assert line.endswith(f"; it is kept as {tmp_path / name}.damaged, and training begins anew")


def test_a_run_with_a_damaged_checkpoint_or_snapshot_begins_anew_and_gives_the_same_bits(
    recipe: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    half, whole = (recipe(training={"epochs": epochs, "snapshots": [0, 5]}) for epochs in (2, 3))
    undisturbed = train_recipe(whole, CPU, tmp_path / "undisturbed", 1e9).model.state_dict()
    kept = (tmp_path / "undisturbed" / "snapshot_5.safetensors").read_bytes()
    for place, damage in (("checkpoint", flip_a_bit), ("snapshot", flip_a_bit), ("snapshot", Path.unlink)):
        folder = tmp_path / f"{place}-{damage.__name__}"
        train_recipe(half, CPU, folder, 0)
        capfd.readouterr()
        damage(saved(folder) if place == "checkpoint" else folder / "snapshot_5.safetensors")
        resumed = train_recipe(whole, CPU, folder, 1e9).model.state_dict()
        assert "training begins anew" in capfd.readouterr().err
        assert all(torch.equal(value, resumed[name]) for name, value in undisturbed.items())
        assert (folder / "snapshot_5.safetensors").read_bytes() == kept


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    unfinished = tmp_path / f"checkpoint.{this_process()}.unfinished"
    unfinished.symlink_to("/dev/full")
    with pytest.raises(UserError, match=rf"^{unfinished}: No space left on device$"):
        save_checkpoint(tmp_path, {"weights": torch.zeros(10_000), "files": {}})
    assert load_checkpoint(tmp_path, CPU) is None


def test_two_nodes_that_train_one_run_disturb_each_other_in_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One saves while the other is writing; after either, a whole checkpoint is there."""
    other = tmp_path / "checkpoint.node2.7.0a1b2c3d-1.unfinished"
    other.write_bytes(b"the half of a checkpoint")
    for step in (1, 2):
        save_checkpoint(tmp_path, {"step": step, "files": {}})
        assert load_checkpoint(tmp_path, CPU) == {"step": step, "files": {}}
    assert other.read_bytes() == b"the half of a checkpoint"

    unlink = Path.unlink

    def gone_already(path: Path, missing_ok: bool = False) -> None:
        unlink(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", gone_already)
    save_checkpoint(tmp_path, {"step": 3, "files": {}})
    assert load_checkpoint(tmp_path, CPU) == {"step": 3, "files": {}}
