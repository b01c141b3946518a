"""Slow or frozen encoders."""

from typing import Any

from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Positive, Whole
from avbalance.types import Loaders


class FineTuning(Balancer):
    """Train what is behind the encoders first, and the encoders later, more slowly, or never.

    A baseline for encoders that start from uni-modal runs (`pretrained: true`): frozen for all epochs it is a linear
    probe of all features together; frozen for some, it is LP-FT (Kumar et al., ICLR 2022). Frozen encoders are in
    evaluation mode, so that their running means stay too.

    Paper: In LP-FT (Kumar et al., ICLR 2022) the encoders are frozen first and trained later.
    Code: Not used; the baseline is ours.
    Here: Always frozen, `frozen_epochs: null`, in row `frozen`; never frozen, `frozen_epochs: 0`, in row `fine_tuned`.

    Args:
        model: The model to train.
        loss: Its objective.
        frozen_epochs: Number of epochs in which the encoders stay as they are; None for all.
        scale: Learning rate of the encoders afterwards, in terms of that of the other weights.
    """

    def __init__(self, model: Model, loss: Loss, frozen_epochs: Whole | None = None, scale: Positive = 0.1) -> None:
        super().__init__(model, loss)
        self.frozen_epochs, self.scale = frozen_epochs, scale
        self.earliest_stop = frozen_epochs or 0

    def groups(self) -> list[dict[str, Any]]:
        """The encoders' weights and all others."""
        encoders = list(self.model.encoders.parameters())
        theirs = {id(weight) for weight in encoders}
        others = [weight for weight in self.parameters() if id(weight) not in theirs]
        return [{"params": others}, {"params": encoders, "scale": self.scale}]

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Freeze the encoders, or train them."""
        is_frozen = self.frozen_epochs is None or epoch < self.frozen_epochs
        self.model.encoders.requires_grad_(not is_frozen).train(not is_frozen)
