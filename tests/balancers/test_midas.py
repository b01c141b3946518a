from math import log

import numpy as np
import pytest
import torch

from affine import DIMS, build, random_batch, start
from avbalance.balancers.midas import next_alpha
from avbalance.types import Batch


def test_alpha_of_the_weakest_modality_grows_while_the_model_underrates_it_and_that_of_others_is_1() -> None:
    # audio has the lower confidence, 0.25, and the model gives it 0.10
    alpha, c = torch.tensor([1.1, 1.2]), torch.tensor([0.25, 0.75])
    assert next_alpha(alpha, c, torch.tensor([0.10, 0.90]), 0.05).tolist() == pytest.approx([1.15, 1.0])
    assert next_alpha(alpha, c, torch.tensor([0.40, 0.60]), 0.05).tolist() == pytest.approx([1.05, 1.0])
    assert next_alpha(torch.ones(2), c, torch.tensor([0.40, 0.60]), 0.05).tolist() == [1.0, 1.0]


def test_the_loss_of_misaligned_clips_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clips of classes 0 and 1, with heads and features that are set."""
    balancer = build({"midas": {"lam": 2.0, "eta": 0.05, "warmup": 0}}, num_classes=2)
    batch = Batch({m: torch.randn(2, dim) for m, dim in DIMS.items()}, torch.tensor([0, 1]), torch.arange(2))
    start(balancer, batch)
    # confidences in the own class: visual 0.9 of clip 0 and 0.6 of clip 1, audio 0.3 and 0.2
    p = {"visual": [[0.9, 0.1], [0.4, 0.6]], "audio": [[0.3, 0.7], [0.8, 0.2]]}
    balancer.loss.logits = lambda output: {m: torch.tensor(p_m).log() for m, p_m in p.items()}
    monkeypatch.setattr(torch, "rand", lambda shape, device: torch.tensor([1.0, 0.0]))  # the clips change places
    balancer.alpha.copy_(torch.tensor([1.0, 1.5]))
    output = balancer(batch)
    losses, differences = [], []
    for n in DIMS:
        f = {m: f_m.flip(0) if m == n else f_m for m, f_m in output.features.items()}
        log_p = balancer.model.decide(f).logits.log_softmax(dim=1).detach().numpy()
        a, b = output.features[n].detach().numpy()
        s = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for i in (0, 1):
            of = {m: 1 - i if m == n else i for m in DIMS}  # the clip that modality m comes from, and its class
            confidence = {m: p[m][k][k] for m, k in of.items()}
            c = {m: value / sum(confidence.values()) for m, value in confidence.items()}
            cross = sum(alpha * c[m] * -log_p[i, of[m]] for m, alpha in zip(DIMS, (1.0, 1.5), strict=True))
            losses.append((1 + (s + 1) / 2) * cross)
            q = np.exp(log_p[i, of["audio"]]) / sum(np.exp(log_p[i, k]) for k in of.values())
            differences.append(c["audio"] - q)
    term = balancer.losses(output, batch)["misaligned"]
    assert term.item() == pytest.approx(2 * np.mean(losses), rel=1e-4)
    # audio has the lower mean confidence
    assert balancer.alpha.tolist() == pytest.approx([1.0, 1.5 + 0.05 * np.sign(np.mean(differences))])


def test_clips_that_meet_their_own_class_are_left_out() -> None:
    balancer = build({"midas": {"warmup": 0}})
    batch = random_batch()
    same = Batch(batch.inputs, torch.zeros_like(batch.labels), batch.index)
    balancer.alpha.copy_(torch.tensor([1.0, 1.5]))
    start(balancer, same)
    assert balancer.losses(balancer(same), same)["misaligned"] == 0
    assert balancer.alpha.tolist() == [1.0, 1.5]


def test_a_head_without_weights_loses_log_2_times_the_weights_of_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    # equal features: s = 1, so that each clip weighs 2; all alpha 1: the labels sum to 1
    balancer = build({"midas": {"warmup": 0}}, num_classes=2)
    for weight in balancer.model.head.parameters():
        torch.nn.init.zeros_(weight)
    batch = Batch({m: torch.ones(2, dim) for m, dim in DIMS.items()}, torch.tensor([0, 1]), torch.arange(2))
    monkeypatch.setattr(torch, "rand", lambda shape, device: torch.tensor([1.0, 0.0]))
    term = balancer.losses(start(balancer, batch)(batch), batch)["misaligned"]
    assert term.item() == pytest.approx(2 * log(2), rel=1e-5)


def test_in_the_warm_up_modalities_alone_are_trained() -> None:
    balancer, batch = build({"midas": {"warmup": 2}}), random_batch()
    assert set(balancer.losses(start(balancer, batch, epoch=1)(batch), batch)) == set(DIMS)
    balancer.eval()
    assert "joint" in balancer.losses(balancer(batch), batch)
    terms = balancer.losses(start(balancer, batch, epoch=2)(batch), batch)
    assert set(terms) == {"joint", *DIMS, "misaligned"}
    assert balancer.earliest_stop == 2
