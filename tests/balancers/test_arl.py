import numpy as np
import pytest
import torch

from affine import DIMS, build, gradients, random_batch, start


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize(("epoch", "gamma"), [(5, 1.0), (6, 4.0)])
def test_gradients_are_those_of_masked_losses_with_the_encoders_scaled(
    asymmetric: bool, epoch: int, gamma: float
) -> None:
    balancer, plain = build({"arl": {"asymmetric": asymmetric}}), build({"masked_losses": {"gamma": gamma}})
    batch = random_batch()
    found, expected = gradients(start(balancer, batch, epoch), batch), gradients(plain, batch)
    omega = dict.fromkeys(DIMS, 0.5)
    if asymmetric and epoch == 6:
        z = {m: z_m.detach().double().numpy() for m, z_m in plain.model.zeroed(plain(batch).features).items()}
        p = {m: np.exp(z_m) / np.exp(z_m).sum(axis=1, keepdims=True) for m, z_m in z.items()}
        H = {m: -(p_m * np.log(p_m)).sum(axis=1).mean() for m, p_m in p.items()}
        h = {m: max(H_m / sum(H.values()), 0.3) for m, H_m in H.items()}
        w = {m: 1 / h_m / sum(1 / h_n for h_n in h.values()) for m, h_m in h.items()}
        C = {m: np.abs(z_m).mean(axis=0).sum() for m, z_m in z.items()}
        exponents = {m: 8 * C[n] / sum(C.values()) * w[m] for m, n in zip(DIMS, reversed(DIMS), strict=True)}
        omega = {m: np.exp(e) / sum(np.exp(each) for each in exponents.values()) for m, e in exponents.items()}
        assert abs(omega["audio"] - 0.5) > 0.01
    for name, gradient in expected.items():
        factor = next((1 + omega[m] for m in DIMS if f"encoders.{m}." in name), 1.0)
        torch.testing.assert_close(found[name], factor * gradient, rtol=1e-4, atol=1e-6)
