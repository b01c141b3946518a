"""Scores of modalities, from which methods decide."""

from collections.abc import Sequence
from itertools import combinations
from math import factorial

import torch
from torch import Tensor

from avbalance.model import Model
from avbalance.types import Output


@torch.no_grad()
def true_probabilities(logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """softmax(z_m)[y] of every clip, {modality: [batch]}; labels are [batch]."""
    return {m: z_m.float().softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1) for m, z_m in logits.items()}


def mean_of_others(values: dict[str, Tensor], modality: str) -> Tensor:
    """Mean over the other modalities; of two, the value of the other one."""
    return torch.stack([value for other, value in values.items() if other != modality]).mean(dim=0)


def logits_of_groups(model: Model, output: Output) -> dict[frozenset[str], Tensor]:
    """Logits of every group of modalities, {group: [batch, num_classes]}: masked ones, or of all the joint ones."""
    z = {frozenset(output.features): output.logits}
    for size in range(1, len(output.features)):
        z |= {frozenset(name.split("+")): z_S for name, z_S in model.masked(output, size).items()}
    return z


def shapley(v: dict[frozenset[str], Tensor], modalities: Sequence[str]) -> dict[str, Tensor]:
    """Shapley value of each modality, from the values v(S) of all groups of modalities; v of none is 0.

    phi^m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S + m) - v(S)); all phi^m sum to v of all modalities.
    """
    M = len(modalities)
    phi = {}
    for m in modalities:
        others = [n for n in modalities if n != m]
        phi[m] = v[frozenset([m])] / M
        for S in (frozenset(group) for size in range(1, M) for group in combinations(others, size)):
            share = factorial(len(S)) * factorial(M - len(S) - 1) / factorial(M)
            phi[m] = phi[m] + share * (v[S | {m}] - v[S])
    return phi
