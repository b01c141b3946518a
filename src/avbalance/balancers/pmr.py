"""PMR, prototypical modal rebalance."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import mean_of_others, true_probabilities
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import NotNegative, Share, Whole
from avbalance.types import Batch, Loaders, Output


class PMR(Coefficients):
    """Pull the features of the modality that is behind to prototypes of their classes.

    After Fan et al., CVPR 2023. Before each epoch, over all training clips in evaluation mode,

        c^m_k <- (1 - epsilon) (mean of f_m over the clips of class k) + epsilon c^m_k         the first time: the mean
        pi^m   = softmax_k(-|f_m - c^m_k|);     s_m = sum_i pi^m_i[y_i]
        w_m    = clamp(max_n s_n / s_m - 1, 0, 1)              the paper's beta and gamma
        w_m    = 1 if s_m < max_n s_n else 0                   `hard`, the code
        L      = CE(z, y) + alpha sum_m w_m CE(pi^m, y) - mu sum_m w_n H(pi^m)               n: the other modality

    the last term in the first `early` epochs alone. Ours for more than two modalities: w_m as written, and w_n the mean
    over the others. Terms are those of the loss, `prototype_<modality>` and, if mu > 0, `entropy`. The curves
    `coefficient_<modality>` are the mean w_m. Costs a pass over train an epoch.

    Paper: The weights of the prototypes' terms lie between 0 and 1; entropies count in the first epochs.
    Code: The weights are 0 or 1; there are no entropies; prototypes are of one epoch alone, from the first tenth of its
    shuffled, augmented clips.
    Here: As the code, `hard: true` and `momentum: 0`, in row `pmr`; as the paper, `hard: false`, in row `pmr_paper`,
    but with `mu: 0`, because we do not know the paper's; prototypes are of all clips.

    Args:
        model: The model to train.
        loss: Its objective.
        alpha: Weight of the prototypes' terms; 2 for AVE.
        momentum: epsilon; 0 in the released scripts.
        end: First epoch (from 0) without these terms.
        mu: Weight of the entropies.
        early: Number of epochs with entropies; the paper's is not known to us.
        hard: Weights of the authors' code.
    """

    tasks = ("single_label",)
    several_modalities = True

    def __init__(
        self,
        model: Model,
        loss: Loss,
        alpha: NotNegative = 1.0,
        momentum: Share = 0.2,
        end: Whole = 70,
        mu: NotNegative = 0.0,
        early: Whole = 10,
        hard: bool = True,
    ) -> None:
        super().__init__(model, loss)
        self.alpha, self.momentum, self.end, self.mu, self.early, self.hard = alpha, momentum, end, mu, early, hard
        self.epoch = 0
        for m, encoder in model.encoders.items():
            self.register_buffer(f"prototypes_{m}", torch.zeros(model.num_classes, int(encoder.feature_dim)))  # type: ignore[arg-type]

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Renew the prototypes."""
        super().start_epoch(epoch, loaders, optimizer)
        self.epoch = epoch
        if epoch < self.end:
            kept = self.momentum if epoch > 0 else 0.0
            for m, means in self.class_means(loaders).items():
                self.get_buffer(f"prototypes_{m}").mul_(kept).add_((1 - kept) * means)

    @torch.no_grad()
    def class_means(self, loaders: Loaders) -> dict[str, Tensor]:
        """Mean feature of each class, {modality: [num_classes, dim]}; zeros for a class without clips."""
        sums = {m: torch.zeros_like(self.get_buffer(f"prototypes_{m}")) for m in self.model.encoders}
        counts = next(iter(sums.values())).new_zeros(self.model.num_classes)
        self.model.eval()
        for batch in loaders.plain:
            for m, vector in self.model(batch.inputs).vectors.items():
                sums[m].index_add_(0, batch.labels, vector)
            counts.index_add_(0, batch.labels, torch.ones_like(batch.labels, dtype=counts.dtype))
        self.model.train()
        return {m: total / counts.clamp(min=1).unsqueeze(1) for m, total in sums.items()}

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms and, before `end`, those of the prototypes."""
        terms = super().losses(output, batch)
        if self.epoch >= self.end:
            if self.training:
                self.record(dict.fromkeys(output.features, output.logits.new_zeros(())))
            return terms
        with torch.autocast(output.logits.device.type, enabled=False):
            near = {m: -torch.cdist(f_m, self.get_buffer(f"prototypes_{m}")) for m, f_m in output.vectors.items()}
            w = self.weights(near, batch.labels)
            for m, logits in near.items():
                terms[f"prototype_{m}"] = self.alpha * w[m] * cross_entropy(logits, batch.labels)
            if self.mu > 0 and self.epoch < self.early:
                entropies = [mean_of_others(w, m) * _entropy(logits) for m, logits in near.items()]
                terms["entropy"] = -self.mu * torch.stack(entropies).sum()
        if self.training:
            self.record(w)
        return terms

    @torch.no_grad()
    def weights(self, near: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """w_m, {modality: scalar}, from minus the distances, {modality: [batch, num_classes]}."""
        s = {m: p_m.sum() for m, p_m in true_probabilities(near, labels).items()}
        largest = torch.stack(list(s.values())).max()
        behind = {m: (largest / s_m.clamp(min=1e-8) - 1).clamp(0, 1) for m, s_m in s.items()}
        return {m: (w_m > 0).to(w_m.dtype) for m, w_m in behind.items()} if self.hard else behind


def _entropy(logits: Tensor) -> Tensor:
    """Mean entropy of softmax(logits) over the batch, in nats."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()
