"""MMCosine, the multi-modal cosine loss, and the bound on its scale."""

from math import log, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from avbalance.heads.base import Head
from avbalance.ranges import Positive


class Cosine(Head):
    """Logits are scaled sums of cosines; followed by cross-entropy this is the MMCosine loss.

    Xu et al., ICASSP 2023, eq. 3.

        z_j = s (cos theta_j^a + cos theta_j^v)        cos theta_j^m = W_j^m . phi^m / (|W_j^m| |phi^m|)

    No bias. The share of modality m is s cos theta^m. Any number of streams. As lengths of phi^m mean nothing, each
    stream of an embedding has length 1, and a cosine of embeddings is the mean of the streams' cosines.

    Paper: Eq. 4 is a lower bound of the scale; the settings are not printed.
    Code: The scale is 10 by default.
    Here: `scale: 10`, in row `mmcosine`, which also tries 5, 20 and 40.

    Args:
        streams: {stream: dim}.
        num_classes: Rows of every W^m.
        scale: s. The authors set it roughly by eq. 4 (`scale_lower_bound`).
    """

    def __init__(self, streams: dict[str, int], num_classes: int, scale: Positive = 10.0) -> None:
        super().__init__(streams, num_classes)
        self.scale = scale
        self.linear = nn.Linear(sum(streams.values()), num_classes, bias=False)

    @property
    def weights(self) -> dict[str, Tensor]:
        """W^m, {stream: [num_classes, dim]}."""
        blocks = self.linear.weight.split(list(self.dims.values()), dim=1)
        return dict(zip(self.dims, blocks, strict=True))

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        return torch.stack(list(self.split(streams).values())).sum(dim=0)

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """{stream: [batch, dim]} -> {stream: [batch, num_classes]}."""
        return {m: self.scale * normalize(streams[m]) @ normalize(W_m).T for m, W_m in self.weights.items()}

    def embedding(self, streams: dict[str, Tensor]) -> Tensor:
        """[phi^1 / |phi^1|; ...; phi^M / |phi^M|] / sqrt(M), {stream: [batch, dim]} -> [batch, dims]."""
        return torch.cat([normalize(streams[m]) for m in self.dims], dim=1) / sqrt(len(self.dims))


def scale_lower_bound(num_classes: int, probability: float) -> float:
    """The smallest useful s, as printed in eq. 4: (C - 1) / (2 (C + 1)) ln((C - 1) p / (1 - p)).

    Args:
        num_classes: C.
        probability: p, expected posterior probability of the true class.
    """
    C, p = num_classes, probability
    return (C - 1) / (2 * (C + 1)) * log((C - 1) * p / (1 - p))


def scale_lower_bound_derived(num_classes: int, probability: float) -> float:
    """The same bound as it follows from CosFace (Wang et al., CVPR 2018), which eq. 4 is said to follow.

    At best both features lie on their class's weight, cos = 1, and the C weights as far apart as they can,
    cos = -1 / (C - 1). Then p = 1 / (1 + (C - 1) exp(-2 s C / (C - 1))), and solved for s:

        s >= (C - 1) / (2 C) ln((C - 1) p / (1 - p))
    """
    C, p = num_classes, probability
    return (C - 1) / (2 * C) * log((C - 1) * p / (1 - p))
