"""Features of chosen layers of an encoder, from one pass over the clips that leaves the encoder unchanged."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avbalance import registry
from avbalance.data.array_writer import ArrayWriter
from avbalance.data.packed import Batches, Split
from avbalance.errors import UserError
from avbalance.probing.names import INPUT, OUTPUT, select
from avbalance.reductions.base import Reduction
from avbalance.registry import Spec

MIB = 2**20


class Extraction:
    """The layers that a configuration stands for, and the reduction of each one's features.

    Args:
        encoder: Encoder of one modality.
        layers: Names and patterns, as in `table_schema.Probing`.
        reduction: Reduction of features.
        sample: A few clips, [batch, *shape].

    Attributes:
        reductions: {layer: its reduction}, in the order in which the layers finish.

    Raises:
        UserError: A layer does not exist, is not used exactly once in a pass, or does not give a single tensor.
    """

    def __init__(self, encoder: nn.Module, layers: Sequence[str], reduction: Spec, sample: Tensor) -> None:
        self.encoder = encoder
        names = [INPUT, *(name for name, _ in encoder.named_modules() if name), OUTPUT]
        self._layers = select(layers, names)
        shapes: dict[str, tuple[int, ...]] = {}
        num_uses = dict.fromkeys(self._layers, 0)

        def note(layer: str, features: Tensor) -> None:
            shapes[layer] = tuple(features.shape[1:])
            num_uses[layer] += 1

        with self.watched(len(sample), note):
            encoder(sample)
        for layer, num in num_uses.items():
            if num != 1:
                problem = "is not used in" if num == 0 else f"is used {num} times in"
                raise UserError(f"probe.layers: {layer!r} {problem} a pass through the encoder; choose another layer")
        self.reductions: dict[str, Reduction] = {
            layer: registry.load("feature_reduction", reduction, shape) for layer, shape in shapes.items()
        }

    def run(self, splits: Mapping[str, Split], modality: str, batch_size: int, folder: Path) -> None:
        """Write `<layer>-<split>.npy`, float32 [clips, num_features], into an empty folder.

        Raises:
            UserError: The disk has too little space.
        """
        num_clips = sum(map(len, splits.values()))
        self._check_disk(num_clips, folder)
        for name, split in splits.items():
            writers = {
                layer: ArrayWriter(path_of(folder, layer, name), (reduction.num_features,), "<f4")
                for layer, reduction in self.reductions.items()
            }

            def write(layer: str, features: Tensor, writers: dict[str, ArrayWriter] = writers) -> None:
                writers[layer].append(self.reductions[layer](features).float().cpu().numpy())

            for batch in Batches(split, batch_size):
                inputs = batch.inputs[modality]
                with self.watched(len(inputs), write):
                    self.encoder(inputs)
            for writer in writers.values():
                writer.close()

    @contextmanager
    def watched(self, num_clips: int, take: Callable[[str, Tensor], None]) -> Iterator[None]:
        """Pass each layer's features [num_clips, *shape] to `take`; restore modes and random state afterwards."""
        modules = dict(self.encoder.named_modules())
        modes = {module: module.training for module in modules.values()}
        handles = []
        for layer in self._layers:
            if layer == INPUT:

                def before(_: nn.Module, given: tuple[Tensor, ...]) -> None:
                    take(INPUT, given[0])

                handles.append(self.encoder.register_forward_pre_hook(before))
                continue

            def after(_: nn.Module, __: object, output: object, layer: str = layer) -> None:
                if not isinstance(output, Tensor):
                    raise UserError(f"probe.layers: {layer!r} does not give a single tensor; choose a layer inside it")
                take(layer, _by_clip(layer, output, num_clips))

            handles.append(modules["" if layer == OUTPUT else layer].register_forward_hook(after))
        devices = sorted({parameter.device.index for parameter in self.encoder.parameters() if parameter.is_cuda})
        try:
            with torch.no_grad(), torch.random.fork_rng(devices):
                self.encoder.eval()
                yield
        finally:
            for handle in handles:
                handle.remove()
            for module, mode in modes.items():
                module.training = mode

    def _check_disk(self, num_clips: int, folder: Path) -> None:
        sizes = {layer: reduction.num_features for layer, reduction in self.reductions.items()}
        wanted, free = 4 * num_clips * sum(sizes.values()), shutil.disk_usage(folder).free
        if wanted > free:
            largest = max(sizes, key=lambda layer: sizes[layer])
            num = free // (4 * num_clips * len(sizes))
            raise UserError(
                f"{sum(sizes.values())} features of {num_clips} clips take {wanted / MIB:.0f} MiB on disk, and "
                f"{free / MIB:.0f} MiB are free in {folder}; layer {largest!r} has {sizes[largest]}; probe fewer "
                f"layers, or set probe.reduction to mean or {{subset: {{num: {max(1, num)}}}}} or less"
            )


def path_of(folder: Path, layer: str, split: str) -> Path:
    """Path of the file with a layer's features of a split."""
    return folder / f"{layer}-{split}.npy"


def first_clips(split: Split, modality: str) -> Tensor:
    """Return a few clips of a split, [batch, *shape]."""
    return split.batch(np.arange(min(2, len(split)))).inputs[modality]


def _by_clip(layer: str, features: Tensor, num_clips: int) -> Tensor:
    """[num_clips * frames, channels, *positions] -> [num_clips, channels, frames, *positions]: frames are positions."""
    if len(features) == num_clips:
        return features
    if len(features) % num_clips or features.dim() < 2:
        raise UserError(
            f"probe.layers: {layer!r} gives {len(features)} rows for {num_clips} clips; choose another layer"
        )
    return features.view(num_clips, -1, *features.shape[1:]).transpose(1, 2)
