"""Choose the learning rate of a row by its validation loss.

Trains the row with one seed at each of a few learning rates, all else as planned, and prints the validation loss of
the epoch with the lowest one; the rate with the lowest one of all is chosen. Only train and val are opened. Encoders
start untrained, also where the row's are pre-trained. Run it from the root of a checkout; data that are not there are
made first.
"""

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measure import print_conditions, print_table

from avbalance import cli, plan, store
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import Folders, folders_of, read_description
from avbalance.errors import UserError
from avbalance.planning.artifacts import Plan
from avbalance.train import build_balancer, train
from avbalance.training.state import State

CPU = torch.device("cpu")


def provide(made: Plan, path: str) -> None:
    """Make an artifact of raw or prepared data, and what it needs, where it is not there."""
    if (Path(path) / store.MANIFEST).exists():
        return
    artifact = made.artifacts[path]
    for source in artifact.inputs.values():
        provide(made, source)
    recipe = f"results/recipes/{artifact.name}.json"
    command = [sys.executable, "-m", f"avbalance.prepare.{artifact.step}", "--recipe", recipe, "--out", path]
    subprocess.run(command, check=True)


def kept_epoch(settings: dict[str, Any], data: Folders, rate: float) -> dict[str, float]:
    """The record of the epoch that a training at a learning rate keeps; all NaN where it diverges."""
    splits = {name: Split(data, name, CPU) for name in ("train", "val")}
    training = {**settings["training"], "learning_rate": rate, "monitor": False}  # a monitor would look at test
    with tempfile.TemporaryDirectory() as resume:
        try:
            balancer = build_balancer(settings, read_description(data), CPU)
            num_steps = len(Batches(splits["train"], training["batch_size"]))
            state = State(balancer, training, Path(resume), num_steps, math.inf)
            train(state, splits, {}, settings["seed"])
        except UserError as error:
            print(f"{rate}: {error}\n")
            return dict.fromkeys(("epoch", "val_loss", "val_accuracy"), math.nan)
    return min(state.history, key=lambda record: record["val_loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("row")
    parser.add_argument("--scale", default="laptop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.003, 0.01, 0.03, 0.1])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = plan.make(Path(), {"scale": arguments.scale, "tables": [arguments.table], "seeds": [arguments.seed]})
    (table,) = (each for each in made.artifacts.values() if each.settings.get("table") == arguments.table)
    run = made.artifacts[table.settings["rows"][arguments.row][0]["run"]]
    own = run.settings["trials"][0] if "trials" in run.settings else {}  # of a tuned row, the row as it is
    settings, folders = {**run.settings, **own}, folders_of(run.inputs)
    made.write_recipes()
    for role, path in run.inputs.items():
        if role.startswith("data_"):
            provide(made, path)
    print_conditions(**vars(arguments), **settings["training"])
    losses, lines = {}, []
    for rate in arguments.rates:
        start = time.perf_counter()
        kept = kept_epoch(settings, folders, rate)
        losses[rate] = kept["val_loss"]
        seconds = time.perf_counter() - start
        lines.append([f"{rate:g}", f"{kept['epoch']:g}", f"{kept['val_loss']:.3f}"])
        lines[-1] += [f"{100 * kept['val_accuracy']:.1f}", f"{seconds:.0f}"]
        print(" ".join(lines[-1]), file=sys.stderr, flush=True)
    print_table(["learning rate", "epoch", "validation loss", "validation accuracy, %", "seconds"], lines)
    finite = [rate for rate in arguments.rates if math.isfinite(losses[rate])]
    print(f"chosen: {min(finite, key=losses.__getitem__):g}" if finite else "no rate trains this row")


if __name__ == "__main__":
    cli.run(main)
