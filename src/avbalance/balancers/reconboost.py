"""ReconBoost, boosting over the modalities."""

from typing import cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.heads.shared import Shared
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import Count, NotNegative
from avbalance.types import Batch, Loaders


class ReconBoost(Balancer):
    """Train one modality at a time on what the others leave over, then all together.

    After Hua et al., ICML 2024. The head is `shared`; a stage of modality m has T epochs of phase 1 and T' of phase 2,
    and the modalities take turns. With z_rest = sum over n other than m of z_n, without gradient,

        phase 1, encoder m and head:    L = mean_i (w1 - w2 softmax(z_rest)[y]) CE(z_m, y) / C
        phase 2, all weights:           L = CE(sum_m z_m, y)

    Each phase has a fresh optimiser. In phase 1 the other encoders compute in training mode, so that their running
    means move, as in the code, unless `rests` is set. An epoch of phase 1 trains one encoder of M, which the budget
    counts.

    Paper: Phase 1 has a term of agreement between the modalities.
    Code: Both sides of that term are detached, so that it has no gradient; losses are divided by C; each phase has a
    fresh optimiser; a factor on the sum of logits is learned.
    Here: As the code, without the term and the factor; row `reconboost`, with `pretrained: true` and `head: {shared:
    {hidden: 256}}` as published.

    Args:
        model: The model to train.
        loss: Cross-entropy of the joint logits.
        first: T, epochs of phase 1.
        second: T', epochs of phase 2.
        w1: Weight of a clip on which the others are wrong.
        w2: How much less it weighs the surer they are; not more than w1.
        rests: Keep the encoders that are not boosted in evaluation mode in phase 1.
    """

    requires_head = ("shared",)
    requires_loss = ("joint",)
    tasks = ("single_label",)
    several_modalities = True
    keeps_apart = True
    curve_names = ("boosted",)

    def __init__(
        self,
        model: Model,
        loss: Loss,
        first: Count = 4,
        second: Count = 4,
        w1: NotNegative = 5.0,
        w2: NotNegative = 1.0,
        rests: bool = False,
    ) -> None:
        super().__init__(model, loss)
        self.first, self.second, self.w1, self.w2, self.rests = first, second, w1, w2, rests
        self.earliest_stop = (first + second) * len(model.encoders)
        self.boosted: str | None = None

    @property
    def head(self) -> Shared:
        """The head that all modalities share."""
        return cast(Shared, self.model.head)

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Decide which modality is boosted, if any, and forget the optimiser's state where a phase begins."""
        stage, place = divmod(epoch, self.first + self.second)
        modalities = list(self.model.encoders)
        self.boosted = modalities[stage % len(modalities)] if place < self.first else None
        if place in (0, self.first):
            optimizer.state.clear()
        for m, encoder in self.model.encoders.items():
            encoder.train(not (self.rests and self.boosted not in (None, m)))

    def step(self, batch: Batch, optimizer: Optimizer) -> dict[str, Tensor]:
        """One update of the phase; returns its loss under the name `joint`, or that of the boosted modality."""
        if self.boosted is None:
            return super().step(batch, optimizer)
        optimizer.zero_grad(set_to_none=True)
        features = {}
        for m, encoder in self.model.encoders.items():
            with torch.set_grad_enabled(m == self.boosted):
                features[m] = encoder(batch.inputs[m]).float()
        with torch.autocast(batch.labels.device.type, enabled=False):
            z = self.head.each(self.model.fusion(features))
            rest = torch.stack([z_n for n, z_n in z.items() if n != self.boosted]).sum(dim=0)
            L = boosting_loss(z[self.boosted], rest.detach(), batch.labels, self.w1, self.w2)
        L.backward()
        self.update(optimizer)
        return {self.boosted: L.detach()}

    def curves(self) -> dict[str, float]:
        """Place of the boosted modality from 1; 0 in phase 2."""
        place = list(self.model.encoders).index(self.boosted) + 1 if self.boosted is not None else 0
        return {**super().curves(), "boosted": float(place)}


def boosting_loss(z_m: Tensor, z_rest: Tensor, labels: Tensor, w1: float, w2: float) -> Tensor:
    """L of phase 1, scalar, from logits [batch, num_classes] and labels [batch]."""
    p_rest = z_rest.softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
    return ((w1 - w2 * p_rest) * objective(z_m, labels, reduction="none")).mean() / z_m.shape[1]
