"""UMT, the uni-modal teacher."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.errors import UserError
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import NotNegative
from avbalance.types import Batch, Loaders, Output


class UMT(Balancer):
    """Pull the features of every encoder to those of a model that was trained on its modality alone.

    After Du et al., ICML 2023. With t_m the feature that the uni-modal run of modality m gives the same input,

        L = L(z, y) + lam sum_m mean((f_m - t_m)^2)        mean over clips and elements

    Teachers are the row's own uni-modal runs, frozen and in evaluation mode. If the fusion reads feature maps, f_m and
    t_m are maps. Terms are those of the loss and `distance_<modality>`. Costs a forward pass of every teacher a step,
    besides their training.

    Paper: The weight of the distances is larger than 10 for VGGSound.
    Code: None; in BalanceBenchmark the weight is 10, and teachers are in training mode.
    Here: Our reading, `lam: 10`, with teachers in evaluation mode; row `umt`.

    Args:
        model: The model to train.
        loss: Its objective.
        lam: Weight of the distances; 10 in public code, the paper's is larger for VGGSound.
    """

    several_modalities = True
    uses_teachers = True

    def __init__(self, model: Model, loss: Loss, lam: NotNegative = 10.0) -> None:
        super().__init__(model, loss)
        self.lam = lam
        self.teachers: dict[str, Model] = {}

    def receive_teachers(self, teachers: dict[str, Model]) -> None:
        """Take over {modality: model trained on it alone}."""
        self.teachers = teachers

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Refuse to train without teachers."""
        if not self.teachers:
            raise UserError("balancer UMT has no teachers; `receive_teachers` before training")

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms and the distances."""
        terms = super().losses(output, batch)
        for m, f_m in output.features.items():
            with torch.no_grad():
                t_m = self.teachers[m].encode({m: batch.inputs[m]})[m].float()
            terms[f"distance_{m}"] = self.lam * (f_m - t_m).square().mean()
        return terms
