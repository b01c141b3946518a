"""Time from the start of a run to its first optimiser step, as the data grow.

Packed pictures of 28 x 28 of AV-MNIST, random numbers, verified before, as they are once they have been prepared or
pulled. `avbalance train` is started in a process of its own, which imports everything and ends after the first step;
medians. The goal is less than 5 s, however many clips there are.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from avmnist import ENCODERS, settings
from measure import print_conditions, print_table
from memory import SHAPES, write_packed

from avbalance import cli, store
from avbalance.configuration.schema import Training

UNTIL_FIRST_STEP = """
import os
from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(lambda *_: os._exit(99))
from avbalance.train import main
main()
"""


def seconds_of(recipe: Path) -> float:
    """Seconds from the start of a process to the end of its first step."""
    folder = recipe.parent
    arguments = ["--recipe", str(recipe), "--out", str(folder / "run"), "--weights", str(folder / "weights")]
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", UNTIL_FIRST_STEP, *arguments, "--resume", str(folder / "resume"), "--threads", "1"],
        check=False,
    )
    seconds = time.perf_counter() - start
    if ended.returncode != 99:
        sys.exit(f"the run ended with {ended.returncode} before its first step")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    print_conditions(**vars(arguments))
    training = Training(epochs=1, patience=1, batch_size=64, learning_rate=0.001, precision="float32")
    rows = []
    for num_clips in arguments.clips:
        with tempfile.TemporaryDirectory() as temporary:
            data = Path(temporary) / "data"
            size = write_packed(data, num_clips, {"visual": SHAPES["visual"]})
            store.open_artifacts([data])  # leaves the stamp of a verified artifact
            recipe = {
                "step": "train",
                "name": "run",
                "settings": {**settings({"visual": ENCODERS["visual"]}, "linear"), "training": training.model_dump()},
                "inputs": {"data_visual": str(data)},
            }
            file = Path(temporary) / "recipe.json"
            file.write_text(json.dumps(recipe), encoding="utf-8")
            times = [seconds_of(file) for _ in range(arguments.repetitions)]
        rows.append([f"{num_clips:,}", f"{size / 1e6:,.0f}", *(f"{of(times):.1f}" for of in (median, min, max))])
    print_table(["clips", "MB", "s to the first step", "lowest", "highest"], rows)


if __name__ == "__main__":
    cli.run(main)
