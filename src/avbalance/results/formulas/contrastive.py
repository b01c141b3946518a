"""Tables that follow from formulas: one function a table, called with each row's arguments."""

import torch

from avbalance.losses import nt_logistic, nt_xent
from avbalance.ranges import Cosine, Positive

HEADINGS = {
    "f_xent": "f_Xent",
    "f_log": "f_Log",
    "f_xent_less_f_log": "f_Xent − f_Log",
    "nt_xent": "NT-Xent",
    "nt_log": "NT-Log",
}


def contrastive_factors(sim_positive: Cosine, sim_negative: Cosine, tau: Positive = 1.0) -> dict[str, float]:
    """Weight of a negative sample in the gradients of NT-Xent and NT-Logistic, and both losses.

    Table 2 of the AV-MNIST study (NORA.ai Summer Research School, candidate 8), after Chen et al., ICML 2020, table 2.
    The weights are computed by autograd from the losses, not by the derived formulas of the paper.

    Args:
        sim_positive: sim(u, v+), the anchor's cosine with its positive sample.
        sim_negative: sim(u, v-), the anchor's cosine with its negative sample.
        tau: Temperature.
    """
    positive, negative = torch.tensor([sim_positive, sim_negative], dtype=torch.float64).split(1)
    one = torch.ones(1, dtype=torch.float64)  # its dot product with a similarity is that similarity
    f_xent = nt_xent.negative_factor(positive, negative, tau=tau).item()
    f_log = nt_logistic.negative_factor(positive, negative, tau=tau).item()
    return {
        "f_xent": f_xent,
        "f_log": f_log,
        "f_xent_less_f_log": f_xent - f_log,
        "nt_xent": nt_xent.nt_xent(one, positive, negative, tau).item(),
        "nt_log": nt_logistic.nt_logistic(one, positive, negative, tau).item(),
    }
