"""Linear probes on a trained model's frozen encoders: how much of the label each modality's features hold.

A probe is multinomial logistic regression with an L2 penalty on features of the encoder in evaluation mode
(Alain and Bengio, 2016). Its objective

    J(W, b) = mean_i CE(W x_i + b, y_i) + l2 / 2 |W|^2

is convex and is minimised to its optimum on standardised features; l2 is chosen by the loss on the validation split.
Where a clip has several classes, every class has a logistic regression of its own, against the rest: CE is the sum of
their binary cross-entropies. There are no probes for verification, whose test clips are of no class.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from avbalance import cli, metrics, store
from avbalance.data.packed import Batches, Split, describe
from avbalance.device import claim
from avbalance.model import Model, build
from avbalance.types import mean_over_positions

L2_GRID = (1e-1, 1e-2, 1e-3, 1e-4)
GRADIENT_TOLERANCE = 1e-7
Floats = NDArray[np.float64]


@dataclass
class Probe:
    """A solved probe.

    Attributes:
        weight, bias: [num_classes, dim] and [num_classes], of standardised features.
        mean, deviation: [dim], of the training features.
        gradient_norm: Largest absolute entry of the gradient of J at the solution.
    """

    weight: Floats
    bias: Floats
    mean: Floats
    deviation: Floats
    l2: float
    gradient_norm: float

    def logits(self, features: NDArray[Any]) -> Floats:
        """[n, dim] -> [n, num_classes]."""
        return (features - self.mean) / self.deviation @ self.weight.T + self.bias


def solve(features: Floats, labels: NDArray[Any], num_classes: int, l2: float, start: Floats) -> tuple[Floats, float]:
    """Minimise J by Newton's method with conjugate gradients; features are standardised.

    Args:
        features: [n, dim].
        labels: [n]; or [n, num_classes], zeros and ones.
        num_classes: Number of logits.
        l2: Strength of the penalty.
        start: [num_classes * (dim + 1)], where to begin; the last column holds the bias.

    Returns:
        The solution in the same layout, and the largest absolute entry of its gradient.
    """
    num_clips = len(labels)
    inputs = np.hstack([features, np.ones((num_clips, 1))])
    several = labels.ndim == 2
    targets = labels.astype(np.float64) if several else np.eye(num_classes)[labels]
    penalty = np.full((num_classes, inputs.shape[1]), l2)
    penalty[:, -1] = 0

    def predict(flat: Floats) -> tuple[Floats, float]:
        """Probabilities and the sum of the cross-entropies."""
        logits = inputs @ flat.reshape(penalty.shape).T
        if several:
            return expit(logits), -(log_expit(logits) - (1 - targets) * logits).sum()
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        return np.exp(log_p), -(targets * log_p).sum()

    def objective(flat: Floats) -> tuple[float, Floats]:
        weight = flat.reshape(penalty.shape)
        p, loss = predict(flat)
        value = loss / num_clips + 0.5 * (penalty * weight**2).sum()
        return value, ((p - targets).T @ inputs / num_clips + penalty * weight).ravel()

    def hessian_product(flat: Floats, direction: Floats) -> Floats:
        p, _ = predict(flat)
        along = direction.reshape(penalty.shape)
        moved = p * (inputs @ along.T)
        moved -= p * (moved if several else moved.sum(axis=1, keepdims=True))
        return (moved.T @ inputs / num_clips + penalty * along).ravel()

    near = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-5}).x
    solution = minimize(
        objective, near, jac=True, hessp=hessian_product, method="trust-ncg", options={"gtol": GRADIENT_TOLERANCE}
    ).x
    return solution, float(np.abs(objective(solution)[1]).max())


def fit(train: tuple[NDArray[Any], NDArray[Any]], val: tuple[NDArray[Any], NDArray[Any]], num_classes: int) -> Probe:
    """The probe whose l2 gives the lowest validation loss.

    Args:
        train, val: (features [n, dim], labels [n] or [n, num_classes]).
        num_classes: Number of logits.
    """
    features, labels = train[0].astype(np.float64), train[1]
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1.0  # a constant feature says nothing and gets no weight
    standardised = (features - mean) / deviation
    flat = np.zeros(num_classes * (features.shape[1] + 1))
    candidates: list[tuple[float, Probe]] = []
    for l2 in L2_GRID:
        flat, gradient_norm = solve(standardised, labels, num_classes, l2, flat)
        solution = flat.reshape(num_classes, -1)
        probe = Probe(solution[:, :-1], solution[:, -1], mean, deviation, l2, gradient_norm)
        candidates.append((metrics.cross_entropy(probe.logits(val[0]), val[1]), probe))
    return min(candidates, key=lambda candidate: candidate[0])[1]


@torch.no_grad()
def encode(model: Model, split: Split, batch_size: int) -> dict[str, NDArray[np.float32]]:
    """{modality: features [n, feature_dim]} of a split, in evaluation mode; means of feature maps."""
    model.eval()
    parts = [mean_over_positions(model.encode(batch.inputs)) for batch in Batches(split, batch_size)]
    return {name: np.concatenate([part[name].float().cpu().numpy() for part in parts]) for name in parts[0]}


def main() -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True, help="the probe's recipe (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the probe")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--resume", type=Path, default=Path("results/resume"), help="where the GPUs' lock files lie")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = store.load_recipe(arguments.recipe)
    weights, data = Path(recipe["inputs"]["weights"]), Path(recipe["inputs"]["data"])
    settings = store.open_artifact(weights)["recipe"]["settings"]
    store.open_artifact(data)
    description = describe(data)
    with claim(arguments.device, arguments.resume) as device, store.publish(arguments.out, recipe) as out:
        model = build(settings, description)
        model.load_state_dict(load_file(weights / "model.safetensors"))
        model.to(device)
        splits = {name: Split(data, name, list(settings["encoder"]), device) for name in ("train", "val", "test")}
        features = {name: encode(model, split, settings["training"]["batch_size"]) for name, split in splits.items()}
        figures: dict[str, dict[str, float]] = {}
        test = splits["test"]
        predictions: dict[str, NDArray[Any]] = {"test_label": test.labels}
        if test.videos is not None:
            predictions["test_video"] = test.videos
        for modality in settings["encoder"]:
            labelled = {name: (features[name][modality], splits[name].labels) for name in splits}
            probe = fit(labelled["train"], labelled["val"], description["num_classes"])
            logits = probe.logits(labelled["test"][0]).astype(np.float16)
            predictions[f"test_probe_{modality}"] = logits
            figures[modality] = {
                **metrics.summarise(logits, test.labels, test.videos),
                "l2": probe.l2,
                "gradient_norm": probe.gradient_norm,
            }
        np.savez_compressed(out / "predictions.npz", **predictions)  # type: ignore[arg-type]
        (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    cli.run(main)
