"""The device that a step computes on."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from avbalance.errors import UserError

POLL_SECONDS = 1.0
SCHEDULERS = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "JOB_ID")
"""Variables of the jobs of Slurm, LSF, PBS and Grid Engine."""


@contextmanager
def take_device(wanted: str, folder: Path) -> Iterator[torch.device]:
    """Take a GPU that no other step of this checkout uses, and give it back afterwards; the CPU is shared.

    Args:
        wanted: `auto` (a CUDA device if there is one, otherwise the CPU), `cpu`, `cuda` or `cuda:<index>`.
        folder: Folder for the lock files of the GPUs, which may serve several machines.

    Raises:
        UserError: The name is not allowed, or the CUDA device does not exist.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", wanted):
        raise UserError(f"device: {wanted!r} is not a device; allowed: auto, cpu, cuda, cuda:<index>")
    num_gpus = torch.cuda.device_count()
    if wanted == "cpu" or (wanted == "auto" and num_gpus == 0):
        yield torch.device("cpu")
        return
    indices = [int(wanted.split(":")[1])] if ":" in wanted else list(range(num_gpus))
    if not indices or max(indices) >= num_gpus:
        raise UserError(f"device: {wanted!r} does not exist ({num_gpus} CUDA devices found); use 'auto' or 'cpu'")
    with ExitStack() as stack:
        index = 0 if num_gpus == 1 and _is_given() else _first_free(indices, folder, stack)
        torch.cuda.set_device(index)
        yield torch.device("cuda", index)


def _is_given() -> bool:
    """True if a scheduler has chosen the GPUs of this job."""
    return "CUDA_VISIBLE_DEVICES" in os.environ and any(variable in os.environ for variable in SCHEDULERS)


def _first_free(indices: list[int], folder: Path, stack: ExitStack) -> int:
    """Wait until one of these GPUs is free, and hold its lock in `stack`.

    A lock names machine and GPU, because an index means another GPU on another machine or in another process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for index in indices:
            name = f"gpu-{socket.gethostname()}-{torch.cuda.get_device_properties(index).uuid}.lock"
            lock = FileLock(folder / name)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            stack.callback(lock.release)
            return index
        time.sleep(POLL_SECONDS)
