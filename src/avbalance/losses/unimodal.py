"""Joint loss with auxiliary uni-modal losses."""

from typing import Any

from torch import Tensor, nn

from avbalance import registry
from avbalance.losses.base import Loss, objective
from avbalance.ranges import NotNegative
from avbalance.types import Output


class Unimodal(Loss):
    """Let every modality also classify by itself, with a head of its own.

    G-Blend (Wang et al., CVPR 2020), fig. 2c; with w = 1 the baseline "auxiliary loss" of table 5.

        L = CE(z, y) + w sum_m CE(head_m(f_m), y)        CE: binary where a clip has several classes

    head_m is linear, V_m f_m + c_m; with MMCosine (Xu et al., ICASSP 2023, section 3.2) it is cosine, of the scale s
    of the joint head: s cos(V_m, f_m). Of feature maps f_m is the mean over positions. The terms are named `joint`
    and by modality; the latter are already times w.

    Args:
        dims: {modality: feature_dim}.
        num_classes: Number of logits.
        weight: w.
        head: Head of each modality: a name or {name: options}.
    """

    def __init__(
        self,
        dims: dict[str, int],
        num_classes: int,
        weight: NotNegative = 1.0,
        head: str | dict[str, dict[str, Any]] = "linear",
    ) -> None:
        super().__init__()
        self.weight = weight
        self.heads = nn.ModuleDict(
            {modality: registry.load("head", head, {modality: dim}, num_classes) for modality, dim in dims.items()}
        )

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """{"joint": scalar, modality: scalar, ...}."""
        own = {modality: self.weight * objective(u_m, labels) for modality, u_m in self.logits(output).items()}
        return {"joint": objective(output.logits, labels), **own}

    def logits(self, output: Output) -> dict[str, Tensor]:
        """Logits u_m of every modality's own head, {modality: [batch, num_classes]}."""
        vectors = output.vectors
        return {modality: head({modality: vectors[modality]}) for modality, head in self.heads.items()}
