from math import log

import pytest
import torch

from avbalance.balancers.mbsd import distillation

LABELS = torch.tensor([0, 1, 2, 2, 0])


def logits(seed: int) -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))


def test_the_term_is_the_mean_over_clips_of_what_the_weaker_learns_from_the_stronger() -> None:
    log_p = [logits(seed).log_softmax(dim=1) for seed in (0, 1)]
    terms = []
    for i, y in enumerate(LABELS.tolist()):
        strong, weak = sorted((each[i].exp().tolist() for each in log_p), key=lambda p: -p[y])
        w = strong[y] - weak[y] if y in (strong.index(max(strong)), weak.index(max(weak))) else 0
        divergence = sum(s * (log(s) - log(q)) for s, q in zip(strong, weak, strict=True))
        terms.append(w * (divergence + sum((s - q) ** 2 for s, q in zip(strong, weak, strict=True)) / 3))
    assert 0 in terms
    assert distillation(*log_p, LABELS).item() == pytest.approx(sum(terms) / 5, rel=1e-4)
    assert distillation(*reversed(log_p), LABELS).item() == pytest.approx(sum(terms) / 5, rel=1e-4)
    assert distillation(log_p[0], log_p[0], LABELS).item() == 0


def test_the_divergence_has_a_gradient_in_the_weaker_alone() -> None:
    u = [logits(seed)[:1].requires_grad_() for seed in (0, 1)]
    log_p = [u_m.log_softmax(dim=1) for u_m in u]
    p = [each.exp() for each in log_p]
    strong = int(p[1][0, 0] > p[0][0, 0])
    y = LABELS[:1] if 0 in (int(each.argmax()) for each in p) else p[strong].argmax(dim=1)
    strong = int(p[1][0, y] > p[0][0, y])
    w = (p[strong][0, y] - p[1 - strong][0, y]).detach()
    square = w * (p[0] - p[1]).square().mean()
    found = torch.autograd.grad(distillation(*log_p, y), u, retain_graph=True)
    expected = torch.autograd.grad(square.squeeze(), u)
    torch.testing.assert_close(found[strong], expected[strong])
    assert not torch.allclose(found[1 - strong], expected[1 - strong])
