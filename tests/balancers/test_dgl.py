import torch
from torch.nn.functional import cross_entropy

from affine import DIMS, build, random_batch, start


def test_the_joint_term_has_no_gradient_in_encoders_and_the_others_have_none_behind_them() -> None:
    balancer, batch = build("dgl"), random_batch()
    losses = balancer.losses(start(balancer, batch)(batch), batch)
    names, weights = zip(*balancer.named_parameters(), strict=True)
    for term, value in losses.items():
        found = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
        m = term.removeprefix("unimodal_")
        trained = "model.head." if term == "joint" else f"model.encoders.{m}."
        assert {name for name, gradient in zip(names, found, strict=True) if gradient is not None} == {
            name for name in names if name.startswith(trained)
        }, term


def test_terms_are_cross_entropies_of_each_modality_with_the_whole_bias() -> None:
    balancer, batch = build({"dgl": {"alpha": 2.0}}), random_batch()
    output = start(balancer, batch)(batch)
    losses, model = balancer.losses(output, batch), balancer.model
    torch.testing.assert_close(losses["joint"], cross_entropy(model(batch.inputs).logits, batch.labels))
    for m, W_m in zip(DIMS, model.head.linear.weight.split(list(DIMS.values()), dim=1), strict=True):
        u = model.encoders[m](batch.inputs[m]) @ W_m.T + model.head.linear.bias
        torch.testing.assert_close(losses[f"unimodal_{m}"], 2 * cross_entropy(u, batch.labels))
