"""InfoReg, adaptive regulation of uni-modal information acquisition."""

from math import nan

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avbalance.balancers.masked_losses import MaskedLosses
from avbalance.balancers.scores import mean_of_others, true_probabilities
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import NotNegative, Real
from avbalance.types import Batch, Loaders, Output, in_order

WINDOW = 10


class InfoReg(MaskedLosses):
    """While a modality still gathers information fast, hold its encoder back where it leads.

    After Huang et al., CVPR 2025. With z_m the logits if all features but f_m are zeros,

        L      = CE(z, y) + sum_m CE(z_m, y)
        Tr(e)  = sum over the steps of epoch e, and over the layers of encoder m, of a layer's mean squared gradient
        k(e)   = (S(e) - S(e - 1)) / S(e)                S(e): sum of the last ten Tr
        g_m   <- g_m + b_m exp(tanh(s_m - s_n)) (theta_m - theta_m at the start of the epoch)     n: the other modality

    for the modality with the higher score s_m, the mean of softmax(z_m)[y], as long as its k(e) exceeds `threshold` and
    in the first epoch. With more than two modalities s_n is the mean over the others. The curve `window_<modality>` is
    1 while the window of the modality is open. Published runs on CREMA-D have three frames a clip.

    Paper: The encoder of the leading modality is held back while its window is open.
    Code: Audio alone decides on the window; scores are sums over the batch, so that tanh is saturated; b is 0.95 for
    audio and 0.1 for pictures.
    Here: Every modality has its own window; scores are means; pulls do not count in Tr; row `inforeg`, which also tries
    `b: [0.95, 0.1]`.

    Args:
        model: The model to train.
        loss: Objective of the joint logits.
        gamma: Weight of the uni-modal losses.
        b: b_m in the order of the modalities; 0.95 for those beyond its end. [0.95, 0.1], audio first, for CREMA-D.
        threshold: Least k of the window.
    """

    tasks = ("single_label",)
    by_modality = ("b",)
    curve_names = ("window_<modality>",)
    traces: Tensor
    trace: Tensor

    def __init__(
        self,
        model: Model,
        loss: Loss,
        gamma: NotNegative = 1.0,
        b: list[NotNegative] | None = None,
        threshold: Real = 0.05,
    ) -> None:
        super().__init__(model, loss, gamma)
        self.b = in_order(model.encoders, b, 0.95)
        self.threshold = threshold
        self.register_buffer("traces", torch.full([len(model.encoders), WINDOW + 1], nan))
        self.register_buffer("trace", torch.zeros(len(model.encoders)))
        self.in_window = dict.fromkeys(model.encoders, True)
        self.start: dict[str, list[Tensor]] = {}

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Close the last epoch's trace, and keep the weights as they are now."""
        if epoch > 0:
            self.traces.copy_(torch.cat([self.traces[:, 1:], self.trace[:, None]], dim=1))
            k = relative_growth(self.traces)
            self.in_window = dict(zip(self.model.encoders, (k > self.threshold).tolist(), strict=True))
        self.trace.zero_()
        for m, encoder in self.model.encoders.items():
            self.start[m] = [weight.detach().clone() for weight in encoder.parameters()]

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective, and pull the leading encoder back to the start of the epoch."""
        super().backward(losses, output, batch)
        with torch.no_grad():
            z = self.model.zeroed(output.features)
        pulls = self.pulls({m: p.mean() for m, p in true_probabilities(z, batch.labels).items()})
        for place, (m, encoder) in enumerate(self.model.encoders.items()):
            layers = [module for module in encoder.modules() if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)]
            squares = [layer.weight.grad.square().mean() for layer in layers if layer.weight.grad is not None]
            self.trace[place] += torch.stack(squares).sum() if squares else 0.0
            if self.in_window[m]:
                for weight, start in zip(encoder.parameters(), self.start[m], strict=True):
                    if weight.grad is not None:
                        weight.grad += pulls[m] * (weight.detach() - start)

    def pulls(self, s: dict[str, Tensor]) -> dict[str, Tensor]:
        """Factor of theta - theta_start, {modality: scalar}; 0 if it does not lead or has left its window."""
        highest = torch.stack(list(s.values())).max()
        factors = {}
        for m, s_m in s.items():
            factor = self.b[m] * torch.exp(torch.tanh(s_m - mean_of_others(s, m)))
            factors[m] = torch.where(s_m >= highest, factor, 0.0) if self.in_window[m] else torch.zeros_like(factor)
        return factors

    def curves(self) -> dict[str, float]:
        """1 for a modality whose window is open, else 0."""
        return {**super().curves(), **{f"window_{m}": float(is_open) for m, is_open in self.in_window.items()}}


def relative_growth(traces: Tensor) -> Tensor:
    """k, [modalities], from the last eleven traces [modalities, 11]; NaN stands for epochs before the first."""
    now, before = traces[:, 1:].nansum(dim=1), traces[:, :-1].nansum(dim=1)
    return torch.where(now > 0, (now - before) / now, 0.0)
