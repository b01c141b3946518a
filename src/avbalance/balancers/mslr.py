"""MSLR, modality-specific learning rates."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Count, Positive
from avbalance.types import Batch, Loaders, Output, in_order


class MSLR(Coefficients):
    """Give every modality a learning rate of its own, fixed or following its validation accuracy.

    After Yao and Mihalcea, Findings of ACL 2022.

        g_m <- l_m a_m g_m      of encoder m, of its own head and of its block W_m of the joint head, where there are
        a_m  = accuracy of the masked logits of m on validation over its mean in the epochs before; 1 if not `adaptive`

    The factor multiplies gradients, so it is a learning rate with SGD alone. Not adaptive, it is a fixed ratio of
    gradients, the baseline of every method that modulates them.

    Paper: Every modality has a learning rate, fixed or following its validation accuracy.
    Code: We know of no difference.
    Here: The rate is a factor on gradients, under SGD; row `mslr`, and row `fixed_ratio` with `adaptive: false`.

    Args:
        model: The model to train.
        loss: Its objective.
        rates: l_m in the order of the modalities; 1 for those beyond its end. [0.9, 1.1], audio first, for CREMA-D.
        adaptive: True for a_m from validation, which costs a pass over it an epoch.
        window: Number of epochs before, over which the mean is taken.
    """

    tasks = ("single_label",)
    several_modalities = True
    scales_gradients = True
    by_modality = ("rates",)
    accuracies: Tensor
    a: Tensor

    def __init__(
        self,
        model: Model,
        loss: Loss,
        rates: list[Positive] | None = None,
        adaptive: bool = True,
        window: Count = 5,
    ) -> None:
        super().__init__(model, loss)
        self.rates = in_order(model.encoders, rates, 1.0)
        self.adaptive = adaptive
        self.register_buffer("accuracies", torch.full([window, len(model.encoders)], torch.nan))
        self.register_buffer("a", torch.ones(len(model.encoders)))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Measure a_m, from the second epoch on."""
        super().start_epoch(epoch, loaders, optimizer)
        if self.adaptive and epoch > 0:
            accuracy = self.validate(loaders)
            mean = self.accuracies.nanmean(dim=0)
            self.a.copy_(torch.where(mean > 0, accuracy / mean, 1.0))  # the first time there is no mean
            self.accuracies.copy_(torch.cat([self.accuracies[1:], accuracy[None]]))

    @torch.no_grad()
    def validate(self, loaders: Loaders) -> Tensor:
        """Accuracy of the masked logits of each modality, [modalities]."""
        self.model.eval()
        right = []
        for batch in loaders.val:
            z = self.model.masked(self.model(batch.inputs))
            right.append(torch.stack([z_m.argmax(dim=1) == batch.labels for z_m in z.values()]))
        self.model.train()
        return torch.cat(right, dim=1).float().mean(dim=1)

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective and scale them."""
        super().backward(losses, output, batch)
        k = {m: self.rates[m] * a_m for m, a_m in zip(self.rates, self.a, strict=True)}
        for m, k_m in k.items():
            self.scale_modality(m, k_m)
        self.record(k)
