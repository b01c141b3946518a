"""OGM-GE, on-the-fly gradient modulation with generalisation enhancement."""

import torch
from torch import Tensor

from avbalance.balancers.ogm import OGM


class OGMGE(OGM):
    """OGM with noise in place of the randomness that slowing down takes from the gradients.

    Peng et al., CVPR 2022, eq. 10. For every modality, whatever its k_m, in the epochs in which OGM modulates,

        g_m  <- k_m g_m + h,  h ~ N(0, std(g_m)^2)    std: over the elements of one weight's gradient, before k_m

    The standard deviation divides by the number of elements, so that a weight with one element gets no noise.
    The options are those of OGM. Under Adam the noise acts and k_m hardly does.
    """

    def modulate(self, gradients: list[Tensor], k: Tensor) -> None:
        """g <- k g + h, in place, for the gradients of one encoder's weights."""
        if not gradients:
            return
        stds = [g.std(correction=0) for g in gradients]
        super().modulate(gradients, k)
        # One draw for all weights, each part laid out in memory as its gradient: ten times as fast as a draw for each.
        draws = torch.randn(sum(g.numel() for g in gradients), device=gradients[0].device)
        parts = draws.split([g.numel() for g in gradients])
        h = [part.as_strided(g.shape, g.stride()) for part, g in zip(parts, gradients, strict=True)]
        torch._foreach_addcmul_(gradients, h, stds)
