"""NT-Logistic for one positive and one negative, and its gradient."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def nt_logistic(u: Tensor, v_positive: Tensor, v_negative: Tensor, tau: float) -> Tensor:
    """Normalised temperature-scaled logistic loss, an objective to be maximised.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), problem 2c; Chen et al., ICML 2020, table 2.

        NT-Log = log sigmoid(sim(u, v+) / tau) + log sigmoid(-sim(u, v-) / tau)

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


def nt_logistic_gradient(u: Tensor, v_positive: Tensor, v_negative: Tensor, tau: float) -> Tensor:
    """The derivative by u as derived in problem 2c, [..., dim].

    dNT-Log / du = sigmoid(-sim(u, v+) / tau) v+ / tau - sigmoid(sim(u, v-) / tau) v- / tau
    """
    sim_positive = (u * v_positive).sum(-1, keepdim=True)
    sim_negative = (u * v_negative).sum(-1, keepdim=True)
    return torch.sigmoid(-sim_positive / tau) * v_positive / tau - torch.sigmoid(sim_negative / tau) * v_negative / tau


def negative_factor(sim_positive: Tensor, sim_negative: Tensor, tau: float = 1.0) -> Tensor:
    """The factor of v- in the gradient, found by automatic differentiation; f_Log of table 2 at tau = 1.

    By hand: f_Log = -sigmoid(sim(u, v-)).
    """
    sim_negative = sim_negative.detach().requires_grad_()
    objective = _of_similarities(sim_positive, sim_negative, tau).sum()
    (factor,) = torch.autograd.grad(objective, sim_negative)
    return factor


def _of_similarities(sim_positive: Tensor, sim_negative: Tensor, tau: float) -> Tensor:
    return logsigmoid(sim_positive / tau) + logsigmoid(-sim_negative / tau)
