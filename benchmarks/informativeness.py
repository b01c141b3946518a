"""Does a method's balance move as the data are designed?

Generated clips show their class in sound with probability p and in pictures with q, else any class at random
(`avbalance.data.miniatures.synthetic`), so what either tells at best is known: p + (1 - p) / C, and likewise of q. For
some p and q a table of methods goes through the project's own plan and steps, one after another in this process, in a
copy of the configuration. Then, by p, q and method, means over seeds of

    joint           test accuracy of the joint model, in %
    audio, visual   of one modality: at best, as drawn for these very clips, of a model of its own, of its probe
    gap             audio - visual, in points, with the 95 % interval over seeds; the clips are the same in all
    coefficients    of OGM, mean over all epochs: audio, visual
    weights         of G-Blend: audio, visual, joint

Where both encoders hold all that their modality tells, the gap is that of "as drawn".
"""

import argparse
import csv
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch
import yaml
from measure import ROOT, print_conditions, print_table
from numpy.random import Generator

from avbalance import cli, plan
from avbalance.data.miniatures.kinetics import KineticsMiniature
from avbalance.data.miniatures.synthetic import best_accuracy, best_joint_accuracy
from avbalance.planning.artifacts import Artifact
from avbalance.results.statistics import t_interval

LEVELS = ((0.9, 0.9), (0.9, 0.5), (0.5, 0.9))
MODALITIES = ("audio", "visual")
SGD = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0001, "learning_rate": 0.003}
TRAINING = {"epochs": 10, "patience": 3, **SGD}
SECONDS = 0.5
LOG_MEL = {"seconds": SECONDS, "num_mels": 20, "window_samples": 400, "hop_samples": 320, "fft_samples": 512}
VIEWS = {"audio": {"log_mel": {"sample_rate": 16000, **LOG_MEL}}, "visual": {"frames": {"size": 32}}}
TABLE = "informativeness"
ROWS: dict[str, dict[str, Any]] = {
    "joint": {"label": "joint training"},
    "ogm_weak": {"label": "OGM, alpha 0.3", "balancer": {"ogm": {"alpha": 0.3}}},
    "ogm": {"label": "OGM, alpha 0.8", "balancer": "ogm"},
    "ogm_ge": {"label": "OGM-GE, alpha 0.8", "balancer": "ogm_ge"},
    "g_blend": {"label": "G-Blend, offline", "loss": "unimodal", "balancer": "g_blend"},
    "unimodal": {"label": "auxiliary losses", "loss": "unimodal"},
    "cosine": {"label": "MMCosine", "head": "cosine"},
}


class Drawn(KineticsMiniature):
    """What the generator draws, without its media."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.is_right: dict[str, list[bool]] = {modality: [] for modality in MODALITIES}

    def shown(self, label: int, modality: Literal["audio", "visual"], random: Generator) -> int:
        """The class that a modality shows; whether it is the clip's is kept."""
        seen = super().shown(label, modality, random)
        self.is_right[modality].append(seen == label)
        return seen

    def write_clip(self, path: Path, label: int, random: Generator) -> None:
        """Draw what a clip draws, and leave its file empty."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.pictures(label, random, num_frames=1)
        self.wave(label, random)

    def test_shares(self) -> list[float]:
        """Of each modality, the share of test clips that show their class in it, in %."""
        with tempfile.TemporaryDirectory() as folder:
            self.generate(Path(folder))
        return [100 * float(np.mean(self.is_right[modality][-self.sizes["test"] :])) for modality in MODALITIES]


def options_of(level: tuple[float, float], num_clips: int) -> dict[str, float]:
    """The generator's options."""
    audio, visual = level
    sizes = {"num_train": num_clips, "num_test": num_clips}
    return {**sizes, "informativeness_audio": audio, "informativeness_visual": visual}


def name_of(level: tuple[float, float]) -> str:
    """Of a level's data set."""
    audio, visual = level
    return f"audio_{audio:.0%}_visual_{visual:.0%}".replace("%", "")


def write_config(project: Path, num_clips: int) -> None:
    """The project's configuration, with one table and, after the model of Kinetics-400, a data set for every level."""
    config = project / "config"
    shutil.copytree(ROOT / "config", config, ignore=lambda folder, names: names if folder.endswith("tables") else [])
    for scale in (config / "scales").glob("*.yaml"):
        if scale.stem != "miniature":
            scale.unlink()  # it names tables that are not here
    kinetics = yaml.safe_load((config / "datasets/kinetics400.yaml").read_text(encoding="utf-8"))
    for level in LEVELS:
        generated = {"generator": {"kinetics_miniature": options_of(level, num_clips)}}
        changed = {
            "num_classes": KineticsMiniature.num_classes,
            "modalities": list(MODALITIES),
            "prepare": {"views": VIEWS, "clip_seconds": SECONDS, "val_fraction": 0.2},
            "sources": {"generated": generated},
        }
        (config / f"datasets/{name_of(level)}.yaml").write_text(
            yaml.safe_dump({**kinetics, **changed}), encoding="utf-8"
        )
    table = {
        "title": "Informativeness",
        "paper": "none",
        "defaults": {"encoder": "resnet18", "training": TRAINING},
        "each": {"dataset": [name_of(level) for level in LEVELS]},
        "rows": ROWS,
        "columns": ["accuracy", "acc_audio_alone", "acc_visual_alone", "acc_audio_probe", "acc_visual_probe"],
    }
    (config / "tables" / f"{TABLE}.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")


