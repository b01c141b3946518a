"""Estimate the blend weights of Gradient-Blending from a row's uni-modal runs and its joint run.

Algorithm 1 (GB_Estimate) of Wang et al., CVPR 2020, in its offline variant: from the untrained start (epoch 0) to the
last epoch (N). N is the same for all heads, because these runs do not stop early. Losses are means over all clips of
train and of val in evaluation mode.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from avbalance import cli, store
from avbalance.balancers.blending import Losses, blend_weights, ogr
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import Folders, folders_of, read_description
from avbalance.device import take_device
from avbalance.errors import UserError
from avbalance.evaluate import mean_loss
from avbalance.train import build_balancer
from avbalance.training.pretrained import load_pretrained


def losses_of(run: Path, data: Folders, inputs: Mapping[str, str], device: torch.device) -> Losses:
    """Return the losses of a run at its start, which is built again, and after its last epoch, which it has recorded.

    Args:
        run: Folder of the run.
        data: The prepared modalities.
        inputs: Inputs of the run that start with `pretrained_`.
        device: Device of the model.

    Raises:
        UserError: A loss at the start is not finite.
    """
    settings = store.open_artifact(run)["recipe"]["settings"]
    model = build_balancer(settings, read_description(data), device).model
    load_pretrained(model, inputs)
    batch_size, precision = settings["training"]["batch_size"], getattr(torch, settings["training"]["precision"])
    end = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    losses = {}
    for name in ("train", "val"):
        split = Split({modality: data[modality] for modality in settings["encoder"]}, name, device)
        start = mean_loss(model, Batches(split, batch_size), precision)
        if not isfinite(start):
            raise UserError(
                f"{run}: the loss of the untrained model on {name} is {start}; check the data and the weights that it "
                "starts from"
            )
        losses[name] = (start, end[f"last_{name}_loss"])
    return Losses(**losses)


def run(recipe: dict[str, Any], out: Path, device: str = "auto", threads: int = 1, resume: Path = store.RESUME) -> None:
    """Publish `blend.json` with the blend weights; parameters are those of `cli.OPTIONS`."""
    torch.set_num_threads(threads)
    inputs, data = recipe["inputs"], folders_of(recipe["inputs"])
    store.open_artifacts(data.values())
    heads = [role.removeprefix("run_") for role in inputs if role.startswith("run_") and "_pretrained_" not in role]
    with take_device(device, resume) as place, store.publish(out, recipe) as folder:
        losses = {}
        for head in heads:
            prefix = f"run_{head}_"
            own = {role.removeprefix(prefix): path for role, path in inputs.items() if role.startswith(prefix)}
            losses[head] = losses_of(Path(inputs[f"run_{head}"]), data, own, place)
        weights, fallback = blend_weights(losses)
        blend = {
            "weights": weights,
            "ogr": {head: ogr(each) for head, each in losses.items()},
            "losses": {head: asdict(each) for head, each in losses.items()},
            "fallback": fallback,
        }
        (folder / "blend.json").write_text(json.dumps(blend, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
