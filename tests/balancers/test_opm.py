import numpy as np
import torch

from affine import DIMS, build, random_batch, start

NUM_CLIPS = 4000


def test_features_of_the_leader_are_dropped_in_a_share_q_and_all_are_divided_by_1_minus_theta() -> None:
    balancer, batch = build({"opm": {"p_exe": 1.0, "warmup": 0}}), random_batch(NUM_CLIPS)
    labels = batch.labels.numpy()
    plain = balancer.model(batch.inputs)
    z = balancer.model.head.split(plain.streams)
    s = {m: z_m.softmax(dim=1).detach().numpy()[np.arange(NUM_CLIPS), labels].mean() for m, z_m in z.items()}
    leader, other = sorted(DIMS, key=lambda m: -s[m])
    q = min(0.5 * (1 + 0.5 * np.tanh(s[leader] / s[other] - 1)), 1)
    theta = DIMS[leader] * q / sum(DIMS.values())
    torch.manual_seed(0)
    output = start(balancer, batch)(batch)
    dropped = {m: (feature == 0).all(dim=1) for m, feature in output.features.items()}
    assert not dropped[other].any()
    share = dropped[leader].float().mean().item()
    assert abs(share - q) < 4 * np.sqrt(q * (1 - q) / NUM_CLIPS)
    for m, feature in output.features.items():
        torch.testing.assert_close(feature[~dropped[m]], plain.features[m][~dropped[m]] / (1 - theta))


def test_a_share_p_exe_of_the_batches_drops_features_and_only_after_the_warmup() -> None:
    balancer, batch = build({"opm": {"p_exe": 0.7, "warmup": 2}}), random_batch()
    torch.manual_seed(0)
    for epoch, expected in ((1, 0.0), (2, 0.7)):
        start(balancer, batch, epoch)
        plain = balancer.model(batch.inputs).logits
        changed = [not torch.equal(balancer(batch).logits, plain) for _ in range(400)]
        assert abs(np.mean(changed) - expected) < 0.1