def make(artifact: Artifact) -> None:
    """Run an artifact's step as its rule does, but in this process: starting one takes longer than most steps."""
    arguments = ["--recipe", f"results/recipes/{artifact.name}.json", "--out", artifact.path]
    if artifact.kind == "runs":
        arguments += ["--weights", artifact.weights]
    place = "prepare." if artifact.kind in ("raw", "prep") else ""
    step = import_module(f"avbalance.{place}{artifact.step}")
    with patch.object(sys, "argv", [step.__name__, *arguments]):
        step.main()


def read(folder: str, figure: str) -> Any:  # noqa: ANN401
    """A figure of a run or probe, or of one of its modalities."""
    return json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))[figure]


def shares_of(run: str) -> list[float]:
    """A run's mean coefficients, or its blend weights, where it has either."""
    with (Path(run) / "history.csv").open(newline="", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    names = [f"{kind}_{head}" for kind in ("coefficient", "weight") for head in (*MODALITIES, "joint")]
    return [float(np.mean([float(epoch[name]) for epoch in history])) for name in names if name in history[0]]


def gap_of(accuracies: Sequence[Sequence[float]]) -> str:
    """Audio minus visual of [seeds, modalities]."""
    audio, visual = np.array(accuracies).T
    gap = t_interval(audio - visual)
    return f"{gap.mean:.1f} ± {gap.half_width:.1f}"


def percent(accuracies: Sequence[Sequence[float]]) -> list[str]:
    """Means of [seeds, accuracies] over seeds."""
    return [f"{mean:.1f}" for mean in np.mean(accuracies, axis=0)]


def lines(level: tuple[float, float], num_clips: int, cells: dict[str, list[dict[str, Any]]]) -> Iterator[list[str]]:
    """A level's lines of the table."""
    num_classes = KineticsMiniature.num_classes
    first = " / ".join(map(str, level))
    best = [100 * best_accuracy(each, num_classes) for each in level]
    best_joint = f"{100 * best_joint_accuracy(*level, num_classes):.1f}"
    yield [first, "at best", best_joint, *percent([best]), f"{best[0] - best[1]:.1f}", ""]
    drawn = Drawn(**options_of(level, num_clips)).test_shares()
    yield [first, "as drawn", "", *percent([drawn]), f"{drawn[0] - drawn[1]:.1f}", ""]
    alone = [[100 * read(cell["alone"][m], "test_accuracy") for m in MODALITIES] for cell in cells["joint"]]
    yield [first, "alone", "", *percent(alone), gap_of(alone), ""]
    for name, row in ROWS.items():
        joint = [[100 * read(cell["run"], "test_accuracy")] for cell in cells[name]]
        probes = [[100 * read(cell["probe"], m)["accuracy"] for m in MODALITIES] for cell in cells[name]]
        shares = np.mean([shares_of(cell["run"]) for cell in cells[name]], axis=0)
        said = " : ".join(f"{share:.2f}" for share in shares)
        yield [first, row["label"], *percent(joint), *percent(probes), gap_of(probes), said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400, help="of train with val, and of test")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_conditions(clips=arguments.clips, seeds=arguments.seeds, **TRAINING)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_config(Path(), arguments.clips)
        seeds = list(range(arguments.seeds))
        made = plan.make(Path(), {"scale": "miniature", "tables": [TABLE], "seeds": seeds})
        made.write_recipes()
        (table,) = (artifact for artifact in made.artifacts.values() if artifact.folder == "tables/miniature")
        steps = [artifact for artifact in made.artifacts.values() if not artifact.is_stamped]
        for artifact in steps:  # in the order in which they are needed
            make(artifact)
        rows = table.settings["rows"]
        printed: list[list[str]] = []
        for level in LEVELS:
            cells = {name: rows[f"{name_of(level)}_{name}"] for name in ROWS}
            printed += lines(level, arguments.clips, cells)
    columns = ["audio / visual", "", "joint", "audio", "visual", "gap", "coefficients, weights"]
    print_table(columns, printed)
    print(f"{len(steps)} steps: {time.process_time():.0f} CPU seconds in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    cli.run(main)
