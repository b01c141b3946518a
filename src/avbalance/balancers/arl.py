"""ARL, asymmetric representation learning."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import mean_of_others
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import NotNegative, Positive, Whole
from avbalance.types import Batch, Loaders, Output


class ARL(Coefficients):
    """Add uni-modal losses, and speed up the encoder whose own predictions vary less and whose partner weighs more.

    After [wei2025arl], ICCV 2025. With z_m the logits if all features but f_m are zeros, from epoch `start` on,

        L     = CE(z, y) + gamma sum_m CE(z_m, y)
        h_m   = max(H_m / sum_n H_n, 0.3);   w_m = (1 / h_m) / sum_n (1 / h_n)       H_m: mean entropy of softmax(z_m)
        c_m   = C_m / sum_n C_n;             C_m = sum_c mean_i |z_m[c]|
        omega = softmax_m(T c_n w_m)         n: the other modality; the mean over the others where there are more
        g_m  <- (1 + omega_m) g_m            of encoder m

    Before, gamma = 1 and omega_m = 1 / 2. Constant factors are void under Adam, so rows are trained with SGD. Terms are
    those of the loss and `unimodal_<modality>`; the curves `coefficient_<modality>` are the mean 1 + omega_m.

    Paper: The encoders are sped up unequally, by omega.
    Code: omega is computed and never used: all gradients of encoders are multiplied by 1.5 in all epochs; gradients
    longer than 40 are shortened.
    Here: As the code, `asymmetric: false`, in row `arl`; as the paper, `asymmetric: true`, in row `arl_paper`; both
    with `training: {clip_norm: 40}`.

    Args:
        model: The model to train.
        loss: Its objective.
        gamma: Weight of the uni-modal losses; 4 for CREMA-D.
        T: Sharpness of omega; 8 for CREMA-D.
        start: First epoch (from 0) with gamma and omega; the authors' `start` is the epoch before.
        asymmetric: Use omega, as the paper, and not 1 / 2, as the code.
    """

    tasks = ("single_label",)
    several_modalities = True
    scales_gradients = True

    def __init__(
        self,
        model: Model,
        loss: Loss,
        gamma: NotNegative = 4.0,
        T: Positive = 8.0,
        start: Whole = 6,
        asymmetric: bool = False,
    ) -> None:
        super().__init__(model, loss)
        self.gamma, self.T, self.start, self.asymmetric = gamma, T, start, asymmetric
        self.has_started = False

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Decide which weights hold in this epoch."""
        super().start_epoch(epoch, loaders, optimizer)
        self.has_started = epoch >= self.start

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms and the uni-modal ones."""
        terms = super().losses(output, batch)
        gamma = self.gamma if self.has_started else 1.0
        for m, z_m in self.model.zeroed(output.features).items():
            terms[f"unimodal_{m}"] = gamma * objective(z_m, batch.labels)
        return terms

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective and modulate them."""
        super().backward(losses, output, batch)
        k = {m: 1 + omega_m for m, omega_m in self.weights(output).items()}
        for m, k_m in k.items():
            self.scale_encoder(m, k_m)
        self.record(k)

    @torch.no_grad()
    def weights(self, output: Output) -> dict[str, Tensor]:
        """omega_m, {modality: scalar}."""
        if not (self.asymmetric and self.has_started):
            return {m: output.logits.new_full((), 0.5) for m in output.features}
        z = self.model.zeroed(output.features)
        log_p = {m: z_m.log_softmax(dim=1) for m, z_m in z.items()}
        H = {m: -(each.exp() * each).sum(dim=1).mean() for m, each in log_p.items()}
        return asymmetry(H, {m: z_m.abs().mean(dim=0).sum() for m, z_m in z.items()}, self.T)


def asymmetry(H: dict[str, Tensor], C: dict[str, Tensor], T: float) -> dict[str, Tensor]:
    """omega_m, {modality: scalar}, from the mean entropies H_m and the sizes C_m of the logits."""
    h = {m: (H_m / sum(H.values())).clamp(min=0.3) for m, H_m in H.items()}
    w = {m: 1 / h_m / sum(1 / h_n for h_n in h.values()) for m, h_m in h.items()}
    c = {m: C_m / sum(C.values()) for m, C_m in C.items()}
    omega = torch.stack([T * mean_of_others(c, m) * w[m] for m in w]).softmax(dim=0)
    return dict(zip(w, omega, strict=True))
