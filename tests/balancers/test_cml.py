import pytest
import torch
from torch.nn.functional import cross_entropy

from affine import DIMS, build, random_batch, start


@pytest.mark.parametrize("spares_right", [True, False])
@pytest.mark.parametrize("dropped", DIMS)
def test_terms_are_those_of_the_chain(spares_right: bool, dropped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    balancer, batch = build({"cml": {"lam": 0.5, "spares_right": spares_right}}), random_batch()
    order = torch.tensor([sorted(DIMS).index(dropped), 1 - sorted(DIMS).index(dropped)])
    monkeypatch.setattr(torch, "randperm", lambda size: order)
    output = start(balancer, batch)(batch)
    terms = balancer.losses(output, batch)
    (kept,) = set(DIMS) - {dropped}
    W = dict(zip(DIMS, balancer.model.head.linear.weight.split(list(DIMS.values()), dim=1), strict=True))
    z = output.features[kept] @ W[kept].T + balancer.model.head.linear.bias
    penalties = []
    for large, small, y in zip(output.logits.softmax(dim=1), z.softmax(dim=1), batch.labels, strict=True):
        is_spared = spares_right and small.argmax() == y and large.argmax() != y
        penalties.append(max(small.max().item() - large.max().item(), 0) * (not is_spared))
    torch.testing.assert_close(terms["joint"], cross_entropy(output.logits, batch.labels) / 2)
    torch.testing.assert_close(terms["subset"], cross_entropy(z, batch.labels) / 2)
    assert terms["calibration"].item() == pytest.approx(0.5 * sum(penalties) / 8, abs=1e-6)
    assert any(penalties)


def test_each_modality_is_dropped_about_as_often() -> None:
    balancer, batch = build("cml"), random_batch()
    output = start(balancer, batch)(batch)
    torch.manual_seed(0)
    values = [round(balancer.losses(output, batch)["subset"].item(), 5) for _ in range(200)]
    assert len(set(values)) == 2
    assert 70 < values.count(values[0]) < 130
