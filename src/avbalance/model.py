"""A model: one encoder for each modality, a fusion and a head."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from avbalance import registry
from avbalance.encoders.base import Encoder
from avbalance.fusions.base import Fusion
from avbalance.heads.base import Head
from avbalance.types import Output


class Model(nn.Module):
    """A chain: encoders -> features -> fusion -> streams -> head -> logits."""

    def __init__(self, encoders: dict[str, Encoder], fusion: Fusion, head: Head) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion
        self.head = head

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return int(self.head.num_classes)

    def encode(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, *shape]} -> {modality: [batch, feature_dim]}, or maps if the fusion reads maps.

        If the fusion joins stages, the encoders wait for each other where they exchange maps.
        """
        if not self.fusion.joins_stages:
            return {modality: encoder(inputs[modality]) for modality, encoder in self.encoders.items()}
        passes = {modality: encoder.stages(inputs[modality]) for modality, encoder in self.encoders.items()}  # type: ignore[operator]
        maps = {modality: next(each) for modality, each in passes.items()}
        for junction in self.fusion.junctions:
            exchanged = junction(maps)
            maps = {modality: each.send(exchanged[modality]) for modality, each in passes.items()}
        return maps

    def forward(self, inputs: dict[str, Tensor]) -> Output:
        """{modality: [batch, *shape]} -> Output with float32 logits."""
        return self.decide(self.encode(inputs))

    def decide(self, features: dict[str, Tensor]) -> Output:
        """Features of `encode` -> Output, by fusion and head, in float32 also under autocast."""
        features = {modality: feature.float() for modality, feature in features.items()}
        device = next(iter(features.values())).device.type
        with torch.autocast(device, enabled=False):
            streams = self.fusion(features)
            return Output(features, streams, self.head(streams))

    def masked(self, output: Output, size: int = 1) -> dict[str, Tensor]:
        """Logits of each modality alone inside the joint model, {modality: [batch, num_classes]}.

        With a larger size, logits of every group of so many modalities, {"audio+visual": [batch, num_classes]}.

        If the fusion keeps modalities apart and the head is a sum over streams, they are the exact share
        W_m f_m + b / M of the logits (OGM-GE, Peng et al., CVPR 2022). Otherwise they are those of `zeroed`, which is
        our generalisation. Fusion and head are in evaluation mode (`settled`).
        """
        with self.settled(), torch.autocast(output.logits.device.type, enabled=False):
            shares = None if self.fusion.mixes else self.head.split(output.streams)
            if shares is not None:
                groups = {"+".join(group): group for group in combinations(output.features, size)}
                return {name: reduce(torch.add, [shares[m] for m in group]) for name, group in groups.items()}
        return self.zeroed(output.features, size)

    def zeroed(self, features: dict[str, Tensor], size: int = 1) -> dict[str, Tensor]:
        """Logits of each group of `size` modalities if all other features are zeros, named as by `masked`.

        Of a linear head they are W_m f_m + b, with the whole bias. Fusion and head are in evaluation mode (`settled`).
        """
        with self.settled():
            return {
                "+".join(group): self.decide(
                    {m: feature if m in group else torch.zeros_like(feature) for m, feature in features.items()}
                ).logits
                for group in combinations(features, size)
            }

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Fusion and head in evaluation mode: there is no dropout, and no running mean sees features of zeros."""
        modes = {module: module.training for module in (self.fusion, self.head)}
        for module in modes:
            module.eval()
        try:
            yield
        finally:  # as before, for one of these may stand within another
            for module, mode in modes.items():
                module.train(mode)

    def class_weights(self) -> dict[str, Tensor]:
        """W_s of a head that is linear in each stream, {stream: [num_classes, dim]}; empty for other heads."""
        return getattr(self.head, "weights", {})

    def weight_gradients(self) -> dict[str, Tensor]:
        """Views of the gradients of `class_weights`, {stream: [num_classes, dim]}."""
        return {
            stream: whole.grad.as_strided(W_s.shape, W_s.stride(), W_s.storage_offset())
            for stream, W_s in self.class_weights().items()
            if (whole := W_s._base) is not None and whole.grad is not None
        }

    def angles(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Angle between each clip's stream and the weight of its class, in degrees, {stream: [batch]}.

        Labels are [batch].

        MMCosine (Xu et al., ICASSP 2023), theta_{y_i} in eq. 3 and Fig. 4.
        """
        cosines = {
            stream: (normalize(output.streams[stream]) * normalize(W_s)[labels]).sum(dim=1)
            for stream, W_s in self.class_weights().items()
        }
        return {stream: cosine.clamp(-1, 1).acos().rad2deg() for stream, cosine in cosines.items()}


def build_model(settings: Mapping[str, Any], description: Mapping[str, Any], seed: int | None = None) -> Model:
    """Build the untrained model of a run.

    Each encoder, the fusion and the head draw their weights from a stream of their own, so equal parts start from equal
    weights in all rows of a seed, whatever the other parts are.

    Args:
        settings: Settings of the run: {"encoder": {modality: spec}, "fusion": spec, "head": spec}.
        description: Description of the dataset: {"num_classes", "modalities": {modality: {"shape"}}}.
        seed: Of the weights; None draws them from torch's stream as it is, for a model that gets others.
    """
    encoders = {}
    for modality, spec in settings["encoder"].items():
        start_stream(seed, f"encoder {modality}")
        encoders[modality] = registry.load("encoder", spec, tuple(description["modalities"][modality]["shape"]))
    if registry.find("fusion", settings["fusion"]).reads_maps:
        for encoder in encoders.values():
            encoder.cut()
    dims = {modality: encoder.feature_dim for modality, encoder in encoders.items()}
    start_stream(seed, "fusion")
    fusion = registry.load("fusion", settings["fusion"], dims)
    if fusion.joins_stages:
        fusion.join({modality: encoder.stage_dims for modality, encoder in encoders.items()})
    start_stream(seed, "head")
    head = registry.load("head", settings["head"], fusion.streams, description["num_classes"])
    return Model(encoders, fusion, head)


def start_stream(seed: int | None, part: str) -> None:
    """Make torch draw next what follows from the seed and the part's name alone; None leaves its stream as it is."""
    if seed is not None:
        torch.manual_seed(int(np.random.SeedSequence([seed, *part.encode()]).generate_state(1)[0]))


def lay_out(module: nn.Module) -> None:
    """Bring weights of 2-D convolutions into the layout in which they are fastest; 3-D ones are not, on a CPU."""
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
