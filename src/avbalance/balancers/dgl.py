"""DGL, disentangled gradient learning."""

from dataclasses import replace

import torch
from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.balancers.frozen import decide_frozen
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import NotNegative
from avbalance.types import Batch, Output


class DGL(Balancer):
    """Train the encoders by uni-modal losses alone, and fusion and head by the joint loss alone.

    After [wei2025dgl], ICCV 2025. With f' = detach(f), and z_m the logits if all features but f_m are zeros,

        L = CE(z(f'), y) + alpha sum_m CE(z_m(f), y)

    where z_m is formed with detached weights of fusion and head: the first term has no gradient in the encoders, the
    others have none behind them. Of a linear head z_m = W_m f_m + b. Terms are those of the loss and
    `unimodal_<modality>`.

    Paper: The joint loss trains fusion and head alone; the uni-modal losses train the encoders alone.
    Code: Two backward passes, between which gradients are cleared; gradients longer than 40 are shortened.
    Here: One backward pass through detached weights, with the same gradients; row `dgl`, with `training: {clip_norm:
    40}`.

    Args:
        model: The model to train.
        loss: Objective of the joint logits.
        alpha: Weight of the uni-modal losses; 4 to 5 for CREMA-D, 2 to 3 for Kinetics-Sounds in the authors' scripts.
    """

    several_modalities = True
    keeps_encoders_apart = True

    def __init__(self, model: Model, loss: Loss, alpha: NotNegative = 4.0) -> None:
        super().__init__(model, loss)
        self.alpha = alpha

    def forward(self, batch: Batch) -> Output:
        """The model's output, whose logits and streams have no gradient in the encoders."""
        features = self.model.encode(batch.inputs)
        return replace(self.model.decide({m: f_m.detach() for m, f_m in features.items()}), features=features)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms and the uni-modal ones."""
        terms = super().losses(output, batch)
        for m, feature in output.features.items():
            others = {n: torch.zeros_like(each) for n, each in output.features.items()}
            z_m = decide_frozen(self.model, {**others, m: feature})
            terms[f"unimodal_{m}"] = self.alpha * objective(z_m, batch.labels)
        return terms
