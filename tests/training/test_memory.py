import subprocess
import sys

import pytest

from avbalance.training import memory

PROGRAM = """
import resource
from avbalance.training.memory import keep_memory
if {keeps}:
    keep_memory()
import torch
from torch import nn
network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())  # maps of 50 MB
faults = []
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network(torch.ones(64, 1, 160, 160)).sum().backward()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(faults[-1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a switch of glibc")
def test_a_step_finds_the_memory_of_the_step_before() -> None:
    faults = [
        int(subprocess.run([sys.executable, "-c", PROGRAM.format(keeps=keeps)], capture_output=True, check=True).stdout)
        for keeps in (False, True)
    ]
    assert faults[1] < faults[0] / 10


def test_a_c_library_without_the_switch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_memory()
