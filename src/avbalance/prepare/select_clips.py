"""Select the clips of a dataset, for all of its modalities: `python -m avbalance.prepare.select_clips`.

The selection is an artifact of its own, because a list of a million clips takes half a minute and more than a gigabyte
to check, and each job that prepares a part of a modality needs a few of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avbalance import cli, registry, store
from avbalance.data.clips import Clip, Reader
from avbalance.data.lists import write_rows
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.prepare import dataset_files
from avbalance.prepare.clip_lists import write_list
from avbalance.prepare.selection import SPLITS, select


def read_summary(folder: Path) -> dict[str, Any]:
    """Read {"clips": {split: number of clips}, "trials": {list: number of trials}} of a selection."""
    summary: dict[str, Any] = json.loads((folder / "selection.json").read_text(encoding="utf-8"))
    return summary


def publish_selection(recipe: dict[str, Any], out: Path, resume: Path = store.RESUME) -> None:
    """Publish the list of each split's clips (`clip_lists`), the report, and trials by the places of clips in test.

    Args:
        recipe: Its settings are {"dataset", "task", "num_classes", "classes", "reader": {name: options}, "media": those
            of `visual` and `audio` that views show, "val_fraction", "seed", "drop_duplicates", "max_dropped"}, as in
            `schema.Dataset`; its inputs {"raw": folder}.
        out: The folder to publish.
        resume: Folder of reports of failures.

    Raises:
        UserError: A list is malformed, a label or a class is wrong, a split is empty, or too many clips are dropped.
    """
    settings, raw = recipe["settings"], Path(recipe["inputs"]["raw"])
    store.read_manifest(raw)
    checksums = RawFiles(raw).checksums
    reader: Reader = registry.load("data", settings["reader"])
    _check_classes(reader.class_names(raw), settings, raw)
    unseen = [] if "visual" in settings["media"] else ["visual", "landmarks"]
    unseen += [] if "audio" in settings["media"] else ["audio"]
    chosen = {name: settings[name] for name in ("val_fraction", "seed", "drop_duplicates")}
    selection = select(reader.clips(raw), reader.media, checksums, unseen, **chosen)
    trained = (  # the persons of test trials are not classes
        clip for clip in selection.clips if (settings["task"], clip.split) != ("verification", "test")
    )
    dataset_files.check_labels(((clip.name, clip.label) for clip in trained), settings["num_classes"], raw)
    kept = resume / f"{out.name}-report.json"
    with store.publish(out, recipe) as folder:
        report = {
            "num_clips": selection.num_listed,
            "dropped": sorted(selection.dropped, key=dataset_files.by_clip),
            "repaired": sorted(selection.repaired, key=dataset_files.by_clip),
            "unused": selection.unused,
        }
        dataset_files.write_report(folder, report, selection.num_listed, settings["max_dropped"], kept)
        by_split = {split: [clip for clip in selection.clips if clip.split == split] for split in SPLITS}
        dataset_files.check_splits({split: len(clips) for split, clips in by_split.items()}, raw, kept)
        for split, clips in by_split.items():
            write_list(folder, split, clips, checksums)
        trials = _write_trials(folder, reader, raw, by_split["test"])
        summary = {"clips": {split: len(clips) for split, clips in by_split.items()}, "trials": trials}
        (folder / "selection.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    kept.unlink()


def _write_trials(folder: Path, reader: Reader, raw: Path, clips: list[Clip]) -> dict[str, int]:
    """Write the trials of which both clips are selected, if any; return {list: number of all its trials}."""
    places = {clip.name: place for place, clip in enumerate(clips)}
    lists = reader.trials(raw)
    rows = [
        (name, places[trial.enrol], places[trial.test], int(trial.is_target))
        for name, trials in lists.items()
        for trial in trials
        if trial.enrol in places and trial.test in places
    ]
    if lists:
        write_rows(folder / dataset_files.TRIALS, [dataset_files.TRIAL_COLUMNS, *rows])
    return {name: len(trials) for name, trials in lists.items()}


def _check_classes(listed: list[str] | None, settings: Mapping[str, Any], raw: Path) -> None:
    """Check that the classes of the configuration are those of the dataset's lists.

    Raises:
        UserError: A class has another name or place in the lists.
    """
    for label, (ours, theirs) in enumerate(zip(settings["classes"] or [], listed or [], strict=False)):
        if ours != theirs:
            raise UserError(
                f"{raw}: class {label} is {theirs!r} in the lists, but {ours!r} in classes of config/datasets/"
                f"{settings['dataset']}.yaml; correct it there"
            )


def run(recipe: dict[str, Any], out: Path) -> None:
    """Publish the selected clips of a dataset."""
    publish_selection(recipe, out)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
