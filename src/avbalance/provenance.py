"""Provenance of an artifact: commit, versions, device, seconds and memory."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "torch", "torchaudio", "torchvision", "pandas", "snakemake"),
    *("av", "opencv-contrib-python-headless", "retina-face"),
)


@cache
def environment() -> dict[str, Any]:
    """Return {"commit", "python", "versions"} of this process; the warm process reads them once for all steps."""
    versions = {name: version(name) for name in PACKAGES}
    return {"commit": commit(), "python": platform.python_version(), "versions": versions}


def commit() -> str:
    """Return the commit of the checkout that holds this code, with `-dirty` if its tracked files differ.

    Files in `results/` do not count: a workflow writes them, and they decide no number.
    """
    root = Path(__file__).parent
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
        return head + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    completed = subprocess.run(["git", *arguments], cwd=root, capture_output=True, encoding="utf-8", check=True)
    return completed.stdout.strip()


def processor() -> str:
    """Return the model name of the CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peak_memory_mib(provenance: Mapping[str, Any]) -> float:
    """Return the peak memory of a step in MiB: on its GPU if it used one, otherwise of its process."""
    num_bytes = provenance["peak_gpu_memory_bytes"] or provenance["peak_memory_bytes"]
    return float(num_bytes) / 2**20


class Provenance:
    """Measure a step from the creation of this object to `finish`."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def finish(self) -> dict[str, Any]:
        """Return {"commit", "versions", "device", "threads", "seconds", "peak_memory_bytes", "finished", ...}."""
        torch = sys.modules.get("torch")
        device, gpu_bytes = processor(), 0
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            device, gpu_bytes = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated()
        return {
            **environment(),
            "device": device,
            "threads": torch.get_num_threads() if torch is not None else 1,
            "cores": os.cpu_count(),
            "seconds": round(time.perf_counter() - self.start, 3),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "peak_gpu_memory_bytes": gpu_bytes,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
