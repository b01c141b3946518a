import pytest
import torch
from torch import Tensor

from avbalance.errors import UserError
from avbalance.fusions.low_rank import LowRank

DIMS = {"visual": 5, "audio": 3, "flow": 4}


def full_tensor_fusion(features: list[Tensor], factors: list[Tensor], b: Tensor) -> Tensor:
    """One clip through the whole tensor of weights: features [n], factors [rank, n + 1, dim] -> [dim]."""
    products = b.new_ones(())
    for f in features:
        products = torch.tensordot(products, torch.cat([f, f.new_ones(1)]), dims=0)
    h = []
    for j in range(len(b)):
        W = torch.zeros_like(products)
        for r in range(len(factors[0])):
            term = b.new_ones(())
            for factor in factors:
                term = torch.tensordot(term, factor[r, :, j], dims=0)
            W += term
        h.append((W * products).sum() + b[j])
    return torch.stack(h)


@pytest.mark.parametrize("modalities", [["visual", "audio"], ["visual", "audio", "flow"]])
def test_it_equals_fusion_by_the_full_tensor(modalities: list[str]) -> None:
    torch.manual_seed(0)
    fusion = LowRank({modality: DIMS[modality] for modality in modalities}, rank=3, dim=2).double()
    fusion.b.data = torch.tensor([0.5, -2.0], dtype=torch.float64)
    features = {modality: torch.randn(4, DIMS[modality], dtype=torch.float64) for modality in modalities}
    found = fusion(features)["joint"]
    factors = [fusion.W[modality] for modality in modalities]
    for clip in range(4):
        expected = full_tensor_fusion([features[modality][clip] for modality in modalities], factors, fusion.b)
        torch.testing.assert_close(found[clip], expected)


@pytest.mark.parametrize("modalities", [["visual", "audio"], ["visual", "audio", "flow"]])
def test_fused_features_start_with_variance_one_for_features_of_mean_square_one(modalities: list[str]) -> None:
    torch.manual_seed(0)
    fusion = LowRank(dict.fromkeys(modalities, 40), rank=4, dim=400)
    fused = fusion({modality: torch.randn(400, 40) for modality in modalities})["joint"]
    # 400 * 400 values, of few factors each; some per cent of error come from them.
    assert fused.square().mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("options", [{"rank": 0}, {"dim": 0}])
def test_a_rank_or_length_below_one_is_the_users_error(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"^fusion LowRank has rank \d and dim \d+; allowed: 1 or more$"):
        LowRank({"visual": 2, "audio": 2}, **options)
