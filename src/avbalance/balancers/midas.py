"""MIDAS, misalignment-based data augmentation."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import true_probabilities
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.ranges import NotNegative, Whole
from avbalance.types import Batch, Loaders, Output


class MIDAS(Coefficients):
    """Train also on clips whose modalities come from two clips of different classes.

    Hwang et al., NeurIPS 2025, eqs. 1-11 and Alg. 1. For each clip i of the batch and another one, j, of another class,
    modality n of i is replaced by that of j, each modality n in turn. With y_m the class of modality m, p_m the
    probability that its own head gives y_m, and z the joint logits of the misaligned features,

        c_m   = p_m / sum_n p_n                                              without gradient
        s     = cos(f_n of i, f_n of j)                                      without gradient
        L_mis = mean of (1 + (s + 1) / 2) sum_m alpha_m c_m CE(z, y_m)
        L     = CE(z, y) + sum_m CE(u_m, y) + lam L_mis;        in the first `warmup` epochs sum_m CE(u_m, y) alone

    After each step the modality m of the lowest mean c_m, with q_m = softmax(z)[y_m] / sum_n softmax(z)[y_n], gets

        alpha_m <- max(1, alpha_m + eta sign(mean c_m - mean q_m));   alpha_n <- 1 of the others

    j is drawn by a permutation of the batch, and clips that meet their own class are left out of the mean; of the two
    ways to misalign a pair L_mis is the mean; fusion and head are in evaluation mode for it. Terms are those of the
    loss and `misaligned`; the curves `coefficient_<modality>` are the mean alpha_m.

    Paper: All modalities are permuted, also of more than two.
    Code: We have not seen it.
    Here: Our reading of the paper's text and of a public summary, which prints the sign; one of more than two
    modalities is replaced at a time; `warmup: 5`, because we do not know the paper's.

    Args:
        model: The model to train.
        loss: Its heads' losses.
        lam: Weight of L_mis; 5 for Kinetics-Sounds.
        eta: Step of alpha.
        warmup: Number of epochs without joint loss; the paper's is not known to us.
    """

    requires_loss = ("unimodal",)
    tasks = ("single_label",)
    several_modalities = True
    keeps_encoders_apart = True
    loss: Unimodal
    alpha: Tensor

    def __init__(
        self, model: Model, loss: Unimodal, lam: NotNegative = 1.0, eta: NotNegative = 0.05, warmup: Whole = 5
    ) -> None:
        super().__init__(model, loss)
        self.lam, self.eta, self.warmup = lam, eta, warmup
        self.earliest_stop = warmup
        self.is_warm = False
        self.register_buffer("alpha", torch.ones(len(model.encoders)))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Decide whether the joint head is trained in this epoch."""
        super().start_epoch(epoch, loaders, optimizer)
        self.is_warm = epoch >= self.warmup

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms, without the joint one in the warm-up, and that of misaligned clips after it."""
        terms = super().losses(output, batch)
        if not self.is_warm:
            return {m: terms[m] for m in self.model.encoders} if self.training else terms
        with torch.autocast(output.logits.device.type, enabled=False):
            terms["misaligned"] = self.lam * self.misaligned(output, batch.labels)
        return terms

    def misaligned(self, output: Output, labels: Tensor) -> Tensor:
        """L_mis, scalar; in training alpha takes this step in."""
        j = torch.rand(labels.shape, device=labels.device).argsort()
        differs = (labels != labels[j]).float()
        p = true_probabilities(self.loss.logits(output), labels)
        each, c_all, q_all = [], [], []
        for n, f_n in output.vectors.items():
            features = {m: f_m[j] if m == n else f_m for m, f_m in output.features.items()}
            with self.model.settled():
                z = self.model.decide(features).logits
            y = torch.stack([labels[j] if m == n else labels for m in p], dim=1)  # [batch, modalities]
            c = _shares(torch.stack([p_m[j] if m == n else p_m for m, p_m in p.items()], dim=1))
            log_p = z.log_softmax(dim=1).gather(1, y)
            s = cosine_similarity(f_n, f_n[j], dim=1).detach()
            each.append((1 + (s + 1) / 2) * -(self.alpha.clone() * c * log_p).sum(dim=1))
            c_all.append(c)
            q_all.append(_shares(log_p.detach().exp()))
        count = differs.sum().clamp(min=1)
        if self.training:
            self.record(dict(zip(p, self.alpha, strict=True)))
            c, q = ((torch.stack(of).mean(dim=0) * differs[:, None]).sum(dim=0) / count for of in (c_all, q_all))
            self.alpha.copy_(torch.where(differs.any(), next_alpha(self.alpha, c, q, self.eta), self.alpha))
        return (torch.stack(each).mean(dim=0) * differs).sum() / count


def _shares(values: Tensor) -> Tensor:
    """Values [batch, modalities] over their sums."""
    return values / values.sum(dim=1, keepdim=True).clamp(min=1e-8)


def next_alpha(alpha: Tensor, c: Tensor, q: Tensor, eta: float) -> Tensor:
    """alpha of the next step, [modalities], from the mean c and q, [modalities]."""
    is_weakest = torch.arange(len(c), device=c.device) == c.argmin()
    return torch.where(is_weakest, (alpha + eta * (c - q).sign()).clamp(min=1), 1.0)
