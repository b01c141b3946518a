import pytest
import torch

from avbalance.fusions.bilinear import Bilinear


def test_fused_features_start_with_variance_one_for_features_of_mean_square_one() -> None:
    torch.manual_seed(0)
    fusion = Bilinear({"visual": 40, "audio": 30}, dim=50)
    fused = fusion({"visual": torch.randn(400, 40), "audio": torch.randn(400, 30)})["joint"]
    # 50 * 400 values; a few per cent of error come from the features' own mean squares.
    assert fused.square().mean().item() == pytest.approx(1, abs=0.1)
