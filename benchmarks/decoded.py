"""AV-MNIST as an ordinary Dataset: every clip is decoded and transformed by itself, each time it is wanted."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from avmnist import BATCH_SIZE
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avbalance.data.avmnist import AVMNIST
from avbalance.data.fsdd import one_second, read_wav
from avbalance.data.mnist import read_mnist
from avbalance.types import Batch


class DecodedClips(Dataset[tuple[dict[str, Tensor], int]]):
    """The training clips of a packed folder, from the raw files they were packed from.

    The wav is read from disk and brought to one second of root mean square 1, the image is taken from MNIST's array
    and scaled to [0, 1]; both get the reader's noise, drawn anew.
    """

    def __init__(self, raw: Path, packed: Path, reader: AVMNIST, modalities: list[str]) -> None:
        with (packed / "clips.csv").open(encoding="utf-8") as file:
            self.clips = [clip for clip in csv.DictReader(file) if clip["split"] == "train"]
        self.pixels, _ = read_mnist(raw, "train")
        assert reader.audio_snr_db is not None
        self.noise = {"visual": reader.image_noise, "audio": 10 ** (-reader.audio_snr_db / 20)}
        self.raw, self.modalities = raw, modalities

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, place: int) -> tuple[dict[str, Tensor], int]:
        clip, inputs = self.clips[place], {}
        if "visual" in self.modalities:
            inputs["visual"] = torch.from_numpy(self.pixels[int(clip["image"])].astype(np.float32) / 255).unsqueeze(0)
        if "audio" in self.modalities:
            inputs["audio"] = torch.from_numpy(one_second(read_wav(self.raw / clip["recording"])))
        noisy = {name: array + self.noise[name] * torch.randn(array.shape) for name, array in inputs.items()}
        return noisy, int(clip["label"])


class DecodedBatches:
    """A DataLoader's batches as the training loop takes them; its workers live on from epoch to epoch."""

    def __init__(self, clips: DecodedClips, num_workers: int) -> None:
        self.loader = DataLoader(
            clips, BATCH_SIZE, shuffle=True, num_workers=num_workers, persistent_workers=num_workers > 0
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for inputs, labels in self.loader:
            yield Batch(inputs, labels, torch.arange(len(labels)))
