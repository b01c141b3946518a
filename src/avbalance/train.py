"""Train one run: a row of a table with one seed.

The step reads a prepared dataset. It writes the run (metrics, history, predictions for each clip) and, in a folder of
their own, the weights. The loss on the validation split chooses the epoch, or the last epoch is kept. The test split
decides nothing.
"""

import csv
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch.utils.flop_counter import FlopCounterMode

from avbalance import cli, registry, store, tune
from avbalance.balancers.base import Balancer
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import PREPARATION, describe_preparation, folders_of, read_description
from avbalance.data.trials import read_trials
from avbalance.device import take_device
from avbalance.encoders.base import Encoder
from avbalance.errors import NotFiniteError
from avbalance.evaluate import classify, mean_loss, peek_at_test, score_trials, validation_metrics
from avbalance.model import Model, build_model, lay_out, start_stream
from avbalance.progress import Progress
from avbalance.training.epoch import check_finite, not_finite, train_epoch
from avbalance.training.memory import keep_memory
from avbalance.training.pretrained import load_pretrained, load_trained
from avbalance.training.snapshots import snapshot_file
from avbalance.training.state import State


def train(state: State, splits: Mapping[str, Split], trials: Mapping[str, NDArray[np.int64]], seed: int) -> None:
    """Train until the validation loss has not fallen for `patience` epochs; leave the last epoch's weights.

    An epoch's record holds, in this order, the values of `train_epoch`, those of `validation_metrics`, the balancer's
    curves and, if `training.monitor` is set, those of `peek_at_test`.

    Raises:
        UserError: A loss or a weight is not finite, or training stopped before a snapshot.
    """
    training, balancer = state.training, state.balancer
    batch_size, precision = training["batch_size"], getattr(torch, training["precision"])
    progress = Progress(state.folder, training["epochs"], "epoch", state.epoch)
    while not state.is_finished:
        record = train_epoch(state, splits, seed)
        record |= validation_metrics(balancer.model, splits["val"], batch_size, precision)
        check_finite(balancer, record["val_loss"], state.epoch)
        record |= balancer.curves()
        if training["monitor"]:
            record |= peek_at_test(balancer.model, splits, trials, batch_size, precision)
        state.advance(record)
        progress.advance(train_loss=record["train_loss"], val_loss=record["val_loss"])
    state.snapshots.close()
    progress.close()


def build_balancer(settings: Mapping[str, Any], description: Mapping[str, Any], device: torch.device) -> Balancer:
    """Build the model, loss and balancer of a run; fresh weights are a function of the seed and the part."""
    seed = settings["seed"]
    model = build_model(settings, description, seed)
    dims = {modality: int(model.encoders[modality].feature_dim) for modality in settings["encoder"]}  # type: ignore[arg-type]
    start_stream(seed, "loss")
    loss = registry.load("loss", settings["loss"], dims, description["num_classes"])
    start_stream(seed, "balancer")
    balancer: Balancer = registry.load("balancer", settings["balancer"], model, loss)
    lay_out(balancer)
    return balancer.to(device)


def hand_over(
    balancer: Balancer, inputs: Mapping[str, str], description: Mapping[str, Any], device: torch.device
) -> None:
    """Hand over what other runs have made: weights to start from, teachers and blend weights."""
    load_pretrained(balancer.model, inputs)
    prefix = "teacher_"
    folders = {role.removeprefix(prefix): Path(path) for role, path in inputs.items() if role.startswith(prefix)}
    if folders:
        teachers = {name: load_trained(each, description, device) for name, each in folders.items()}
        if balancer.model.fusion.reads_maps:
            for name, teacher in teachers.items():
                cast(Encoder, teacher.encoders[name]).cut()  # whose maps are compared with the student's
        balancer.receive_teachers(teachers)
    if "blend" in inputs:
        blend = Path(inputs["blend"])
        store.open_artifact(blend)
        balancer.receive(json.loads((blend / "blend.json").read_text(encoding="utf-8")))


def multiply_adds_per_clip(model: Model, split: Split) -> int:
    """Count the multiply-adds of one clip's forward pass; papers call 10^9 of them a GFLOP."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(split.batch(np.arange(1)).inputs)
    return int(counter.get_total_flops()) // 2  # the counter takes a multiply-add for two operations


@dataclass
class TrainedRun:
    """A run at its chosen epoch.

    Attributes:
        model: Model with the chosen epoch's weights.
        history: One record for each epoch, as of `train`.
        weight_norms: Length of each class's weight, {"weight_norm_<stream>": [epochs, num_classes]}.
        predictions: Arrays of `evaluate.classify` or `evaluate.score_trials`.
        metrics: Values by name; "last_train_loss" and "last_val_loss" are means over all clips in evaluation mode after
            the last epoch, all others are of the chosen epoch.
    """

    model: Model
    history: list[dict[str, float]]
    weight_norms: dict[str, NDArray[np.float32]]
    predictions: dict[str, NDArray[Any]]
    metrics: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write everything but the weights."""
        with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.history[0].keys() if self.history else ["epoch"])
            writer.writeheader()
            writer.writerows(self.history)
        np.savez(folder / "predictions.npz", **self.predictions)  # type: ignore[arg-type]
        if self.weight_norms:
            np.savez(folder / "weight_norms.npz", **self.weight_norms)  # type: ignore[arg-type]
        content = json.dumps(self.metrics, indent=1, allow_nan=False)
        (folder / "metrics.json").write_text(content + "\n", encoding="utf-8")


