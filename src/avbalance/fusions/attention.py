"""Attention between two modalities."""

from torch import Tensor, nn

from avbalance.fusions.base import Fusion


class Attention(Fusion):
    """Each modality attends to the other by one shared attention; the results are added and normalised.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1d, with the multi-head
    attention MhA of Vaswani et al., NIPS 2017.

        f_fused = LayerNorm(MhA(f_img, f_aud, f_aud) + MhA(f_aud, f_img, f_img))      MhA(query, key, value)

    A feature is a sequence of one token. The softmax over one key is 1 whatever the query, so MhA(q, k, v)
    = W_o W_v v + b: queries, keys and the number of heads (1 here, open in the paper) change nothing.
    """

    two_modalities = True
    equal_dims = True

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.img, self.aud = dims
        dim = dims[self.img]
        self.streams = {"joint": dim}
        self.attention = nn.MultiheadAttention(dim, num_heads=1, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> {"joint": [batch, dim]}."""
        f_img, f_aud = features[self.img].unsqueeze(1), features[self.aud].unsqueeze(1)
        attended_aud, _ = self.attention(f_img, f_aud, f_aud, need_weights=False)
        attended_img, _ = self.attention(f_aud, f_img, f_img, need_weights=False)
        return {"joint": self.norm(attended_aud + attended_img).squeeze(1)}
