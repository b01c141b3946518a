import resource
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
activations = torch.empty(2**25).fill_(1.0)
later = torch.empty(2**20).fill_(1.0)
del activations
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.empty(2**25).fill_(1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a switch of glibc")
def test_freed_memory_is_used_again_without_the_kernel() -> None:
    faults = [
        int(subprocess.run([sys.executable, "-c", PROGRAM.format(keeps=keeps)], capture_output=True, check=True).stdout)
        for keeps in (False, True)
    ]
    pages = 4 * 2**25 // resource.getpagesize() + 100
    assert faults[1] == 0 < faults[0] <= pages


def test_a_c_library_without_the_switch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_memory()
