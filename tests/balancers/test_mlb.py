import torch

from affine import DIMS, build, gradients, random_batch, start


def test_equal_scores_descend_the_sum_of_losses_bit_for_bit() -> None:
    balancer, joint, batch = build("mlb"), build("joint", loss="unimodal"), random_batch()
    for each in (balancer, joint):
        for weight in each.loss.heads.parameters():
            weight.data.zero_()  # every class has the probability 1/3
    found, expected = gradients(start(balancer, batch), batch), gradients(joint, batch)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_encoder_own_head_and_block_of_the_joint_head_are_scaled_by_k() -> None:
    balancer, joint, batch = build("mlb"), build("joint", loss="unimodal"), random_batch()
    found, expected = gradients(start(balancer, batch), batch), gradients(joint, batch)
    k = dict(zip(DIMS, balancer.sum_k, strict=True))
    assert min(k.values()) < 1 < max(k.values())
    blocks = {m: torch.zeros(3, 10, dtype=torch.bool) for m in DIMS}
    blocks["visual"][:, :6], blocks["audio"][:, 6:] = True, True
    for name, gradient in expected.items():
        factor = torch.ones_like(gradient)
        for m, k_m in k.items():
            if f"encoders.{m}." in name or f"heads.{m}." in name:
                factor *= k_m
            if name == "model.head.linear.weight":
                factor[blocks[m]] = k_m
        torch.testing.assert_close(found[name], factor * gradient)
