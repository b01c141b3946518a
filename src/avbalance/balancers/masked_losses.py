"""Equal losses of the masked logits."""

from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import NotNegative
from avbalance.types import Batch, Output


class MaskedLosses(Balancer):
    """Let every modality also classify by itself, through the joint head.

    A baseline: what ARL, InfoReg, DGL, MLB and MMPareto do to gradients comes on top of such losses. With z_m the
    logits if all features but f_m are zeros,

        L = L(z, y) + gamma sum_m CE(z_m, y)

    The loss `unimodal` is the same with a head for each modality. For z_m fusion and head are in evaluation mode, so
    that no running mean sees zeros. Terms are those of the loss and `unimodal_<modality>`.

    Paper: None; other methods change the gradients of such losses.
    Code: Not used; the baseline is ours.
    Here: Row `masked_losses`.

    Args:
        model: The model to train.
        loss: Objective of the joint logits.
        gamma: Weight of the uni-modal losses.
    """

    several_modalities = True

    def __init__(self, model: Model, loss: Loss, gamma: NotNegative = 1.0) -> None:
        super().__init__(model, loss)
        self.gamma = gamma

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms and the uni-modal ones."""
        terms = super().losses(output, batch)
        for m, z_m in self.model.zeroed(output.features).items():
            terms[f"unimodal_{m}"] = self.gamma * objective(z_m, batch.labels)
        return terms
