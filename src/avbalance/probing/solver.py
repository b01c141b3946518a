"""The convex problem of a probe, solved to its optimum.

    J(W, b) = mean_i CE(W x_i + b, y_i) + l2 / 2 |W|^2

by Newton's method: each step is the solution of H s = -g by conjugate gradients. The gradient g is computed in float64,
so that the optimum is exact. Products with the Hessian H are computed in float32, which suffices for a direction of
descent.

    H = sum_i A_i (x) x_i x_i^T / n + l2,    A_i = diag(p_i) - p_i p_i^T = sum_c a_ic a_ic^T,
    a_ic = sqrt(p_ic) (e_c - p_i)

If clips have several classes, each class is a problem of its own, and a_ic = sqrt(p_ic (1 - p_ic)) e_c. Near the
optimum few clips are undecided, so a few of the terms (a_ic (x) x_i) make up most of H. With the largest of them as
rows of B,

    P = B^T B + l2,    P^-1 r = (r - B^T (B B^T + l2)^-1 B r) / l2,    B B^T = (X X^T) * (A A^T) elementwise,

is a preconditioner that includes the coupling of the classes; one for each class, or one shared by all, does not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from avbalance.probing.features import CHUNK_BYTES, Features

MIN_TERMS, MAX_TERMS = 32, 2048
"""Number of terms of the Hessian in the preconditioner; the time of its inversion grows with the third power."""
MAX_STEPS, MAX_PRODUCTS = 200, 1000
"""Number of Newton steps, and of products with H in each."""
RARE = 1e-8
"""Starting probability of a class without training clips, whose bias has no finite optimum."""


@dataclass
class Solution:
    """End of the search.

    Attributes:
        weight: [num_classes, dim + 1], float64; the last column holds the bias.
        loss: J.
        gradient: [num_classes, dim + 1], of J.
        num_products: Number of products with the Hessian.
    """

    weight: Tensor
    loss: float
    gradient: Tensor
    num_products: int = 0

    @property
    def gradient_norm(self) -> float:
        """Largest absolute entry of the gradient."""
        return float(self.gradient.abs().max())


def least_bytes(num_clips: int, dim: int, num_classes: int) -> int:
    """Return the least memory for solving a problem, without features that are held in memory."""
    vectors = 72 * num_classes * (dim + 1)  # seven like the gradient in float64, four in float32
    probabilities = 20 * num_clips * num_classes
    return vectors + probabilities + 12 * max(CHUNK_BYTES // 4, dim) + _bytes_of_terms(MIN_TERMS, dim)


def _bytes_of_terms(num: int, dim: int) -> int:
    return 8 * num * (dim + 1) + 12 * num**2


def _num_terms(num_clips: int, dim: int, num_classes: int, spare: int) -> int:
    """Choose as many terms as can be inverted in a short time compared with a pass over the clips."""
    wanted = min(MAX_TERMS, max(256, num_clips // 16), num_clips * num_classes)
    while wanted > MIN_TERMS and _bytes_of_terms(wanted, dim) - _bytes_of_terms(MIN_TERMS, dim) > spare:
        wanted //= 2
    return wanted


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
        self.labels = torch.tensor(labels, dtype=torch.long)
        self.num_clips, self.dim = features.shape
        spare = max_bytes - least_bytes(self.num_clips, self.dim, num_classes)
        self.num_terms = _num_terms(self.num_clips, self.dim, num_classes, max(0, spare))

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
        """Minimise J until no entry of its gradient is above the tolerance, or J falls no further."""
        here, p = self._look(start, l2)
        num_products = 0
        for _ in range(MAX_STEPS):
            if here.gradient_norm <= tolerance:
                break
            step, count = self._newton_step(here.gradient, p, l2)
            num_products += count
            slope = float((here.gradient * step).sum())
            size = 1.0
            there, p_there = self._look(here.weight + step, l2)
            while there.loss > here.loss + 1e-4 * size * slope and size > 1e-6:
                size /= 2
                there, p_there = self._look(here.weight + size * step, l2)
            if there.loss > here.loss and there.gradient_norm >= here.gradient_norm:
                break  # the rest is rounding
            here, p = there, p_there
        here.num_products = num_products
        return here

    def _look(self, weight: Tensor, l2: float) -> tuple[Solution, Tensor]:
        """Compute J and its gradient in float64, and the probabilities of the clips, [n, num_classes], float32."""
        p = torch.empty(self.num_clips, self.num_classes)
        gradient = torch.zeros_like(weight)
        loss = 0.0
        for rows, features in self.features.chunks():
            x, labels = features.double(), self.labels[rows]
            logits = torch.addmm(weight[:, -1], x, weight[:, :-1].T)
            if self.several:
                targets, chances = labels.double(), logits.sigmoid()
                loss += float(binary_cross_entropy_with_logits(logits, targets, reduction="sum"))
            else:
                targets, chances = one_hot(labels, self.num_classes).double(), logits.softmax(dim=1)
                loss += float(cross_entropy(logits, labels, reduction="sum"))
            p[rows] = chances.float()
            error = (chances - targets).T
            gradient[:, :-1].addmm_(error, x)
            gradient[:, -1] += error.sum(dim=1)
        gradient /= self.num_clips
        gradient[:, :-1] += l2 * weight[:, :-1]
        value = loss / self.num_clips + 0.5 * l2 * float(weight[:, :-1].square().sum())
        return Solution(weight, value, gradient), p

    def _product(self, p: Tensor, direction: Tensor, l2: float) -> Tensor:
        """Multiply H by a direction [num_classes, dim + 1], float32."""
        product = l2 * direction
        product[:, -1] = 0
        for rows, x in self.features.chunks():
            moved = p[rows] * torch.addmm(direction[:, -1], x, direction[:, :-1].T)
            moved -= p[rows] * (moved if self.several else moved.sum(dim=1, keepdim=True))
            moved /= self.num_clips
            product[:, :-1].addmm_(moved.T, x)
            product[:, -1] += moved.sum(dim=0)
        return product

    def _newton_step(self, gradient: Tensor, p: Tensor, l2: float) -> tuple[Tensor, int]:
        """Approximate -H^-1 g, more closely the smaller g is, and count the products that it took."""
        precondition = self._preconditioner(p, l2)
        residual = -gradient.float()
        enough = float(residual.norm()) * min(0.3, max(0.01, float(gradient.abs().max()) ** 0.5))
        step = torch.zeros_like(residual)
        preconditioned = precondition(residual)
        direction, inner = preconditioned, float((residual * preconditioned).sum())
        count = 0
        while count < MAX_PRODUCTS and float(residual.norm()) > enough:
            product = self._product(p, direction, l2)
            count += 1
            size = inner / float((direction * product).sum())
            step += size * direction
            residual = residual - size * product
            preconditioned = precondition(residual)
            before, inner = inner, float((residual * preconditioned).sum())
            direction = preconditioned + inner / before * direction
        return step.double(), count

    def _preconditioner(self, p: Tensor, l2: float) -> Callable[[Tensor], Tensor]:
        """Return the function r -> P^-1 r."""
        if self.several:
            sizes = p * (1 - p)
        else:
            squares = p.square()
            sizes = p * ((1 - p).square() + squares.sum(dim=1, keepdim=True) - squares)
        chosen = sizes.flatten().topk(self.num_terms).indices
        clips, classes = chosen // self.num_classes, chosen % self.num_classes
        terms = torch.arange(len(chosen))
        x = torch.cat([self.features.rows(clips), torch.ones(len(chosen), 1)], dim=1)
        if self.several:
            a = torch.zeros(len(chosen), self.num_classes)
            a[terms, classes] = sizes[clips, classes].sqrt()
        else:
            a = -p[clips]
            a[terms, classes] += 1
            a *= p[clips, classes].sqrt()[:, None]
        a /= self.num_clips**0.5
        gram = (x @ x.T).mul_(a @ a.T)
        gram.diagonal().add_(l2)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))

        def apply(r: Tensor) -> Tensor:
            inside = inverse @ ((x @ r.T) * a).sum(dim=1)
            return (r - (inside[:, None] * a).T @ x) / l2

        return apply
