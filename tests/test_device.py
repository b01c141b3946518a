import threading
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest
import torch

from avbalance import device
from avbalance.device import take_device
from avbalance.errors import UserError


def pretend(num_gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    monkeypatch.setattr(device, "POLL_SECONDS", 0.01)


@pytest.mark.parametrize(("wanted", "num_gpus"), [("auto", 0), ("cpu", 0), ("cpu", 2)])
def test_the_cpu_is_shared(wanted: str, num_gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(num_gpus, monkeypatch)
    with take_device(wanted, tmp_path / "locks") as first, take_device(wanted, tmp_path / "locks") as second:
        assert first == second == torch.device("cpu")
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize(("wanted", "num_gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_is_named(
    wanted: str, num_gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(num_gpus, monkeypatch)
    error = rf"device: '{wanted}' does not exist \({num_gpus} CUDA devices found\); use 'auto' or 'cpu'"
    with pytest.raises(UserError, match=error), take_device(wanted, tmp_path):
        pass


def test_the_device_asked_for_is_given_and_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(2, monkeypatch)
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with take_device("cuda:1", tmp_path) as given:
        assert given == torch.device("cuda", 1)
    assert chosen == [1]


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_two_steps_get_two_gpus_and_a_third_waits_for_the_first_that_is_free(
    wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(2, monkeypatch)
    claimed: SimpleQueue[torch.device] = SimpleQueue()

    def third_step() -> None:
        with take_device(wanted, tmp_path) as given:
            claimed.put(given)

    third = threading.Thread(target=third_step, daemon=True)
    with take_device(wanted, tmp_path) as first:
        with take_device(wanted, tmp_path) as second:
            assert {first, second} == {torch.device("cuda", 0), torch.device("cuda", 1)}
            third.start()
            with pytest.raises(Empty):
                claimed.get(timeout=0.2)
        assert claimed.get(timeout=10) == second
    third.join(timeout=10)
    assert not third.is_alive()


def test_a_gpu_is_free_again_after_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(1, monkeypatch)
    with pytest.raises(RuntimeError), take_device("cuda", tmp_path):
        raise RuntimeError
    claimed: SimpleQueue[torch.device] = SimpleQueue()

    def next_step() -> None:
        with take_device("cuda", tmp_path) as given:
            claimed.put(given)

    threading.Thread(target=next_step, daemon=True).start()
    assert claimed.get(timeout=10) == torch.device("cuda", 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_tensors_live_on_the_claimed_gpu(tmp_path: Path) -> None:
    with take_device("auto", tmp_path) as given:
        assert given.type == "cuda"
        assert torch.cuda.current_device() == given.index
        assert torch.ones(3, device=given).sum().item() == 3


@pytest.mark.parametrize("wanted", ["gpu", "mps", "cuda:x", "cuda:-1", "mps:0"])
def test_a_name_that_is_no_device_is_refused(wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(UserError, match=f"'{wanted}' is not a device; allowed: auto, cpu, cuda"),
        take_device(wanted, tmp_path),
    ):
        pass
