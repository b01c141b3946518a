"""AUG, sustained boosting of the modality that is behind."""

from typing import cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.alternating import Alternating
from avbalance.balancers.scores import true_probabilities
from avbalance.heads.boosted import Boosted
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import Count
from avbalance.types import Loaders


class AUG(Alternating):
    """Train the modalities in turn, and give the one that is behind more layers.

    After Jiang et al., NeurIPS 2025. The head is `boosted`. For each modality m in order, with its logits z_m, those of
    its last layer z_last, and those of all its layers but the last z_prev,

        L_m   = CE(z_m, y)                                                                     with one layer
        L_m   = CE(z_m, y) + CE(z_prev, y) + mean_i (1 - p_prev[y] / 2) CE(z_last, y)          with more
        sigma = sum softmax(z_0)[y] / sum softmax(z_1)[y]          over the clips of an epoch

    where p_prev = softmax(z_prev) has no gradient. After the first epoch and after each `every`th, modality 1 gets a
    layer if sigma > 1.01, and modality 0 if sigma < 0.99. `layers_<modality>` counts the layers in use.

    Paper: The added layers are trained.
    Code: No optimiser knows the added layers, so that they keep their first weights, Xavier's.
    Here: As the code, `train_added: false`, in row `aug`, but with weight decay and PyTorch's first weights; as the
    paper, `train_added: true`, in row `aug_paper`.

    Args:
        model: The model to train.
        loss: Not used: every modality has its own.
        every: Number of epochs between two added layers; a tenth of all in the code, whose runs have 200.
        train_added: Train the added layers, as the paper, and do not leave them, as the code.
    """

    requires_head = ("boosted",)
    tasks = ("single_label",)
    two_modalities = True
    curve_names = ("layers_<modality>",)

    def __init__(self, model: Model, loss: Loss, every: Count = 20, train_added: bool = False) -> None:
        super().__init__(model, loss)
        self.every, self.train_added = every, train_added
        self.earliest_stop = every * (self.head.num_layers - 1)
        self.num_used = dict.fromkeys(model.encoders, 1)
        for m in model.encoders:
            self.register_buffer(f"sum_{m}", torch.tensor(0.0))

    @property
    def head(self) -> Boosted:
        """The head whose layers are added."""
        return cast(Boosted, self.model.head)

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Add a layer where it is time."""
        sums = {m: self.get_buffer(f"sum_{m}") for m in self.model.encoders}
        if epoch == 1 or (epoch > 0 and epoch % self.every == 0):
            (first, sum_0), (second, sum_1) = sums.items()
            if sum_0 > 1.01 * sum_1:
                self.head.add_layer(second)
            elif sum_0 < 0.99 * sum_1:
                self.head.add_layer(first)
        for each in sums.values():
            each.zero_()
        self.num_used = {m: int(self.head.num_used(m)) for m in self.model.encoders}

    def term(self, m: str, stream: Tensor, labels: Tensor) -> Tensor:
        """L_m, and its clips' probabilities added to the sum of the epoch."""
        by_layer = self.head.by_layer(m, stream)[:, : self.num_used[m]]
        z_m = by_layer.sum(dim=1)
        self.get_buffer(f"sum_{m}").add_(true_probabilities({m: z_m}, labels)[m].sum())
        L_m = objective(z_m, labels)
        if self.num_used[m] > 1:
            z_prev, z_last = by_layer[:, :-1].sum(dim=1), by_layer[:, -1]
            L_m = L_m + objective(z_prev, labels) + residual_loss(z_prev, z_last, labels)
        return L_m

    def change_gradients(self, m: str, stream: Tensor) -> None:
        """Leave the added layers as they are, unless they are trained."""
        for weight in self.head.layers[m].parameters():
            if weight.grad is not None and not self.train_added:
                weight.grad[self.head.hidden :] = 0

    def curves(self) -> dict[str, float]:
        """Number of layers in use."""
        return {**super().curves(), **{f"layers_{m}": float(num) for m, num in self.num_used.items()}}


def residual_loss(z_prev: Tensor, z_last: Tensor, labels: Tensor) -> Tensor:
    """mean_i (1 - p_prev[y] / 2) CE(z_last, y), scalar, from logits [batch, num_classes] and labels [batch]."""
    p_prev = true_probabilities({"": z_prev}, labels)[""]
    return ((1 - p_prev / 2) * objective(z_last, labels, reduction="none")).mean()
