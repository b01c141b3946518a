import torch
from torch import Tensor, nn

from avbalance.fusions.attention import Attention

FEATURES = {"visual": torch.tensor([[1.0, 2.0]]), "audio": torch.tensor([[3.0, -1.0]])}


def build(queries_and_keys: float) -> Attention:
    fusion = Attention({"visual": 2, "audio": 2})
    values = torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    in_proj = torch.cat([torch.full((4, 2), queries_and_keys), values])
    fusion.attention.in_proj_weight = nn.Parameter(in_proj)
    fusion.attention.out_proj.weight = nn.Parameter(torch.eye(2))
    return fusion


def before_normalisation(fusion: Attention) -> Tensor:
    fusion.norm = nn.Identity()
    return fusion(FEATURES)["joint"]


def test_what_both_modalities_hear_is_added() -> None:
    # W_v f_audio = [3 - 1, 2 * -1] = [2, -2], W_v f_visual = [1 + 2, 2 * 2] = [3, 4]; all biases start at 0.
    torch.testing.assert_close(before_normalisation(build(1.0)), torch.tensor([[5.0, 2.0]]))


def test_queries_and_keys_change_nothing() -> None:
    assert torch.equal(before_normalisation(build(1.0)), before_normalisation(build(-3.0)))
