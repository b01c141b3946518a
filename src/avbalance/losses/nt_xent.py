"""NT-Xent for one positive and one negative, and its gradient."""

import torch
from torch import Tensor


def nt_xent(u: Tensor, v_positive: Tensor, v_negative: Tensor, tau: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy, an objective to be maximised.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), problem 2, eq. 1; Chen et al., ICML 2020.

        NT-Xent = sim(u, v+) / tau - log Z(u)      Z(u) = exp(sim(u, v+) / tau) + exp(sim(u, v-) / tau)

    sim is the dot product: give vectors of length 1 for the cosine.

    Args:
        u: Anchors, [..., dim].
        v_positive: v+, [..., dim].
        v_negative: v-, [..., dim].
        tau: Temperature, > 0.

    Returns:
        [...], at most 0.
    """
    return _of_similarities((u * v_positive).sum(-1), (u * v_negative).sum(-1), tau)


def nt_xent_gradient(u: Tensor, v_positive: Tensor, v_negative: Tensor, tau: float) -> Tensor:
    """The derivative by u as derived in problem 2b, [..., dim].

    dNT-Xent / du = v+ / tau (1 - exp(sim(u, v+) / tau) / Z(u)) - v- / tau (exp(sim(u, v-) / tau) / Z(u))
    """
    similarities = torch.stack([(u * v_positive).sum(-1), (u * v_negative).sum(-1)])
    # exp(sim / tau) / Z(u) is a softmax, which cannot overflow at small tau.
    shares = torch.softmax(similarities / tau, dim=0).unsqueeze(-1)
    return v_positive / tau * (1 - shares[0]) - v_negative / tau * shares[1]


def negative_factor(sim_positive: Tensor, sim_negative: Tensor, tau: float = 1.0) -> Tensor:
    """The factor of v- in the gradient, found by automatic differentiation; f_Xent of table 2 at tau = 1.

    By hand: f_Xent = -sigmoid(sim(u, v-) - sim(u, v+)).
    """
    sim_negative = sim_negative.detach().requires_grad_()
    objective = _of_similarities(sim_positive, sim_negative, tau).sum()
    (factor,) = torch.autograd.grad(objective, sim_negative)
    return factor


def _of_similarities(sim_positive: Tensor, sim_negative: Tensor, tau: float) -> Tensor:
    return sim_positive / tau - torch.logsumexp(torch.stack([sim_positive, sim_negative]) / tau, dim=0)
