"""Turn a dataset's raw files into packed arrays: `python -m avbalance.prepare.pack --recipe R --out DIR`."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from avbalance import cli, registry, store
from avbalance.data.packing import TooManyDroppedError
from avbalance.errors import UserError

REPORTS = Path("results/resume")
"""Where the report of a dataset that could not be packed is kept."""


def pack(recipe: dict[str, Any], out: Path) -> None:
    """Let the recipe's reader pack its raw folder into `out`.

    Args:
        recipe: Its settings are {"dataset", "num_classes", "reader": {name: options}} and, where classes have
            names, "classes"; its inputs {"raw": folder}.
        out: The folder to publish.

    Raises:
        UserError: The raw files are damaged, too many of them are unusable, or a label is out of range.
    """
    settings, raw = recipe["settings"], Path(recipe["inputs"]["raw"])
    store.open_artifact(raw)
    num_classes = settings["num_classes"]
    with store.publish(out, recipe) as folder:
        try:
            described = registry.load("data", settings["reader"]).pack(raw, folder)
        except TooManyDroppedError as error:
            # The folder is about to vanish; what it says of the clips is needed to mend them.
            REPORTS.mkdir(parents=True, exist_ok=True)
            kept = shutil.copy(folder / "report.json", REPORTS / f"{out.name}-report.json")
            raise UserError(f"{error}; all are named in {kept}") from error
        for split in described["splits"]:
            found = np.unique(np.load(folder / f"{split}_label.npy"))
            if found[0] < 0 or found[-1] >= num_classes:
                raise UserError(f"{raw}: labels {found[0]} to {found[-1]}, but num_classes is {num_classes}")
        dataset = {
            "name": settings["dataset"],
            "num_classes": num_classes,
            "classes": settings.get("classes") or [str(label) for label in range(num_classes)],
            **described,
        }
        (folder / "dataset.json").write_text(json.dumps(dataset, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Turn a dataset's raw files into packed arrays.")
    parser.add_argument("--recipe", type=Path, required=True, help="JSON file that says what to make")
    parser.add_argument("--out", type=Path, required=True, help="folder to publish")
    for option in ("--threads", "--device"):
        parser.add_argument(option, help="no effect here; prepare.media, the other step of this kind, uses it")
    arguments = parser.parse_args()
    pack(store.load_recipe(arguments.recipe), arguments.out)


if __name__ == "__main__":
    cli.run(main)
