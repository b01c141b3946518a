import numpy as np
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from affine import DIMS, build, random_batch, sgd, start


def test_encoders_gradients_are_scaled_by_the_changes_of_accuracy() -> None:
    rho, lam = 1.3, 0.2
    balancer, batches = build("cggm"), [random_batch(40, seed) for seed in range(4)]
    start(balancer, batches[0])
    accuracies, B = None, np.ones(2)
    for batch in batches:
        W, V = balancer.model.class_weights(), {m: each.weight.detach() for m, each in balancer.heads.items()}
        output = balancer(batch)
        u = {m: classifier(output.features[m].detach()) for m, classifier in balancer.heads.items()}
        cosines = {m: cosine_similarity(W[m].flatten(), V[m].flatten(), dim=0) for m in DIMS}
        L = cross_entropy(output.logits, batch.labels) + sum(cross_entropy(u_m, batch.labels) for u_m in u.values())
        L = L + lam / 2 * sum(abs(b) - b * cosines[m] for m, b in zip(DIMS, B, strict=True))
        names, weights = zip(*balancer.named_parameters(), strict=True)
        expected = dict(zip(names, torch.autograd.grad(L, weights), strict=True))
        now = np.array([(u_m.argmax(dim=1) == batch.labels).double().mean().item() for u_m in u.values()])
        if accuracies is not None:
            changes = now - accuracies
            total = changes.sum()
            B = np.clip((total - changes) / total, -2, 2) if abs(total) > 1e-6 else np.ones(2)
        accuracies = now
        balancer.step(batch, sgd(balancer))
        np.testing.assert_allclose(balancer.B, B, rtol=1e-3, atol=1e-5)
        for name, weight in balancer.named_parameters():
            encoder = next((m for m in DIMS if f"encoders.{m}." in name), None)
            factor = 1.0 if encoder is None else rho * B[list(DIMS).index(encoder)]
            torch.testing.assert_close(weight.grad, factor * expected[name], rtol=1e-3, atol=1e-6)
    assert not np.allclose(B, 1)
