"""Linear probes on a trained model's frozen encoders: how much of the label a layer's features hold.

A probe is multinomial logistic regression with an L2 penalty on features of the encoder in evaluation mode
(Alain and Bengio, 2016). Its objective

    J(W, b) = mean_i CE(W x_i + b, y_i) + l2 / 2 |W|^2

is convex and is minimised to its optimum on standardised features; l2 is chosen by the loss on the validation split,
from the strongest on until that loss rises. Where a clip has several classes, every class has a logistic regression of
its own, against the rest: CE is the sum of their binary cross-entropies. There are no probes for verification, whose
test clips are of no class.

Without settings each modality's encoder has one probe, on the mean of its output over positions. With settings the
chosen layers of one encoder have one each, at every chosen moment of training.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from avbalance import cli, metrics, store
from avbalance.data.packed import Split, describe
from avbalance.device import claim
from avbalance.errors import UserError
from avbalance.model import Model, build
from avbalance.probing.extraction import MIB, Extraction, first_clips
from avbalance.probing.fitting import Probe, check_memory, fit, summarise
from avbalance.probing.names import OUTPUT, entry_of
from avbalance.progress import Progress
from avbalance.registry import Spec
from avbalance.training.snapshots import file_of

TRAINED = "trained"
Splits = dict[str, Split]


class Step:
    """What the probes of one run share.

    Args:
        recipe: Of the probes.
        device: Of the encoders; probes are solved on the CPU.
        scratch: A folder for features, made and removed here.
        max_bytes: Of memory for each probe.
    """

    def __init__(self, recipe: dict[str, Any], device: torch.device, scratch: Path, max_bytes: int) -> None:
        self.weights, self.data = Path(recipe["inputs"]["weights"]), Path(recipe["inputs"]["data"])
        self.settings, self.device = recipe["settings"], device
        self.scratch, self.max_bytes = scratch, max_bytes
        self.trained = store.open_artifact(self.weights)["recipe"]["settings"]
        store.open_artifact(self.data)
        self.description = describe(self.data)
        self.trained_on = describe(Path(recipe["inputs"].get("trained_on", self.data)))
        self.predictions: dict[str, NDArray[Any]] = {}
        self.figures: dict[str, Any] = {}

    def run(self) -> None:
        """Fill `predictions` and `figures`."""
        model = build(self.trained, self.trained_on).to(self.device)
        if self.settings:
            self._probe_layers(model)
        else:
            self._probe_outputs(model)

    def _probe_outputs(self, model: Model) -> None:
        self._load(model, None)
        for modality, encoder in model.encoders.items():
            splits = self._splits(modality)
            extraction = self._extraction(encoder, modality, splits, [OUTPUT], "mean")
            probe = self._solve(extraction, modality, splits)[OUTPUT]
            test = splits["test"]
            self._keep(modality, probe, splits)
            self.figures[modality] = {
                **metrics.summarise(probe.logits["test"], test.labels, test.videos),
                "l2": probe.l2,
                "gradient_norm": probe.gradient_norm,
            }

    def _probe_layers(self, model: Model) -> None:
        modality, layers, reduction = (self.settings[key] for key in ("modality", "layers", "reduction"))
        shapes = [described["modalities"][modality]["shape"] for described in (self.description, self.trained_on)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"probe.dataset: its clips of {modality!r} have the shape {shapes[0]}, and the run was trained on "
                f"{shapes[1]}; choose a data set that is prepared alike"
            )
        splits = self._splits(modality)
        extraction = self._extraction(model.encoders[modality], modality, splits, layers, reduction)
        for moment in self.settings["snapshots"]:
            self._load(model, moment)
            for layer, probe in self._solve(extraction, modality, splits).items():
                self._keep(entry_of(layer, moment), probe, splits)
                losses = metrics.clip_losses(probe.logits["test"], splits["test"].labels)
                self.predictions[f"test_loss_{entry_of(layer, moment)}"] = losses.astype(np.float32)
                at = TRAINED if moment is None else str(moment)
                labels = {name: split.labels for name, split in splits.items()}
                self.figures.setdefault(layer, {})[at] = summarise(probe, labels)

    def _load(self, model: Model, moment: int | None) -> None:
        model.load_state_dict(load_file(self.weights / ("model.safetensors" if moment is None else file_of(moment))))

    def _splits(self, modality: str) -> Splits:
        return {name: Split(self.data, name, [modality], self.device) for name in ("train", "val", "test")}

    def _extraction(
        self, encoder: nn.Module, modality: str, splits: Splits, layers: list[str], reduction: Spec
    ) -> Extraction:
        extraction = Extraction(encoder, layers, reduction, first_clips(splits["train"], modality))
        check_memory(extraction.reductions, len(splits["train"]), self.description["num_classes"], self.max_bytes)
        return extraction

    def _solve(self, extraction: Extraction, modality: str, splits: Splits) -> dict[str, Probe]:
        """{layer: its probe}, from one pass over all clips."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        progress = Progress(self.scratch, len(extraction.reductions), "probe")
        extraction.run(splits, modality, self.trained["training"]["batch_size"], self.scratch)
        labels = {name: split.labels for name, split in splits.items()}
        probes = {}
        for layer in extraction.reductions:
            probes[layer] = fit(self.scratch, layer, labels, self.description["num_classes"], self.max_bytes)
            progress.advance(l2=probes[layer].l2)
        progress.close()
        shutil.rmtree(self.scratch)
        return probes

    def _keep(self, name: str, probe: Probe, splits: Splits) -> None:
        test = splits["test"]
        self.predictions["test_label"] = test.labels
        if test.videos is not None:
            self.predictions["test_video"] = test.videos
        self.predictions[f"test_probe_{name}"] = metrics.kept(probe.logits["test"], test.labels)


def main() -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True, help="the probe's recipe (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the probe")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--resume", type=Path, default=Path("results/resume"), help="where features lie meanwhile")
    parser.add_argument(
        "--memory", type=int, default=2048, help="MiB for solving a probe, with the features it holds; model apart"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = store.load_recipe(arguments.recipe)
    scratch = arguments.resume / recipe["name"]
    try:
        with claim(arguments.device, arguments.resume) as device, store.publish(arguments.out, recipe) as out:
            step = Step(recipe, device, scratch, arguments.memory * MIB)
            step.run()
            np.savez_compressed(out / "predictions.npz", **step.predictions)  # type: ignore[arg-type]
            (out / "metrics.json").write_text(
                json.dumps(store.finite(step.figures), indent=1, allow_nan=False) + "\n", encoding="utf-8"
            )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    cli.run(main)
