"""The loss of plain joint training."""

from torch import Tensor

from avbalance.losses.base import Loss, objective
from avbalance.types import Output


class Joint(Loss):
    """Cross-entropy of the joint logits (binary where a clip has several classes), one term named `joint`.

    MMCosine (Xu et al., ICASSP 2023), L_vani in section 2.1; with the cosine head it is eq. 3.
    """

    def __init__(self, dims: dict[str, int], num_classes: int) -> None:
        super().__init__()

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """{"joint": scalar}."""
        return {"joint": objective(output.logits, labels)}
