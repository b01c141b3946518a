"""CML, calibrated multi-modal learning."""

from itertools import pairwise

import torch
from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import NotNegative
from avbalance.types import Batch, Output


class CML(Balancer):
    """Train on subsets of the modalities too, and forbid confidence to rise when a modality is taken away.

    After Ma et al., ICML 2023. In every step, for a chain of subsets T_0 = all modalities, T_k+1 = T_k without one that
    is drawn at random, down to a single one (K = M subsets), with conf(T) = max_c softmax(z(T))_c,

        L = 1 / K sum_k CE(z(T_k), y) + lam sum_k mean_i relu(conf_i(T_k+1) - conf_i(T_k))

    Features outside T are zeros. Terms are `joint`, `subset` and `calibration`.

    Paper: Every clip whose confidence rises is penalised.
    Code: Clips that the smaller subset alone classifies correctly are not penalised.
    Here: As the code, `spares_right: true`, in row `cml`; as the paper, `spares_right: false`, in row `cml_paper`.

    Args:
        model: The model to train.
        loss: Cross-entropy of the joint logits.
        lam: Weight of the penalty.
        spares_right: No penalty where the smaller subset alone is right.
    """

    requires_loss = ("joint",)
    tasks = ("single_label",)
    several_modalities = True

    def __init__(self, model: Model, loss: Loss, lam: NotNegative = 0.1, spares_right: bool = True) -> None:
        super().__init__(model, loss)
        self.lam, self.spares_right = lam, spares_right

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """{"joint": scalar, "subset": scalar, "calibration": scalar}."""
        modalities = sorted(output.features)  # the draw falls on names, whatever their order
        dropped = [modalities[place] for place in torch.randperm(len(modalities))[:-1].tolist()]
        features = output.features
        chain = [output.logits]
        with self.model.settled():
            for m in dropped:
                features = {**features, m: torch.zeros_like(features[m])}
                chain.append(self.model.decide(features).logits)
        rises = [
            rise_of_confidence(larger, smaller, batch.labels, self.spares_right) for larger, smaller in pairwise(chain)
        ]
        joint, *others = (objective(z, batch.labels) / len(chain) for z in chain)
        subset = torch.stack(others).sum()
        return {"joint": joint, "subset": subset, "calibration": self.lam * torch.stack(rises).sum()}


def rise_of_confidence(larger: Tensor, smaller: Tensor, labels: Tensor, spares_right: bool) -> Tensor:
    """Mean rise from the logits of a larger to those of a smaller subset, [batch, num_classes]; scalar."""
    p, q = larger.softmax(dim=1), smaller.softmax(dim=1)
    rise = (q.amax(dim=1) - p.amax(dim=1)).relu()
    if spares_right:
        rise = rise * ~((q.argmax(dim=1) == labels) & (p.argmax(dim=1) != labels))
    return rise.mean()
