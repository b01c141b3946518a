"""The convex problem of a probe, solved to its optimum.

    J(W, b) = mean_i CE(W x_i + b, y_i) + l2 / 2 |W|^2

is minimised by L-BFGS in variables v in which the Hessian H is close to the identity:

    (W, b) = (W_0, b_0) + S v,    S S^T ~ H^-1,
    H = sum_i A_i (x) x_i x_i^T / n + l2,    A_i = diag(p_i) - p_i p_i^T.

S is built from the principal components of the features. In the span of the first ones and the bias it is the inverse
Cholesky factor of H, with the coupling of the classes; in the span of the next ones H is replaced by the diagonal
lambda_j mean_i p_ic (1 - p_ic) + l2, and in what is left by the same with the last of these lambda. Components and H
are those of a part of the clips: S changes the number of passes, not the optimum. If clips have several classes, each
class is a problem of its own, and A_i = diag(p_i (1 - p_i)).

J is convex and W is penalised, so |g|^2 / (2 l2) bounds the distance of J from its minimum where the gradient of the
bias vanishes: it is the duality gap. The search ends when this gap is small compared with J.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.linalg import solve_triangular
from torch.nn.functional import softplus

from avbalance.probing.features import CHUNK_BYTES, Features

MAX_COMPONENTS, MAX_COUPLED = 1024, 1500
"""Number of principal components; number of weights in the Cholesky factor."""
NUM_SAMPLED, NUM_UNDECIDED = 2048, 4096
"""Number of clips for the components, and for the factor."""
FIRST_PASSES, MAX_ROUNDS = 12, 9
"""Number of passes with the first S; every further S, made where the search stands, is used for twice as many."""
ROWS = 512
"""Number of clips that are projected at once for the factor."""
HISTORY = 10
"""Number of steps that L-BFGS remembers."""
SMALL = 2**20
"""Number of features up to which products with them are in float64, which costs little then; others are in float32."""
RARE = 1e-8
"""Starting probability of a class without training clips, whose bias has no finite optimum."""


@dataclass
class Solution:
    """End of the search.

    Attributes:
        weight: [num_classes, dim + 1], float64; the last column holds the bias.
        loss: J.
        gradient: [num_classes, dim + 1], of J.
        gap: Bound on the distance of J from its minimum, as a share of J.
        num_passes: Number of passes over the clips.
    """

    weight: Tensor
    loss: float
    gradient: Tensor
    gap: float
    num_passes: int = 0

    @property
    def gradient_norm(self) -> float:
        """Largest absolute entry of the gradient."""
        return float(self.gradient.abs().max())


class _EnoughError(Exception):
    """Ends L-BFGS from within: the gap is small, or the round is over."""


def least_bytes(num_clips: int, dim: int, num_classes: int) -> int:
    """Return the least memory for solving a problem, without features that are held in memory."""
    vectors = 8 * (2 * HISTORY + 14) * num_classes * (dim + 1)
    probabilities = 28 * num_clips * num_classes
    rows = 8 * min(ROWS, num_clips) * dim
    return vectors + probabilities + rows + 12 * max(CHUNK_BYTES // 4, dim) + _bytes_of_factor(num_classes, num_clips)


def _bytes_of_factor(num_coupled: int, num_clips: int) -> int:
    return 20 * num_coupled**2 + 8 * num_coupled * min(NUM_UNDECIDED, num_clips)


class Problem:
    """J of standardised features and labels.

    Args:
        features: Features of n clips.
        labels: [n]; or [n, num_classes], zeros and ones.
        num_classes: Number of logits.
        max_bytes: Memory for everything except the features; see `least_bytes`.
    """

    def __init__(self, features: Features, labels: NDArray[np.integer], num_classes: int, max_bytes: int) -> None:
        self.features, self.num_classes = features, num_classes
        self.several = labels.ndim == 2
        self.labels = torch.from_numpy(np.ascontiguousarray(labels)).long()
        self.num_clips, self.dim = features.shape
        spare = max(0, max_bytes - least_bytes(self.num_clips, self.dim, num_classes))
        self.num_sampled = max(1, min(NUM_SAMPLED, self.num_clips, spare // 2 // (16 * self.dim)))
        self.num_coupled = MAX_COUPLED
        while self.num_coupled > num_classes and _bytes_of_factor(self.num_coupled, self.num_clips) > spare // 2:
            self.num_coupled //= 2
        self._components: tuple[Tensor, Tensor] | None = None

    def start(self) -> Tensor:
        """Return the optimum without features: weights of zero, and biases from the frequencies of the classes."""
        if self.several:
            share = self.labels.double().mean(dim=0).clamp(RARE, 1 - RARE)
            bias = torch.logit(share)
        else:
            share = torch.bincount(self.labels, minlength=self.num_classes).double() / self.num_clips
            bias = share.clamp(min=RARE).log()
            bias -= bias.mean()  # this changes no probability
        return torch.cat([torch.zeros(self.num_classes, self.dim, dtype=torch.float64), bias[:, None]], dim=1)

    def solve(self, l2: float, start: Tensor, tolerance: float) -> Solution:
        """Minimise J until its gap is at most the tolerance, or rounding lets J fall no further."""
        best, p = self._look(start, l2)
        num_passes = 1
        for number in range(MAX_ROUNDS):
            if best.gap <= tolerance:
                break
            origin, until = best, num_passes + FIRST_PASSES * 2**number
            scale = self._scale(p, l2)

            def look(v: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
                nonlocal best, p, num_passes
                if num_passes >= until:  # noqa: B023
                    raise _EnoughError
                there, p_there = self._look(origin.weight + scale(torch.from_numpy(v), False), l2)  # noqa: B023
                num_passes += 1
                if there.loss < best.loss or there.gap < best.gap:
                    best, p = there, p_there
                if best.gap <= tolerance:
                    raise _EnoughError
                return there.loss, scale(there.gradient, True).numpy().ravel()  # noqa: B023

            try:
                options = {"maxcor": HISTORY, "maxiter": until, "maxfun": until, "ftol": 0, "gtol": 0}
                minimize(look, np.zeros(start.numel()), jac=True, method="L-BFGS-B", options=options)  # type: ignore[call-overload]
            except _EnoughError:
                continue
            if best.gap >= origin.gap / 2:
                break  # the rest is rounding
        best.num_passes = num_passes
        return best

    def _look(self, weight: Tensor, l2: float) -> tuple[Solution, Tensor]:
        """Compute J, its gradient, and the probabilities of the clips, [n, num_classes].

        Products with many features are in float32, everything else is in float64.
        """
        num, width = self.num_classes, -(-self.num_classes // 16) * 16  # full registers are several times as fast
        dtype = torch.float64 if self.num_clips * self.dim <= SMALL else torch.float32
        wide, bias = torch.zeros(width, self.dim, dtype=dtype), torch.full((width,), -torch.inf, dtype=dtype)
        wide[:num], bias[:num] = weight[:, :-1], weight[:, -1]
        p = torch.empty(self.num_clips, num, dtype=torch.float64)
        gradient = torch.zeros(width, self.dim + 1, dtype=torch.float64)
        loss = 0.0
        for rows, features in self.features.chunks():
            x = features.to(dtype)
            labels, logits = self.labels[rows], torch.addmm(bias, x, wide.T).double()
            if self.several:
                z = logits[:, :num]
                loss += float((softplus(z) - labels * z).sum())
                error = logits.sigmoid_()
                p[rows] = error[:, :num]
                error[:, :num] -= labels
            else:
                error, own = logits.log_softmax(dim=1), labels[:, None]
                loss -= float(error.gather(1, own).sum())
                error.exp_()
                p[rows] = error[:, :num]
                error.scatter_add_(1, own, error.new_full(own.shape, -1))
            gradient[:, :-1] += error.T.to(dtype) @ x
            gradient[:, -1] += error.sum(dim=0)
        gradient = gradient[:num] / self.num_clips
        gradient[:, :-1] += l2 * weight[:, :-1]
        value = loss / self.num_clips + 0.5 * l2 * float(weight[:, :-1].square().sum())
        gap = float(gradient.square().sum()) / (2 * l2 * value)
        return Solution(weight, value, gradient, gap), p

    def _basis(self) -> tuple[Tensor, Tensor]:
        """Return the principal components [dim, num] of a sample of clips, and their variances, largest first."""
        if self._components is None:
            places = torch.arange(self.num_sampled) * self.num_clips // self.num_sampled
            x = self.features.rows(places)
            silent = ~x.any(dim=0)
            if wide := self.dim > len(x):
                x = x.T
            variance, basis = torch.linalg.eigh(x.T @ x)
            num = min(MAX_COMPONENTS, int((variance > 1e-6 * variance[-1]).sum()))
            variance, basis = variance.flip(0)[:num], basis.flip(1)[:, :num]
            if wide:
                basis = (x @ basis) / variance.sqrt()
            basis[silent] = 0  # exactly, so that a constant feature gets no weight
            self._components = basis.double(), variance.double() / self.num_sampled
        return self._components

    def _scale(self, p: Tensor, l2: float) -> Callable[[Tensor, bool], Tensor]:
        """Return the function that multiplies [num_classes, dim + 1] by S, or by its transpose."""
        basis, variance = self._basis()
        shares = (p * (1 - p)).mean(dim=0)[:, None]
        num = min(len(variance), max(0, self.num_coupled // self.num_classes - 1))
        factor = self._factor(p, basis[:, :num].float(), l2)
        single = (shares * variance[num:] + l2).rsqrt()
        last = variance[-1] if len(variance) else torch.zeros(())
        rest = (shares * last + l2).rsqrt()

        def scale(v: Tensor, transposed: bool) -> Tensor:
            v = v.view(self.num_classes, -1)
            inside = v[:, :-1] @ basis
            coupled = torch.cat([inside[:, :num], v[:, -1:]], dim=1).view(-1, 1)
            root, upper = (factor, False) if transposed else (factor.T, True)
            solved = solve_triangular(root, coupled, upper=upper).view(self.num_classes, -1)
            moved = torch.cat([solved[:, :-1], single * inside[:, num:]], dim=1) - rest * inside
            scaled: Tensor = torch.cat([rest * v[:, :-1] + moved @ basis.T, solved[:, -1:]], dim=1)
            return scaled

        return scale

    def _factor(self, p: Tensor, basis: Tensor, l2: float) -> Tensor:
        """Return the Cholesky factor of H in the span of some components and the bias, from the undecided clips."""
        places = (p * (1 - p)).sum(dim=1).topk(min(NUM_UNDECIDED, self.num_clips)).indices.sort().values
        p = p[places]
        z = torch.cat([self.features.rows(part) @ basis for part in places.split(ROWS)])
        z = torch.cat([z, torch.ones(len(z), 1)], dim=1)
        size = z.shape[1]
        if self.several:
            h = torch.zeros(self.num_classes * size, self.num_classes * size)
        else:
            terms = (p.float()[:, :, None] * z[:, None]).view(len(z), -1)
            h = -(terms.T @ terms)
        blocks = h.view(self.num_classes, size, self.num_classes, size)
        for c, weight in enumerate((p * (1 - p)).float().T):  # before rounding: most p are nearly 0 or 1
            blocks[c, :, c] = z.T @ (weight[:, None] * z)
            blocks[c, :, c].diagonal()[:-1].add_(l2 * self.num_clips)
        h = h.double() / self.num_clips
        h.diagonal().add_(1e-5 * float(h.diagonal().max()))  # for the rounding, and a bias that nothing holds
        lower: Tensor = torch.linalg.cholesky(h)
        return lower
