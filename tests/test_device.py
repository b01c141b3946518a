import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from types import SimpleNamespace

import pytest
import torch

from avbalance import device
from avbalance.device import take_device
from avbalance.errors import UserError


def pretend(num_gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"GPU-{index}"))
    monkeypatch.setattr(device, "POLL_SECONDS", 0.01)
    for variable in ("CUDA_VISIBLE_DEVICES", *device.SCHEDULERS):
        monkeypatch.delenv(variable, raising=False)


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


@pytest.mark.parametrize(
    ("first", "second", "more", "expected"),
    [
        (["node1", "A"], ["node1", "A"], {}, None),
        (["node1", "A", "B"], ["node1", "A", "B"], {}, "cuda:1"),
        (["node1", "A"], ["node1", "B"], {}, "cuda:0"),
        (["node1", "A"], ["node2", "A"], {}, "cuda:0"),
        (["node1", "A"], ["node1", "A"], {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0"}, "cuda:0"),
        (["node1", "A"], ["node1", "A"], {"SLURM_JOB_ID": "7"}, None),
        (["node1", "A", "B"], ["node1", "A", "B"], {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1"}, "cuda:1"),
    ],
    ids=[
        "the same GPU",
        "two GPUs",
        "one visible GPU each",
        "two nodes",
        "given by a scheduler",
        "in a job to which no GPU was given",
        "several given by a scheduler to one workflow",
    ],
)
def test_steps_of_one_checkout_wait_for_each_other_only_at_the_same_gpu(
    first: list[str],
    second: list[str],
    more: dict[str, str],
    expected: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(1, monkeypatch)
    for variable, value in more.items():
        monkeypatch.setenv(variable, value)
    with ExitStack() as stack:
        own, other = (stack.enter_context(step(tmp_path, *arguments)) for arguments in (first, second))
        own.send("take")
        assert own.recv() == "cuda:0"
        other.send("take")
        assert other.poll(10 if expected else 0.3) == (expected is not None)
        own.send("end")
        assert other.recv() == (expected or "cuda:0")
        other.send("end")


@contextmanager
def step(folder: Path, host: str, *uuids: str) -> Iterator["Connection[str, str]"]:
    """A process on a node with some GPUs, which takes one when it is told so."""
    here, there = Pipe()
    process = get_context("fork").Process(target=take, args=(there, folder, host, uuids))
    process.start()
    yield here
    process.join(10)
    process.kill()
    assert process.exitcode == 0


def take(connection: "Connection[str, str]", folder: Path, host: str, uuids: tuple[str, ...]) -> None:
    device.socket.gethostname = lambda: host
    torch.cuda.device_count = lambda: len(uuids)
    torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=uuids[index])
    assert connection.recv() == "take"
    with take_device("auto", folder) as given:
        connection.send(str(given))
        assert connection.recv() == "end"


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
