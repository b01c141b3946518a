"""The loss of plain joint training."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from avbalance.losses.base import Loss
from avbalance.types import Output


class Joint(Loss):
    """Cross-entropy of the joint logits, one term named `joint`.

    MMCosine (Xu et al., ICASSP 2023), L_vani in section 2.1; with the cosine head it is eq. 3.
    """

    def __init__(self, dims: dict[str, int], num_classes: int) -> None:
        super().__init__()

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """{"joint": scalar}."""
        return {"joint": cross_entropy(output.logits, labels)}
