"""CGGM, classifier-guided gradient modulation."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from avbalance.balancers.coefficients import Coefficients
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import NotNegative, Positive
from avbalance.types import Batch, Output


class CGGM(Coefficients):
    """Slow down the encoder of the modality whose own classifier improves faster.

    After Guo et al., NeurIPS 2024. Each modality has a classifier u_m = V_m detach(f_m) + c_m, and Delta_m is the
    change of its accuracy from one batch to the next,

        B_m  = clamp(sum over n other than m of Delta_n / sum_n Delta_n, -2, 2)
        g_m <- rho B_m g_m                                                  of encoder m
        L    = CE(z, y) + sum_m CE(u_m, y) + lam / M sum_m (|B_m| - B_m cos(W_m, detach(V_m)))   B_m: of the step before

    W_m is the block of the joint head. B_m = 1 in the first step. rho is void under Adam, so rows are trained with SGD.
    Terms are those of the loss, `classifier_<modality>` and `direction`.

    Paper: The cosine is that of gradients; this term has no gradient and trains nothing.
    Code: The cosine is that of weights; its gradient reaches the head and is cleared from the classifiers. Published
    numbers are of Adam.
    Here: As the code, `lam: 0.2`, in row `cggm`; trained like the paper's form, `lam: 0`, in row `cggm_paper`; SGD; the
    bound on B_m is ours, because the sum of changes may be near 0.

    Args:
        model: The model to train.
        loss: Its objective.
        rho: Factor of the encoders' gradients.
        lam: Weight of the direction; 0.05 for Food-101, 0.2 for MOSI and IEMOCAP.
        scale: Learning rate of the classifiers in terms of that of the other weights.
    """

    requires_head = ("linear",)
    tasks = ("single_label",)
    several_modalities = True
    keeps_apart = True
    scales_gradients = True
    accuracies: Tensor
    B: Tensor

    def __init__(
        self, model: Model, loss: Loss, rho: Positive = 1.3, lam: NotNegative = 0.2, scale: Positive = 1.0
    ) -> None:
        super().__init__(model, loss)
        self.rho, self.lam, self.scale = rho, lam, scale
        dims = {m: int(encoder.feature_dim) for m, encoder in model.encoders.items()}  # type: ignore[arg-type]
        self.heads = nn.ModuleDict({m: nn.Linear(dim, model.num_classes) for m, dim in dims.items()})
        self.register_buffer("accuracies", torch.full([len(dims)], torch.nan))
        self.register_buffer("B", torch.ones(len(dims)))

    def groups(self) -> list[dict[str, Any]]:
        """The classifiers' weights and all others."""
        own = list(self.heads.parameters())
        others = [weight for name, weight in self.named_parameters() if not name.startswith("heads.")]
        return [{"params": others}, {"params": own, "scale": self.scale}]

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms, those of the classifiers and the direction."""
        terms = super().losses(output, batch)
        terms |= {f"classifier_{m}": cross_entropy(u_m, batch.labels) for m, u_m in self.logits(output).items()}
        V = {m: cast(Tensor, classifier.weight).detach() for m, classifier in self.heads.items()}
        W = self.model.class_weights()
        cosines = torch.stack([cosine_similarity(W[m].flatten(), V[m].flatten(), dim=0) for m in V])
        terms["direction"] = self.lam * (self.B.abs() - self.B * cosines).mean()
        return terms

    def logits(self, output: Output) -> dict[str, Tensor]:
        """u_m, {modality: [batch, num_classes]}, in float32 also under autocast."""
        with torch.autocast(output.logits.device.type, enabled=False):
            return {m: classifier(output.vectors[m].detach()) for m, classifier in self.heads.items()}

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective and modulate those of the encoders."""
        super().backward(losses, output, batch)
        with torch.no_grad():
            right = [(u_m.argmax(dim=1) == batch.labels).float().mean() for u_m in self.logits(output).values()]
            accuracies = torch.stack(right)
            changes = accuracies - self.accuracies
            self.B.copy_(torch.where(changes.isnan().any(), torch.ones_like(changes), balance(changes)))
            self.accuracies.copy_(accuracies)
        k = dict(zip(self.model.encoders, self.rho * self.B, strict=True))
        for m, k_m in k.items():
            self.scale_encoder(m, k_m)
        self.record(k)


def balance(changes: Tensor) -> Tensor:
    """B, [modalities], from the changes of accuracy."""
    total = changes.sum()
    return torch.where(total != 0, (total - changes) / total, 1.0).clamp(-2, 2)
