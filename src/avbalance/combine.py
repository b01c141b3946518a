"""Combine the stored predictions of runs into those of an ensemble, without training.

Members are uni-modal runs, the ensemble of Du et al., ICML 2023, or runs that differ in the seed alone. With the logits
z_m of member m, its temperature T_m, 1 unless it is fitted, and its weight w_m, 1/M unless it is fitted:

    probabilities:  p = sum_m w_m softmax(z_m / T_m)
    logits:         p = softmax(1/M sum_m z_m / T_m)
    product:        p = softmax(sum_m z_m / T_m), the product of the members' probabilities, normalised

The validation split alone decides, by the mean of -log p[y]: each T_m of its member by itself (Guo et al., ICML 2017),
then the w_m, which are positive and sum to 1.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, logsumexp

from avbalance import cli, metrics, store
from avbalance.errors import UserError
from avbalance.results.runs import Predictions, Run, Runs

SUMMED = ("num_epochs", "num_parameters", "multiply_adds_per_clip", "train_seconds")
"""Metrics of a run that become the sum over the members."""
TEMPERATURES = (0.01, 100.0)
"""Least and largest temperature; the best is 0 for a member that is always right and infinite for a useless one."""
LEAST_WEIGHT = 1e-9
"""Above 0, so that any members by themselves have a mixture too."""


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature T of the least mean of -log softmax(z / T)[y], which is convex in 1 / T.

    Args:
        logits: z of the validation clips, [n, classes].
        labels: y, [n].
    """
    z = logits.astype(np.float64)
    found = minimize_scalar(
        lambda log_t: metrics.cross_entropy(z / np.exp(log_t), labels),
        bounds=(log(TEMPERATURES[0]), log(TEMPERATURES[1])),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def fit_weights(logits: Sequence[NDArray[np.floating]], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the weights w of the least mean of -log sum_m w_m softmax(z_m)[y], [members]; it is convex in w.

    Args:
        logits: z_m of the validation clips, [n, classes] each.
        labels: y, [n].

    Raises:
        UserError: The search does not converge.
    """
    own = -np.stack([metrics.clip_losses(z, labels) for z in logits])
    p = np.exp(own - own.max(axis=0))  # a factor that all members share decides nothing

    def loss_and_gradient(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        mixture = w @ p
        return -float(np.log(mixture).mean()), -(p / mixture).mean(axis=1)

    found = minimize(  # type: ignore[call-overload]
        loss_and_gradient,
        np.full(len(p), 1 / len(p)),
        jac=True,
        method="SLSQP",
        bounds=[(LEAST_WEIGHT, 1)] * len(p),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 1000},
    )
    if not found.success:
        raise UserError(f"the weights of the members are not found: {found.message}; leave out weights: true")
    return np.asarray(found.x / found.x.sum())


def combine(logits: Sequence[NDArray[np.floating]], mean: str, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of the combined probabilities, [n, classes]; they are logits of these probabilities.

    Args:
        logits: z_m / T_m of each member, [n, classes].
        mean: `probabilities`, `logits` or `product`.
        weights: w_m, [members], which count for `probabilities` alone.
    """
    z = np.stack(logits).astype(np.float64)
    if mean == "probabilities":
        return np.asarray(logsumexp(log_softmax(z, axis=-1), axis=0, b=weights[:, None, None]))
    return np.asarray(log_softmax(z.mean(axis=0) if mean == "logits" else z.sum(axis=0), axis=-1))


class Ensemble:
    """Members with their temperatures and weights, which validation chooses.

    Attributes:
        temperatures, weights: {member: T_m}, {member: w_m}.

    Args:
        members: {modality or seed: its predictions}, all of the same clips.
        options: A `table_schema.Combining`.
    """

    def __init__(self, members: Mapping[str, Predictions], options: Mapping[str, Any]) -> None:
        self.members, self.options = members, options
        self.first = next(iter(members.values()))
        labels = self.first["val_label"]
        self.temperatures = dict.fromkeys(members, 1.0)
        if options["temperature"]:
            self.temperatures = {name: fit_temperature(each["val_logits"], labels) for name, each in members.items()}
        self.weights = dict.fromkeys(members, 1 / len(members))
        if options["weights"]:
            fitted = fit_weights(self._scaled("val", members), labels)
            self.weights = dict(zip(members, fitted.tolist(), strict=True))

    def _scaled(self, split: str, names: Iterable[str]) -> list[NDArray[np.float64]]:
        """z_m / T_m of some members."""
        return [self.members[name][f"{split}_logits"].astype(np.float64) / self.temperatures[name] for name in names]

    def logits(self, split: str, names: Iterable[str]) -> NDArray[np.float32]:
        """Return the logits of a split's clips by some members, [n, classes]."""
        weights = np.array([self.weights[name] for name in names])
        return combine(self._scaled(split, names), self.options["mean"], weights).astype(np.float32)

    def predict(self) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
        """Return predictions and metrics by the names that those of a run have (`evaluate.classify`).

        Of uni-modal members, those of some modalities alone stand for the masked logits.
        """
        predictions: dict[str, NDArray[Any]] = {}
        values: dict[str, float] = {}
        videos = self.first.get("test_video")
        for split in ("seen", "val", "test"):
            labels = self.first[f"{split}_label"]
            logits = metrics.to_float16(self.logits(split, self.members))
            predictions |= {f"{split}_{name}": self.first[f"{split}_{name}"] for name in ("clip", "label")}
            predictions[f"{split}_logits"] = logits
            if split != "seen":
                measured = metrics.split_metrics(logits, labels, videos if split == "test" else None)
                values |= {f"{split}_{name}": value for name, value in measured.items()}
        predictions |= {name: self.first[name] for name in ("train_clip", "train_label")}
        for size in range(1, len(self.members)) if self.options["members"] == "alone" else ():
            for names in combinations(self.members, size):
                some = self.logits("test", names) if size > 1 else self.members[names[0]]["test_logits"]
                predictions[f"test_masked_{'+'.join(names)}"] = metrics.ranks_or_logits(some, self.first["test_label"])
        if videos is not None:
            predictions["test_video"] = videos
        return predictions, values


def open_members(runs: Runs, folders: Mapping[str, str]) -> dict[str, Run]:
    """Return {modality or seed: run} of folders by the same names.

    Raises:
        UserError: A run is damaged, or its clips are not those of the first.
    """
    members = {name: runs[folder] for name, folder in folders.items()}
    first = next(iter(members.values()))
    for run in members.values():
        for split in ("train", "val", "test"):
            if not np.array_equal(run.predictions[f"{split}_label"], first.predictions[f"{split}_label"]):
                raise UserError(
                    f"{run.folder}: its {split} clips are not those of {first.folder}; remove both and make them again "
                    "with 'snakemake --cores'"
                )
    return members


def num_passes(run: Run) -> float:
    """Return how often training passed the training clips through an encoder, summed over the run's encoders."""
    return float(run.history.get("passes", np.zeros(0)).sum()) * len(run.settings["encoder"])  # no epoch: no pass


def run(recipe: dict[str, Any], out: Path) -> None:
    """Publish an ensemble in the form of a run without epochs; parameters are those of `cli.OPTIONS`."""
    members, settings = open_members(Runs(recipe["inputs"].values()), recipe["inputs"]), recipe["settings"]
    with store.publish(out, recipe) as folder:
        ensemble = Ensemble({name: each.predictions for name, each in members.items()}, settings["combine"])
        predictions, values = ensemble.predict()
        facts = {
            "members": {str(each.folder): each.manifest["provenance"]["seconds"] for each in members.values()},
            **{f"temperature_{name}": value for name, value in ensemble.temperatures.items()},
            **{f"weight_{name}": value for name, value in ensemble.weights.items()},
            **{name: sum(each.metrics[name] for each in members.values()) for name in SUMMED},
            "passes": sum(map(num_passes, members.values())) / len(settings["encoder"]),
        }
        np.savez(folder / "predictions.npz", **predictions)  # type: ignore[arg-type]
        (folder / "history.csv").write_text("epoch\n", encoding="utf-8")
        content = json.dumps({**facts, **values}, indent=1, allow_nan=False)
        (folder / "metrics.json").write_text(content + "\n", encoding="utf-8")


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
