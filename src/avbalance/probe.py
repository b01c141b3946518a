"""Solve linear probes on a trained model's frozen encoders: how much of the label do a layer's features hold?

A probe is multinomial logistic regression with an L2 penalty on features of the encoder in evaluation mode
(Alain and Bengio, 2016). Its objective

    J(W, b) = mean_i CE(W x_i + b, y_i) + l2 / 2 |W|^2

is convex and is minimised to its optimum on standardised features. The loss on the validation split chooses l2: the
search begins with the strongest penalty and ends when that loss rises. If a clip has several classes, every class has
its own logistic regression against the rest, and CE is the sum of their binary cross-entropies. Verification has no
probes, because its test clips do not belong to the classes.

Without layers in the settings each modality's encoder has one probe, on the mean of its output over positions. Else the
chosen layers of one encoder have a probe each, at every chosen snapshot of training.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from avbalance import cli, metrics, store
from avbalance.data.packed import Split
from avbalance.data.prepared import folders_of, read_description
from avbalance.device import take_device
from avbalance.errors import UserError
from avbalance.model import Model, build_model
from avbalance.probing.extraction import MIB, Extraction, first_clips
from avbalance.probing.fitting import Probe, check_memory, fit_probe, probe_metrics
from avbalance.probing.names import OUTPUT, entry_of
from avbalance.progress import Progress
from avbalance.registry import Spec
from avbalance.training.snapshots import snapshot_file

TRAINED = "trained"
"""Name of the run's final weights beside its snapshots."""
Splits = dict[str, Split]


@dataclass
class ProbeResult:
    """Results of the probes of one run.

    Attributes:
        predictions: "test_clip", "test_label", "test_video" if clips are windows of videos, "test_probe_<entry>" and,
            for layers, "test_loss_<entry>"; an entry is a modality or the name of a layer's probe (`names.entry_of`).
        values: {modality: metrics}, or {layer: {snapshot: metrics}}.
    """

    predictions: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def add(self, entry: str, probe: Probe, test: Split) -> None:
        """Keep the predictions of a probe for the test split."""
        self.predictions["test_clip"], self.predictions["test_label"] = test.clips, test.labels
        if test.videos is not None:
            self.predictions["test_video"] = test.videos
        self.predictions[f"test_probe_{entry}"] = metrics.ranks_or_logits(probe.logits["test"], test.labels)


class ProbeRun:
    """Linear probes on the encoders of one run.

    Args:
        recipe: Recipe of the probes.
        device: Device of the encoders; probes are solved on the CPU.
        scratch: Folder for features, created and removed here.
        max_bytes: Memory for each probe.
    """

    def __init__(self, recipe: dict[str, Any], device: torch.device, scratch: Path, max_bytes: int) -> None:
        self.weights, self.data = Path(recipe["inputs"]["weights"]), folders_of(recipe["inputs"])
        self.settings, self.device = recipe["settings"], device
        self.scratch, self.max_bytes = scratch, max_bytes
        self.trained = store.open_artifact(self.weights)["recipe"]["settings"]
        store.open_artifacts(self.data.values())
        self.description = read_description(self.data)
        self.trained_on = read_description(folders_of(recipe["inputs"], "trained_on_") or self.data)

    def solve(self) -> ProbeResult:
        """Solve the probes of the outputs or, if the settings have layers, those of layers.

        Raises:
            UserError: The clips differ in shape from those of training, a layer does not exist, or memory or disk are
                too small.
        """
        model = build_model(self.trained, self.trained_on).to(self.device)
        return self._probe_layers(model) if "layers" in self.settings else self._probe_outputs(model)

    def _probe_outputs(self, model: Model) -> ProbeResult:
        result = ProbeResult()
        self._load_weights(model, None)
        for modality, encoder in model.encoders.items():
            splits = self._splits(modality)
            extraction = self._extraction(encoder, modality, splits, [OUTPUT], "mean")
            probe = self._fit(extraction, modality, splits)[OUTPUT]
            test = splits["test"]
            result.add(modality, probe, test)
            result.values[modality] = {
                **metrics.split_metrics(probe.logits["test"], test.labels, test.videos),
                "l2": probe.l2,
                "gradient_norm": probe.gradient_norm,
            }
        return result

    def _probe_layers(self, model: Model) -> ProbeResult:
        result = ProbeResult()
        modality, layers, reduction = (self.settings[key] for key in ("modality", "layers", "reduction"))
        shapes = [described["modalities"][modality]["shape"] for described in (self.description, self.trained_on)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"probe.dataset: its clips of {modality!r} have the shape {shapes[0]}, but the run was trained on "
                f"{shapes[1]}; choose a dataset that is prepared in the same way"
            )
        splits = self._splits(modality)
        labels = {name: split.labels for name, split in splits.items()}
        extraction = self._extraction(model.encoders[modality], modality, splits, layers, reduction)
        for snapshot in self.settings["snapshots"]:
            self._load_weights(model, snapshot)
            for layer, probe in self._fit(extraction, modality, splits).items():
                entry = entry_of(layer, snapshot)
                result.add(entry, probe, splits["test"])
                losses = metrics.clip_losses(probe.logits["test"], labels["test"])
                result.predictions[f"test_loss_{entry}"] = metrics.to_float16(losses.astype(np.float32))
                name = TRAINED if snapshot is None else str(snapshot)
                result.values.setdefault(layer, {})[name] = probe_metrics(probe, labels)
        return result

    def _load_weights(self, model: Model, snapshot: int | None) -> None:
        file = "model.safetensors" if snapshot is None else snapshot_file(snapshot)
        model.load_state_dict(load_file(self.weights / file))

    def _splits(self, modality: str) -> Splits:
        return {name: Split(self.data, name, self.device, [modality]) for name in ("train", "val", "test")}

    def _extraction(
        self, encoder: nn.Module, modality: str, splits: Splits, layers: list[str], reduction: Spec
    ) -> Extraction:
        extraction = Extraction(encoder, layers, reduction, first_clips(splits["train"], modality))
        check_memory(extraction.reductions, len(splits["train"]), self.description["num_classes"], self.max_bytes)
        return extraction

    def _fit(self, extraction: Extraction, modality: str, splits: Splits) -> dict[str, Probe]:
        """{layer: its probe}, from one pass over all clips."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        progress = Progress(self.scratch, len(extraction.reductions), "probe")
        extraction.run(splits, modality, self.trained["training"]["batch_size"], self.scratch)
        labels = {name: split.labels for name, split in splits.items()}
        probes = {}
        for layer in extraction.reductions:
            probes[layer] = fit_probe(self.scratch, layer, labels, self.description["num_classes"], self.max_bytes)
            progress.advance(l2=probes[layer].l2)
        progress.close()
        shutil.rmtree(self.scratch)
        return probes


def run(
    recipe: dict[str, Any],
    out: Path,
    device: str = "auto",
    threads: int = 1,
    resume: Path = store.RESUME,
    memory: int = 2048,
) -> None:
    """Publish the predictions and metrics of a run's probes; parameters are those of `cli.OPTIONS`."""
    torch.set_num_threads(threads)
    scratch = resume / recipe["name"]
    try:
        with take_device(device, resume) as place, store.publish(out, recipe) as folder:
            result = ProbeRun(recipe, place, scratch, memory * MIB).solve()
            np.savez(folder / "predictions.npz", **result.predictions)  # type: ignore[arg-type]
            content = json.dumps(store.finite(result.values), indent=1, allow_nan=False)
            (folder / "metrics.json").write_text(content + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
