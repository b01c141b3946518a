"""Choose the options of a row among its trials: those of the run that is the most accurate on validation.

Trials are runs of the row with a seed of their own. Test and the runs that a table shows decide nothing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avbalance import cli, store
from avbalance.errors import UserError

FILE = "tuned.json"
MEASURED = ("val_accuracy", "val_loss", "failed")
"""Metrics of each trial's run that are kept with the choice."""


def choose(trials: Sequence[Mapping[str, Any]]) -> int:
    """Return the place of the trial of the highest validation accuracy; of equal ones, of the lowest validation loss.

    Of trials that are equal in both, the first is chosen.

    Args:
        trials: "val_accuracy" and "val_loss" of each trial's run at its chosen epoch; or "failed", the reason why it
            has none.

    Raises:
        UserError: All trials have failed.
    """
    finished = [place for place, trial in enumerate(trials) if "failed" not in trial]
    if not finished:
        raise UserError(f"all {len(trials)} trials of the row have failed; the first: {trials[0]['failed']}")
    return min(finished, key=lambda place: (-trials[place]["val_accuracy"], trials[place]["val_loss"]))


def with_chosen_options(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of a run with the options that its input `tuned` chose among its setting `trials`.

    A recipe without this input is returned as it is.
    """
    if "tuned" not in recipe["inputs"]:
        return recipe
    folder, settings = Path(recipe["inputs"]["tuned"]), recipe["settings"]
    store.open_artifact(folder)
    chosen = json.loads((folder / FILE).read_text(encoding="utf-8"))["chosen"]
    return {**recipe, "settings": {**settings, **settings["trials"][chosen]}}


def run(recipe: dict[str, Any], out: Path) -> None:
    """Publish `tuned.json` with all trials and the choice; parameters are those of `cli.OPTIONS`.

    The file holds {"chosen": place, "trials": [{"run": folder, "seed", "seconds", those of MEASURED, "options"}]}.
    """
    trials = []
    for number, options in enumerate(recipe["settings"]["trials"]):
        folder = Path(recipe["inputs"][f"trial_{number}"])
        manifest = store.open_artifact(folder)
        about = {"run": str(folder), "seed": manifest["recipe"]["settings"]["seed"]}
        about["seconds"] = manifest["provenance"]["seconds"]
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        measured = {name: metrics[name] for name in MEASURED if name in metrics}
        trials.append({**about, **measured, "options": options})
    with store.publish(out, recipe) as unfinished:
        content = json.dumps({"chosen": choose(trials), "trials": trials}, indent=1, allow_nan=False)
        (unfinished / FILE).write_text(content + "\n", encoding="utf-8")


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
