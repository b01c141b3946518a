"""Jacobian descent, the aggregators of TorchJD."""

import warnings
from typing import Any, Literal

import torch
from torch import Tensor

from avbalance.balancers.two_gradients import TwoGradients
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import NotNegative
from avbalance.types import Batch, Output

CLASSES = {
    "aligned_mtl": "AlignedMTL",
    "cagrad": "CAGrad",
    "imtl_g": "IMTLG",
    "mean": "Mean",
    "mgda": "MGDA",
    "nash_mtl": "NashMTL",
    "pcgrad": "PCGrad",
}


class JacobianDescent(TwoGradients):
    """Train every encoder along an aggregate of the gradients of the joint and of its own loss.

    Methods of multi-task learning in the implementations of TorchJD (Quinton and Rey, arXiv 2024). Only the encoders
    are shared by several losses: encoder m by the joint one, with gradient g, and by that of its modality, with
    gradient h. With G = [[g.g, g.h], [g.h, h.h]],

        d = a g + b h;   (a, b) = weights of the aggregator, from G / trace(G)

    | aggregator | d |
    |---|---|
    | `mean` | mean of g and h: joint training with both losses, half as fast in the encoders |
    | `mgda` | shortest d, a + b = 1 (Désidéri, Comptes Rendus Mathematique 2012; Sener and Koltun, NeurIPS 2018) |
    | `pcgrad` | sum of g and h, each without its part against the other (Yu et al., NeurIPS 2020) |
    | `cagrad` | progress of the worse loss as large as may be within c of the mean (Liu et al., NeurIPS 2021) |
    | `nash_mtl` | product of both progresses as large as may be (Navon et al., ICML 2022) |
    | `imtl_g` | equal progress along g / norm(g) and h / norm(h), a + b = 1 (Liu et al., ICLR 2021) |
    | `aligned_mtl` | mean of g and h, made orthogonal and of one length (Senushkin et al., CVPR 2023) |

    All other weights have the gradient of the sum of losses. With the loss `unimodal` a modality's own loss is that of
    its own head; with the loss `joint` that of the logits z_m if all features but f_m are zeros. The d of Nash-MTL has
    the length 1 in every step, its bound, which its solution exceeds; the solver takes some 15 ms for each encoder. G
    goes to the CPU in each step. The length of d is void under Adam, so rows are trained with SGD. Curves are those of
    `mmpareto`.

    Paper: Each aggregator has a paper of its own, on multi-task learning and not on modalities.
    Code: TorchJD takes gradients shorter than 0.01 as zeros.
    Here: TorchJD's code, on G / trace(G); rows `aligned_mtl`, `cagrad`, `imtl_g`, `mgda`, `nash_mtl` and `pcgrad`.
    UPGrad is left out, for its d of two gradients is half of PCGrad's.

    Args:
        model: The model to train.
        loss: Its heads' losses, or cross-entropy of the joint logits.
        aggregator: Method that weighs both gradients.
        c: Radius of CAGrad in terms of the mean's length; others have none.
    """

    requires_loss = ("unimodal", "joint")
    requires_package = ("torchjd",)
    alpha: Tensor

    def __init__(
        self,
        model: Model,
        loss: Loss,
        aggregator: Literal["aligned_mtl", "cagrad", "imtl_g", "mean", "mgda", "nash_mtl", "pcgrad"] = "pcgrad",
        c: NotNegative = 0.4,
    ) -> None:
        super().__init__(model, loss)
        from torchjd import aggregation  # an extra, and two seconds for those who do not use it

        options: dict[str, dict[str, Any]] = {"cagrad": {"c": c}, "nash_mtl": {"n_tasks": 2}}
        self.aggregator = getattr(aggregation, CLASSES[aggregator])(**options.get(aggregator, {}))
        self.is_nash = aggregator == "nash_mtl"
        self.register_buffer("alpha", torch.ones(len(model.encoders), 2, dtype=torch.float64))

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms and, where it has no heads of modalities, those of their logits."""
        terms = super().losses(output, batch)
        if terms.keys() >= self.model.encoders.keys():
            return terms
        return {**terms, **{m: objective(z_m, batch.labels) for m, z_m in self.model.zeroed(output.features).items()}}

    @torch.no_grad()
    def weights(self, gramians: Tensor) -> Tensor:
        """a and b."""
        return torch.stack([self.weigh(G, place) for place, G in enumerate(gramians.double().cpu())]).to(gramians)

    def weigh(self, G: Tensor, place: int) -> Tensor:
        """(a, b) of the encoder at this place, from its Gramian."""
        trace = G.trace()
        if trace == 0:
            return torch.ones_like(G[0])
        squares, axes = torch.linalg.eigh(G / trace)
        root = axes * squares.clamp(min=0).sqrt()  # any matrix with this Gramian
        weighting = self.aggregator.weighting
        if not self.is_nash:
            weights: Tensor = weighting(root)
            return weights
        weighting.prvs_alpha = self.alpha[place].cpu().numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the solver, at each problem
            weights = weighting(root) / trace.sqrt()
        self.alpha[place] = torch.as_tensor(weighting.prvs_alpha)
        return weights
