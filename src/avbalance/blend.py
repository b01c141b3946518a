"""Step: a row's uni-modal and joint runs -> the blend weights of Gradient-Blending.

Algorithm 1 (GB_Estimate) of Wang et al., CVPR 2020, for its offline variant: from the untrained start, epoch 0, to the
last epoch, N, which is one for all heads, for the runs do not stop early. Losses are means over all clips of train and
of val, in evaluation mode.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path

import torch

from avbalance import cli, store
from avbalance.balancers.blending import Losses, blend_weights, ogr
from avbalance.data.packed import Batches, Split, describe
from avbalance.device import claim
from avbalance.errors import UserError
from avbalance.evaluate import mean_loss
from avbalance.train import build_balancer
from avbalance.training import pretrained


def losses_of(run: Path, data: Path, inputs: Mapping[str, str], device: torch.device) -> Losses:
    """A run's losses at its start, which is built anew, and after its last epoch, which it has measured.

    Raises:
        UserError: A loss at the start is not finite.
    """
    settings = store.open_artifact(run)["recipe"]["settings"]
    model = build_balancer(settings, describe(data), device).model
    pretrained.load(model, inputs)
    batch_size, precision = settings["training"]["batch_size"], getattr(torch, settings["training"]["precision"])
    end = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    losses = {}
    for name in ("train", "val"):
        split = Split(data, name, list(settings["encoder"]), device)
        start = mean_loss(model, Batches(split, batch_size), precision)
        if not isfinite(start):
            raise UserError(f"{run}: the untrained model's loss on {name} is {start}; check the data and its start")
        losses[name] = (start, end[f"last_{name}_loss"])
    return Losses(**losses)


def main() -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True, help="the weights' recipe (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the blend weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--resume", type=Path, default=Path("results/resume"), help="where the GPUs' lock files lie")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = store.load_recipe(arguments.recipe)
    inputs, data = recipe["inputs"], Path(recipe["inputs"]["data"])
    store.open_artifact(data)
    heads = [role.removeprefix("run_") for role in inputs if role.startswith("run_") and "_pretrained_" not in role]
    with claim(arguments.device, arguments.resume) as device, store.publish(arguments.out, recipe) as out:
        losses = {}
        for head in heads:
            prefix = f"run_{head}_"
            own = {role.removeprefix(prefix): path for role, path in inputs.items() if role.startswith(prefix)}
            losses[head] = losses_of(Path(inputs[f"run_{head}"]), data, own, device)
        weights, fallback = blend_weights(losses)
        found = {
            "weights": weights,
            "ogr": {head: ogr(each) for head, each in losses.items()},
            "losses": {head: asdict(each) for head, each in losses.items()},
            "fallback": fallback,
        }
        (out / "blend.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
