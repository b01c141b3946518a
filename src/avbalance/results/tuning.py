"""Trials of tuned rows, as a table shows them: options, validation accuracy, and the choice."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avbalance.results import captions
from avbalance.store import open_artifact

OWN = "own options"
"""Text of a trial that changes nothing."""


def read(tuned: Mapping[str, str], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the trials of each tuned row, in the order of the table; a row without a choice yet is left out.

    Args:
        tuned: {row: folder of its choice}.
        labels: {row: its label}.

    Returns:
        [{"row", "label", "chosen": place, "trials": [{"options": text, "run", "seed", "seconds", "val_accuracy",
        "val_loss"}]}]; a trial that has failed has "failed" instead of accuracy and loss.

    Raises:
        UserError: A choice is damaged.
    """
    rows = []
    for row, folder in tuned.items():
        if Path(folder).exists():
            open_artifact(Path(folder))
            content = json.loads((Path(folder) / "tuned.json").read_text(encoding="utf-8"))
            own = content["trials"][0]["options"]
            trials = [{**trial, "options": explain_changes(trial["options"], own)} for trial in content["trials"]]
            rows.append({"row": row, "label": labels[row], "chosen": content["chosen"], "trials": trials})
    return rows


def explain_changes(options: Mapping[str, Mapping[str, Any]], own: Mapping[str, Mapping[str, Any]]) -> str:
    """Options that differ from the row's own, such as `balancer.alpha 0.5, learning_rate 0.009`."""
    changes = []
    for kind, content in options.items():
        before, prefix = own[kind], ""
        if kind != "training":  # {name: options}
            (content,), (before,), prefix = content.values(), before.values(), f"{kind}."
        changes += [f"{prefix}{key} {_text(value)}" for key, value in content.items() if value != before[key]]
    return ", ".join(changes) or OWN


def _text(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def explain(rows: Sequence[Mapping[str, Any]]) -> str:
    """Sentence on how rows were tuned; empty without any."""
    if not rows:
        return ""
    counts = sorted({len(row["trials"]) for row in rows})
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    seconds = {trial["run"]: trial["seconds"] for row in rows for trial in row["trials"]}
    seeds = sorted({trial["seed"] for row in rows for trial in row["trials"]})
    return (
        f"Options of {len(rows)} {'rows' if len(rows) > 1 else 'row'} are tuned: of {number} trials each, with seed "
        f"{' and '.join(map(str, seeds))}, the one with the highest validation accuracy gives the options of all runs "
        f"of the row. The trials took {captions.duration(sum(seconds.values()))} of training."
    )
