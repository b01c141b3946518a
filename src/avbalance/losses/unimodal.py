"""Joint loss with auxiliary uni-modal losses."""

from torch import Tensor, nn

from avbalance.losses.base import Loss, objective
from avbalance.types import Output


class Unimodal(Loss):
    """Every modality also classifies by itself, with a linear head of its own.

    Wang et al., CVPR 2020, fig. 2c; with w = 1 the baseline "auxiliary loss" of table 5.

        L = CE(z, y) + w sum_m CE(V_m f_m + c_m, y)        CE: binary where a clip has several classes

    The terms are named `joint` and by modality; the latter are already times w.

    Args:
        dims: {modality: feature_dim}.
        num_classes: Number of logits.
        weight: w.
    """

    def __init__(self, dims: dict[str, int], num_classes: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.heads = nn.ModuleDict({modality: nn.Linear(dim, num_classes) for modality, dim in dims.items()})

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """{"joint": scalar, modality: scalar, ...}."""
        terms = {"joint": objective(output.logits, labels)}
        for modality, head in self.heads.items():
            terms[modality] = self.weight * objective(head(output.features[modality]), labels)
        return terms
