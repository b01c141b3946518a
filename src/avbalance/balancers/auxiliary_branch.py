"""The loss of an encoder's auxiliary branch."""

from functools import partial

import torch
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import NotNegative
from avbalance.types import Batch, Output


class AuxiliaryBranch(Balancer):
    """Let a branch in the middle of an encoder classify too, so that gradients enter there.

    Szegedy et al., CVPR 2015, section 5; Szegedy et al., CVPR 2016, section 4; Alain & Bengio, 2016, section 4.2.

        L = L(z, y) + w sum_m CE(V_m a_m + c_m, y)        CE: binary of several classes

    The sum is over the encoders m that have a branch; a_m is the output of its last layer, `branch_layer`, which has
    `branch_dim` features. The terms are those of the loss and `auxiliary_<modality>`, the latter already times w.

    Paper: The weight of the branch's loss is 0.3 (2015).
    Code: The weight is 0.4 in public code of Inception v3.
    Here: `weight: 0.4`, in the tables `probes_inception`, `probes_fig5` and `probes_fig9`.

    Args:
        model: The model to train.
        loss: Its objective.
        weight: w; 0.3 in the paper of 2015, 0.4 in public code of Inception v3.
    """

    needs_branch = True

    def __init__(self, model: Model, loss: Loss, weight: NotNegative = 0.4) -> None:
        super().__init__(model, loss)
        self.weight = weight
        dims = {m: encoder.branch_dim for m, encoder in model.encoders.items() if hasattr(encoder, "branch_dim")}
        self.heads = nn.ModuleDict({m: nn.Linear(int(dim), model.num_classes) for m, dim in dims.items()})  # type: ignore[arg-type]
        self._a: dict[str, Tensor] = {}
        for m in dims:
            model.encoders[m].get_submodule(str(model.encoders[m].branch_layer)).register_forward_hook(
                partial(self._keep, m)
            )

    def _keep(self, modality: str, _: nn.Module, __: object, a_m: Tensor) -> None:
        self._a[modality] = a_m

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """{terms of the loss, "auxiliary_<modality>": scalar}."""
        terms = super().losses(output, batch)
        with torch.autocast(output.logits.device.type, enabled=False):
            for modality, head in self.heads.items():
                logits = head(self._a[modality].float())
                terms[f"auxiliary_{modality}"] = self.weight * objective(logits, batch.labels)
        return terms
