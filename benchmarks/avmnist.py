"""The AV-MNIST clips and models that the measurements train."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avbalance.data.avmnist import AVMNIST
from avbalance.data.miniatures.avmnist import AVMNISTMiniature
from avbalance.data.prepared import read_description
from avbalance.prepare.pack import write_arrays
from avbalance.registry import Spec

BATCH_SIZE = 64
ENCODERS: dict[str, Spec] = {"visual": "conv2net", "audio": "conv1net"}
MAX_GENERATED_BATCHES = 17
"""The generated source has 1,437 training images: 17 batches of 64 and a quarter of that for val."""


def pack(raw: Path | None, folder: Path, num_batches: int) -> tuple[Path, AVMNIST, dict[str, Any]]:
    """Pack `num_batches` full training batches, and a quarter as many clips for val, into `folder`.

    Args:
        raw: A raw folder (mnist/*.gz, fsdd/recordings/*.wav); None for the generated source.
        folder: An empty folder; it also takes the generated source.
        num_batches: Of the training split.

    Returns:
        The raw folder, the reader, and the packed data's `dataset.json`.
    """
    if raw is None:
        raw = folder / "raw"
        AVMNISTMiniature().generate(raw)
    reader = AVMNIST(num_train=num_batches * BATCH_SIZE * 5 // 4, num_test=100)
    data = {"dataset": "avmnist", "num_classes": 10}
    write_arrays(reader.read_arrays(raw), folder, data, raw, folder / "report-copy.json")
    return raw, reader, read_description({"audio": folder, "visual": folder})


def settings(encoders: Mapping[str, Spec], head: str, seed: int = 0) -> dict[str, Any]:
    """A run's settings: concatenation, trained jointly."""
    methods = {"fusion": "concat", "head": head, "loss": "joint", "balancer": "joint"}
    return {"encoder": dict(encoders), **methods, "seed": seed}