def train_recipe(
    recipe: Mapping[str, Any], device: torch.device, folder: Path, checkpoint_seconds: float
) -> TrainedRun:
    """Train the run of a recipe and evaluate its chosen epoch.

    Args:
        recipe: Recipe of the run.
        device: Device of the model.
        folder: Folder of the unfinished run; a run that was killed resumes from it.
        checkpoint_seconds: Least time between two checkpoints.

    Raises:
        NotFiniteError: A loss, a weight or a prediction is not finite.
    """
    settings, folders = recipe["settings"], folders_of(recipe["inputs"])
    training = settings["training"]
    store.open_artifacts(folders.values())
    description = read_description(folders)
    splits = {name: Split(folders, name, device) for name in ("train", "val", "test")}
    trials = read_trials(folders, splits["test"]) if description.get("task") == "verification" else {}
    balancer = build_balancer(settings, description, device)
    balancer.expect(len(splits["train"]))
    hand_over(balancer, recipe["inputs"], description, device)
    steps_per_epoch = len(Batches(splits["train"], training["batch_size"]))
    state = State(balancer, training, folder, steps_per_epoch, checkpoint_seconds)
    train(state, splits, trials, settings["seed"])
    return evaluate_run(state, splits, trials)


def evaluate_run(state: State, splits: Mapping[str, Split], trials: Mapping[str, NDArray[np.int64]]) -> TrainedRun:
    """Evaluate a run after its last epoch, and load and evaluate its chosen epoch.

    Raises:
        NotFiniteError: A loss or a prediction is not finite.
    """
    model = state.balancer.model
    batch_size, precision = state.training["batch_size"], getattr(torch, state.training["precision"])
    last: dict[str, float] = {}
    if trials or state.chosen_epoch < state.epoch - 1:  # otherwise the metrics below are of the last epoch
        for name in ("train", "val"):
            last[f"last_{name}_loss"] = mean_loss(model, Batches(splits[name], batch_size), precision)
    state.balancer.load_state_dict(state.best)
    if trials:
        predictions, metrics = score_trials(model, splits, trials, batch_size, precision)
    else:
        predictions, metrics = classify(model, splits, batch_size, precision)
    last = last or {f"last_{name}_loss": metrics[f"{name}_loss"] for name in ("train", "val")}
    losses = {name: np.array(value) for name, value in {**metrics, **last}.items() if name.endswith("_loss")}
    for name, values in {**losses, **predictions}.items():
        if not np.isfinite(values).all():
            raise not_finite(f"{name} is not finite", state.epoch - 1 if name in last else state.chosen_epoch)
    seconds = sum(record["seconds"] for record in state.history)
    facts = {
        "best_epoch": state.chosen_epoch + 1,
        "num_epochs": state.epoch,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds_per_clip": multiply_adds_per_clip(model, splits["val"]),
        "train_seconds": round(seconds, 3),
        "train_clips_per_second": round(state.epoch * len(splits["train"]) / seconds, 1) if state.history else 0.0,
    }
    norms = {f"weight_norm_{stream}": values.numpy() for stream, values in state.weight_norms().items()}
    return TrainedRun(model, state.history, norms, predictions, store.finite({**facts, **metrics, **last}))


def run(
    recipe: dict[str, Any],
    out: Path,
    weights: Path,
    device: str = "auto",
    threads: int = 1,
    resume: Path = store.RESUME,
    checkpoint_seconds: float = 20,
) -> None:
    """Train a recipe, and publish the run and its weights; parameters are those of `cli.OPTIONS`.

    The settings in both manifests are those of the training: of a tuned row, with the options that were chosen. A trial
    that is not finite is published with the reason and without weights, so that the others can be compared.
    """
    recipe = tune.with_chosen_options(recipe)
    torch.set_num_threads(threads)
    keep_memory()
    folder = resume / recipe["name"]
    with take_device(device, resume) as place, store.publish(out, recipe) as out_folder:
        try:
            trained = train_recipe(recipe, place, folder, checkpoint_seconds)
        except NotFiniteError as error:
            if not recipe["settings"].get("is_trial"):
                raise
            print(f"the trial has failed: {error}", file=sys.stderr)
            with store.publish(weights, recipe):
                content = json.dumps({"failed": str(error)}, allow_nan=False)
                (out_folder / "metrics.json").write_text(content + "\n", encoding="utf-8")
        else:
            with store.publish(weights, recipe) as weights_folder:
                state = {name: value.contiguous().cpu() for name, value in trained.model.state_dict().items()}
                (weights_folder / "model.safetensors").write_bytes(save(state))
                preparation = describe_preparation(folders_of(recipe["inputs"]))
                (weights_folder / PREPARATION).write_text(preparation, encoding="utf-8")
                for step in recipe["settings"]["training"]["snapshots"]:
                    shutil.copy(folder / snapshot_file(step), weights_folder)
            trained.write(out_folder)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
