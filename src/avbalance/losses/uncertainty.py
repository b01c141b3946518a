"""Joint and uni-modal losses with learned weights."""

from typing import Any

import torch
from torch import Tensor, nn

from avbalance.errors import UserError
from avbalance.losses.unimodal import Unimodal
from avbalance.ranges import Positive
from avbalance.types import Output


class Uncertainty(Unimodal):
    """Weigh the joint and each uni-modal loss by its uncertainty, which is learned.

    Kendall et al., CVPR 2018, in their form for classification; G-Blend (Wang et al., CVPR 2020), section 3.3.

        L   = sum_k exp(-s_k) L_k + s_k / 2        k: joint, and every modality; s_k = log sigma_k^2
        s_k = B tanh(r_k / B)                      r_k starts at 0, so that all weights start at 1

    L_k / sigma_k^2 + log sigma_k, where for regression it would be L_k / (2 sigma_k^2). The best weight of a constant
    L_k is 1 / (2 L_k), which grows without end as L_k goes to 0. Departs from the paper: s_k is learned through r_k,
    which keeps weights between exp(-B) and exp(B).

    The terms are named `joint` and by modality, exp(-s_k) L_k, and `uncertainty`, the sum of s_k / 2.

    Args:
        dims: {modality: feature_dim}.
        num_classes: Number of logits.
        head: Head of each modality: a name or {name: options}.
        bound: B, > 0.
    """

    curve_names = ("weight_<head>",)

    def __init__(
        self,
        dims: dict[str, int],
        num_classes: int,
        head: str | dict[str, dict[str, Any]] = "linear",
        bound: Positive = 3.0,
    ) -> None:
        super().__init__(dims, num_classes, head=head)
        if bound <= 0:
            raise UserError(f"loss Uncertainty has bound {bound}; allowed: more than 0")
        self.bound = bound
        self.r = nn.ParameterDict({name: torch.zeros(()) for name in ["joint", *dims]})

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """{"joint": scalar, modality: scalar, ..., "uncertainty": scalar}."""
        s = self._s()
        terms = {name: torch.exp(-s[name]) * L for name, L in super().forward(output, labels).items()}
        return {**terms, "uncertainty": torch.stack(list(s.values())).sum() / 2}

    @torch.no_grad()
    def curves(self) -> dict[str, float]:
        """{"weight_joint": exp(-s), "weight_<modality>": ...}."""
        return {f"weight_{name}": float(torch.exp(-s)) for name, s in self._s().items()}

    def _s(self) -> dict[str, Tensor]:
        return {name: self.bound * torch.tanh(r / self.bound) for name, r in self.r.items()}
