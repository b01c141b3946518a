"""Scores of modalities, from which methods decide."""

import torch
from torch import Tensor


@torch.no_grad()
def true_probabilities(logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """softmax(z_m)[y] of every clip, {modality: [batch]}; labels are [batch]."""
    return {m: z_m.float().softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1) for m, z_m in logits.items()}


def mean_of_others(values: dict[str, Tensor], modality: str) -> Tensor:
    """Mean over the other modalities; of two, the value of the other one."""
    return torch.stack([value for other, value in values.items() if other != modality]).mean(dim=0)
