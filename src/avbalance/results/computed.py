"""Tables that follow from formulas: one function a table, called with each row's arguments."""

import torch

from avbalance.losses import nt_logistic, nt_xent
from avbalance.ranges import Cosine


def contrastive_factors(sim_positive: Cosine, sim_negative: Cosine) -> dict[str, float]:
    """The factors that weigh a negative sample in the gradient of NT-Xent and of NT-Logistic at tau = 1.

    Table 2 of the AV-MNIST study (NORA.ai Summer Research School, candidate 8), after Chen et al., ICML 2020, table 2.
    The factors are found by autograd from the losses, not from the derived formulas that the paper evaluates.

    Args:
        sim_positive: sim(u, v+), the anchor's cosine with its positive sample.
        sim_negative: sim(u, v-), the anchor's cosine with its negative sample.
    """
    sims = torch.tensor([sim_positive, sim_negative], dtype=torch.float64)
    return {
        "f_xent": nt_xent.negative_factor(*sims).item(),
        "f_log": nt_logistic.negative_factor(*sims).item(),
    }
