"""OPM, on-the-fly prediction modulation."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import mean_of_others, true_probabilities
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import NotNegative, Share, Whole
from avbalance.types import Batch, Loaders, Output


class OPM(Coefficients):
    """Drop the features of the more confident modality, the more often the further it leads.

    After Wei et al., IEEE TPAMI 2024. With s_m the mean over the batch of softmax(z_m)[y] of the masked logits,

        rho_m = s_m / s_n                                                   n: the other modality
        q_m   = min(q_base (1 + lam tanh(rho_m - 1)), 1) if rho_m > 1 else 0
        f_m  <- keep_m f_m / (1 - theta),   keep_m = 0 with probability q_m for each clip
        theta = sum_m d_m q_m / sum_m d_m                                   d_m: length of f_m

    in a share p_exe of the batches, from epoch `warmup` on. The curves `coefficient_<modality>` are the mean share 1 -
    q_m of features that are kept.

    Paper: Features of the more confident modality are dropped.
    Code: All features are divided by 1 - theta, also those that are never dropped; nothing is dropped in the epochs 0
    to 5.
    Here: As the code, `warmup: 6`; with more than two modalities s_n is the mean over the others; row `opm`.

    Args:
        model: The model to train.
        loss: Its objective.
        q_base: Share dropped at equal scores; 0.4 for Kinetics-Sounds in public code.
        lam: Growth of that share.
        p_exe: Share of the batches in which features are dropped.
        warmup: First epoch (from 0) with dropped features.
    """

    tasks = ("single_label",)
    several_modalities = True

    def __init__(
        self,
        model: Model,
        loss: Loss,
        q_base: Share = 0.5,
        lam: NotNegative = 0.5,
        p_exe: Share = 0.7,
        warmup: Whole = 6,
    ) -> None:
        super().__init__(model, loss)
        self.q_base, self.lam, self.p_exe, self.warmup = q_base, lam, p_exe, warmup
        self.drops = False

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Decide whether features are dropped in this epoch."""
        super().start_epoch(epoch, loaders, optimizer)
        self.drops = epoch >= self.warmup

    def forward(self, batch: Batch) -> Output:
        """The model's output, in training with dropped features."""
        if not (self.training and self.drops):
            return super().forward(batch)
        features = self.model.encode(batch.inputs)
        with torch.no_grad(), self.model.settled():
            z = self.model.masked(self.model.decide(features))
        q = self.shares(true_probabilities(z, batch.labels))
        executed = torch.rand((), device=batch.labels.device) < self.p_exe
        q = {m: torch.where(executed, q_m, 0.0) for m, q_m in q.items()}
        dims = {m: int(encoder.feature_dim) for m, encoder in self.model.encoders.items()}  # type: ignore[arg-type]
        theta = sum(dims[m] * q_m for m, q_m in q.items()) / sum(dims.values())
        for m, feature in features.items():
            keep = torch.rand(feature.shape[:1], device=feature.device) >= q[m]
            features[m] = feature * keep.view(-1, *[1] * (feature.dim() - 1)) / (1 - theta)
        self.record({m: 1 - q_m for m, q_m in q.items()})
        return self.model.decide(features)

    def shares(self, p: dict[str, Tensor]) -> dict[str, Tensor]:
        """q_m, {modality: scalar}, from {modality: probabilities of the true classes}."""
        s = {m: p_m.mean() for m, p_m in p.items()}
        q = {}
        for m, s_m in s.items():
            rho = s_m / mean_of_others(s, m).clamp(min=1e-8)
            dropped = (self.q_base * (1 + self.lam * torch.tanh(rho - 1))).clamp(max=1)
            q[m] = torch.where(rho > 1, dropped, 0.0)
        return q
