import pytest
import torch

from avbalance.errors import UserError
from avbalance.fusions.nl_gate import NLGate

DIMS = {"visual": 5, "audio": 3, "flow": 4}


def test_it_equals_attention_clip_by_clip_and_modality_by_modality() -> None:
    torch.manual_seed(0)
    fusion = NLGate(DIMS, dim=6).double()
    features = {modality: torch.randn(4, dim, dtype=torch.float64) for modality, dim in DIMS.items()}
    streams = fusion(features)
    for clip in range(4):
        x = {m: fusion.P[m].weight @ features[m][clip] + fusion.P[m].bias for m in DIMS}
        for i in DIMS:
            f = {j: torch.exp((fusion.W_theta.weight @ x[i]) @ (fusion.W_phi.weight @ x[j])) for j in DIMS}
            y = sum(f[j] * (fusion.W_g.weight @ x[j]) for j in DIMS) / sum(f.values())
            torch.testing.assert_close(streams[i][clip], fusion.W_z.weight @ y + x[i])


def test_theta_phi_and_g_are_half_as_long_as_the_streams() -> None:
    fusion = NLGate(DIMS, dim=6)
    assert fusion.streams == dict.fromkeys(DIMS, 6)
    assert {W.weight.shape for W in (fusion.W_theta, fusion.W_phi, fusion.W_g)} == {(3, 6)}


def test_large_features_do_not_overflow() -> None:
    torch.manual_seed(0)
    features = {modality: 1e8 * torch.randn(4, dim) for modality, dim in DIMS.items()}
    assert all(stream.isfinite().all() for stream in NLGate(DIMS)(features).values())


def test_a_length_that_cannot_be_halved_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"^fusion NLGate has dim 1; allowed: 2 or more"):
        NLGate(DIMS, dim=1)
