import torch

from affine import DIMS, build, gradients, random_batch, start


def test_the_gradient_by_a_block_of_the_head_is_that_of_the_joint_and_its_own_logits() -> None:
    balancer, batch, gamma = build({"masked_losses": {"gamma": 2.0}}), random_batch(), 2.0
    head = balancer.model.head.linear
    head.bias.data.zero_()
    found = gradients(start(balancer, batch), batch)["model.head.linear.weight"]
    output, onehot = balancer(batch), torch.eye(3)[batch.labels]
    blocks = found.split(list(DIMS.values()), dim=1)
    weights = head.weight.split(list(DIMS.values()), dim=1)
    delta = (output.logits.softmax(dim=1) - onehot) / 8
    for m, block, W_m in zip(DIMS, blocks, weights, strict=True):
        f_m = output.features[m]
        delta_m = ((f_m @ W_m.T).softmax(dim=1) - onehot) / 8
        torch.testing.assert_close(block, (delta + gamma * delta_m).T @ f_m)
