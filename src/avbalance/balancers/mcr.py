"""MCR, the multi-modal competition regulariser."""

from math import log
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.frozen import decide_frozen
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.ranges import Count, NotNegative, Positive
from avbalance.types import Batch, Output

K = {"greedy": -1, "independent": 0, "collaborative": 1}


class MCR(Coefficients):
    """Let every encoder raise its own influence on the prediction, and lower that of the others.

    Kontras et al., NeurIPS 2025, eqs. 5-13. With L the loss, z the logits and z_m the logits if the features of
    modality m change places between the clips of the batch (`permutations` times),

        MIPD_m = -JSD(softmax(z), softmax(z_m))                    mean over clips and permutations
        gradient of encoder m: that of L + lam (MIPD_m + k sum over n other than m of MIPD_n) + contrast L_Con
        L_Con  = mean of -log(exp(f.g / T) / (exp(f.g / T) + sum over h of exp(f.h / T)))
        L_CEB  = mean of ([f_1 f_2 ...] - h(detach(z)))^2          h: W_2 relu(W_1 z); only if `bottleneck` > 0

    k is -1 (greedy), 0 (independent) or 1 (collaborative). f and g are features of length 1 of any two modalities and
    clips with one label, h those with another label. MIPD has no gradient in fusion and head, which are in evaluation
    mode for it. The bottleneck harmed models without large-scale pre-training. Curves `coefficient_<modality>` are the
    mean -MIPD_m, at most log 2.

    Paper: The denominator of L_Con is the sum over h alone.
    Code: The denominator has the own pair, too; MIPD also has a gradient in the blocks W_m of a linear head, its
    features are computed again in evaluation mode, and z has a gradient in all encoders, which cancels if greedy.
    Published runs are of Adam and start from uni-modal runs; 0.01 is the weight of uni-modal losses on CREMA-D.
    Here: L_Con is the code's; MIPD trains the encoders alone, through the features of the step; `strategy: greedy`,
    `lam: 0.01`.

    Args:
        model: The model to train.
        loss: Its heads' losses.
        lam: Weight of MIPD; 0.001 for UCF101.
        strategy: k.
        permutations: Number of permutations.
        contrast: Weight of L_Con.
        temperature: T.
        bottleneck: Weight of L_CEB.
    """

    requires_loss = ("unimodal",)
    tasks = ("single_label",)
    several_modalities = True
    keeps_encoders_apart = True
    equal_dims = True

    def __init__(
        self,
        model: Model,
        loss: Unimodal,
        lam: NotNegative = 0.01,
        strategy: Literal["greedy", "independent", "collaborative"] = "greedy",
        permutations: Count = 32,
        contrast: NotNegative = 1.0,
        temperature: Positive = 0.5,
        bottleneck: NotNegative = 0.0,
    ) -> None:
        super().__init__(model, loss)
        self.lam, self.k, self.permutations = lam, K[strategy], permutations
        self.contrast, self.temperature, self.bottleneck = contrast, temperature, bottleneck
        if bottleneck > 0:
            dims = [int(encoder.feature_dim) for encoder in model.encoders.values()]  # type: ignore[arg-type]
            layers = (nn.Linear(model.num_classes, dims[0], bias=False), nn.Linear(dims[0], sum(dims), bias=False))
            self.h = nn.Sequential(layers[0], nn.ReLU(), layers[1])

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms, `influence`, `contrast` and, if it has a weight, `bottleneck`."""
        terms = super().losses(output, batch)
        with torch.autocast(output.logits.device.type, enabled=False):
            terms["influence"] = self.lam * self.influence({m: f_m.float() for m, f_m in output.features.items()})
            vectors = {m: f_m.float() for m, f_m in output.vectors.items()}
            terms["contrast"] = self.contrast * contrast(list(vectors.values()), batch.labels, self.temperature)
            if self.bottleneck > 0:
                f = torch.cat(list(vectors.values()), dim=1)
                terms["bottleneck"] = self.bottleneck * mse_loss(self.h(output.logits.detach()), f)
        return terms

    def influence(self, f: dict[str, Tensor]) -> Tensor:
        """Sum over encoders m of MIPD_m + k sum_n MIPD_n, scalar, each with a gradient in encoder m alone."""
        num_clips = len(next(iter(f.values())))
        whole = torch.arange(num_clips).repeat(self.permutations)
        device = next(iter(f.values())).device
        permuted = torch.rand(self.permutations, num_clips, device=device).argsort(dim=1).flatten()
        total, divergences = next(iter(f.values())).new_zeros(()), {}
        for m in f:
            own = {n: f_n if n == m else f_n.detach() for n, f_n in f.items()}
            z = decide_frozen(self.model, own)
            for n in f:
                changed = {o: f_o[permuted if o == n else whole] for o, f_o in own.items()}
                divergence = js_divergence(z[whole], decide_frozen(self.model, changed))
                total = total - divergence * (1 if n == m else self.k)
                divergences[n] = divergence.detach()
        if self.training:
            self.record(divergences)
        return total


def js_divergence(z: Tensor, z_m: Tensor) -> Tensor:
    """JSD of the softmax of logits [clips, num_classes], mean over clips, scalar, in nats."""
    log_p, log_q = z.log_softmax(dim=1), z_m.log_softmax(dim=1)
    log_mid = torch.logaddexp(log_p, log_q) - log(2)
    return ((log_p - log_mid) * log_p.exp() + (log_q - log_mid) * log_q.exp()).sum(dim=1).mean() / 2


def contrast(features: list[Tensor], labels: Tensor, temperature: float) -> Tensor:
    """L_Con, scalar, of features [batch, dim] of every modality and labels [batch]."""
    f = normalize(torch.cat(features), dim=1)
    y = labels.repeat(len(features))
    similarity = f @ f.T / temperature
    is_same = y[:, None] == y
    others = similarity.masked_fill(is_same, torch.finfo(f.dtype).min).logsumexp(dim=1, keepdim=True)
    pairs = is_same & ~torch.eye(len(f), dtype=torch.bool, device=f.device)
    return ((torch.logaddexp(similarity, others) - similarity) * pairs).sum() / pairs.sum()
