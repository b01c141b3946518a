"""Modality dropout."""

import torch

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Share
from avbalance.types import Batch, Output


class ModalityDropout(Balancer):
    """In training, drop the features of one modality of some clips, so that the model relies on none.

    ModDrop, Neverova et al., PAMI 2016.

        f_m <- delta_m f_m      delta_m = 0 for one m, uniformly chosen, with probability p per clip; else 1

    Features are not rescaled.

    Paper: Each modality is dropped on its own, so that all may be missing.
    Code: Not used.
    Here: At most one modality is missing; row `modality_dropout`.

    Args:
        model: The model to train.
        loss: Its objective.
        probability: p, that a clip lacks a modality.
    """

    several_modalities = True

    def __init__(self, model: Model, loss: Loss, probability: Share = 0.2) -> None:
        super().__init__(model, loss)
        self.probability = probability

    def forward(self, batch: Batch) -> Output:
        """The model's output, in training with missing features."""
        features = self.model.encode(batch.inputs)
        if self.training:
            index = batch.index
            lacks = torch.rand(index.shape, device=index.device) < self.probability
            which = torch.randint(len(features), index.shape, device=index.device)
            features = {
                modality: feature.masked_fill((lacks & (which == number)).view(-1, *[1] * (feature.dim() - 1)), 0.0)
                for number, (modality, feature) in enumerate(features.items())
            }
        return self.model.decide(features)
