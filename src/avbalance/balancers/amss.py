"""AMSS, adaptively masked subnetworks."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from avbalance.balancers.coefficients import Coefficients
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Positive
from avbalance.types import Batch, Output


class AMSS(Coefficients):
    """Update only some filters of each encoder, fewer of the modality that knows more.

    After Yang et al., IEEE TPAMI 2025. With z_m the masked logits and H(Y) the entropy of the batch's labels,

        t_m    = (H(Y) - CE(z_m, y) + 1/2) / H(softmax f_m) / T
        keep_m = clamp(exp(t_n) / (exp(t_m) + exp(t_n)), 0.1, 0.9);   1/2 for both where a numerator is not positive

    Of the F filters of every convolution but the first of encoder m, ceil(keep_m F) are drawn without replacement, with
    probabilities p_i in proportion to their squared gradients; the gradients of all others become 0. With `plus`, the
    kept gradients are divided by p_i + 1 / F (AMSS+). For more than two modalities keep_m is 1 - softmax_m(t). The
    curves `coefficient_<modality>` are the mean keep_m.

    Paper: H(Y) is the entropy of the batch's labels.
    Code: H(Y) is the cross-entropy of the label frequencies with themselves as logits; convolutions of shortcuts keep
    all filters; a mask of the head is drawn and not applied.
    Here: H(Y) is the paper's; shortcuts are masked too, the head is not; rows `amss` and `amss_plus` (`plus: true`).

    Args:
        model: The model to train.
        loss: Its objective.
        T: Temperature.
        plus: AMSS+.
    """

    tasks = ("single_label",)
    several_modalities = True

    def __init__(self, model: Model, loss: Loss, T: Positive = 0.5, plus: bool = False) -> None:
        super().__init__(model, loss)
        self.T, self.plus = T, plus

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective and mask them."""
        super().backward(losses, output, batch)
        with torch.no_grad():
            keep = self.shares(output, batch.labels)
            for m, encoder in self.model.encoders.items():
                filters = [weight for weight in encoder.parameters() if weight.dim() > 2 and weight.grad is not None]
                for weight in filters[1:]:
                    weight.grad = mask(weight.grad, keep[m], self.plus)  # type: ignore[arg-type]
            self.record(keep)

    def shares(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """keep_m, {modality: scalar}."""
        counts = output.logits.new_zeros(self.model.num_classes)  # bincount would wait for the device
        p_labels = counts.index_add_(0, labels, torch.ones_like(labels, dtype=counts.dtype)) / len(labels)
        H_labels = torch.special.entr(p_labels).sum()
        numerators, t = [], []
        for m, z_m in self.model.masked(output).items():
            H_features = torch.special.entr(output.vectors[m].softmax(dim=1)).sum(dim=1).mean().clamp(min=1e-8)
            numerators.append(H_labels - cross_entropy(z_m, labels) + 0.5)
            t.append(numerators[-1] / H_features / self.T)
        keep = shares_of(torch.stack(t), torch.stack(numerators))
        return dict(zip(self.model.encoders, keep, strict=True))


def shares_of(t: Tensor, numerators: Tensor) -> Tensor:
    """keep, [modalities]."""
    equal = torch.full_like(t, 1 / 2)
    return torch.where((numerators > 0).all(), (1 - t.softmax(dim=0)).clamp(0.1, 0.9), equal)


def mask(gradient: Tensor, keep: Tensor, plus: bool) -> Tensor:
    """The gradient of a convolution, [filters, ...], with zeros for filters that are not drawn; waits for no device."""
    F = len(gradient)
    squares = gradient.flatten(1).square().sum(dim=1) + 1e-12
    p = squares / squares.sum()
    # The largest of log p_i plus Gumbel noise are a draw without replacement.
    noise = -torch.empty_like(p).exponential_().log()
    places = (p.log() + noise).argsort(descending=True).argsort()
    factors = (places < torch.ceil(keep * F)).to(gradient.dtype)
    if plus:
        factors = factors / (p + 1 / F)
    return gradient * factors.view(-1, *[1] * (gradient.dim() - 1))
