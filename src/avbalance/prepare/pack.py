"""Write the arrays of a dataset whose reader gives arrays: `python -m avbalance.prepare.pack --recipe R --out DIR`."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from avbalance import cli, registry, store
from avbalance.data.array_writer import ArrayWriter
from avbalance.data.arrays import ArrayReader, Arrays
from avbalance.prepare import dataset_files

REPORTS = Path("results/resume")
"""Folder that keeps the report of a dataset that could not be packed."""


def pack(recipe: dict[str, Any], out: Path) -> None:
    """Publish the arrays that the recipe's reader makes of its raw folder.

    Args:
        recipe: Its settings are {"dataset", "task", "num_classes", "classes", "reader": {name: options}}; its inputs
            {"raw": folder}.
        out: The folder to publish.

    Raises:
        UserError: The raw files are damaged, too many of them are unusable, or a label is out of range.
    """
    settings, raw = recipe["settings"], Path(recipe["inputs"]["raw"])
    store.open_artifact(raw)
    reader: ArrayReader = registry.load("data", settings["reader"])
    arrays = reader.read_arrays(raw)
    kept = REPORTS / f"{out.name}-report.json"
    with store.publish(out, recipe) as folder:
        write_arrays(arrays, folder, settings, raw, kept)
    kept.unlink()


def write_arrays(arrays: Arrays, folder: Path, settings: Mapping[str, Any], raw: Path, kept: Path) -> None:
    """Write all files of a prepared dataset.

    Args:
        arrays: The dataset.
        folder: An empty folder.
        settings: As in `pack`.
        raw: The raw folder, for messages.
        kept: Path of the copy of the report.

    Raises:
        UserError: Too many files are unusable, or a label is out of range.
    """
    report = {"dropped": arrays.dropped, "repaired": arrays.repaired}
    dataset_files.write_report(folder, report, arrays.num_files, arrays.max_dropped, kept)
    rows: list[tuple[object, ...]] = []
    counts: dict[str, int] = {}
    for part in arrays.splits:
        labels = part.labels.tolist() if isinstance(part.labels, np.ndarray) else list(part.labels)
        names = [" ".join(map(str, source)) for source in part.sources]
        dataset_files.check_labels(zip(names, labels, strict=True), settings["num_classes"], raw)
        np.save(folder / f"{part.split}_label.npy", dataset_files.label_array(labels, settings, raw))
        np.save(folder / f"{part.split}_clip.npy", np.arange(len(labels), dtype=np.int64))
        for modality, chunks in part.chunks.items():
            path, shape = folder / f"{part.split}_{modality}.npy", tuple(arrays.modalities[modality]["shape"])
            with closing(ArrayWriter(path, shape, arrays.dtype)) as writer:
                for chunk in chunks:
                    writer.append(chunk)
            assert writer.num_rows == len(labels)
        rows += [
            (part.split, index, label if isinstance(label, int) else " ".join(map(str, label)), *source)
            for index, (label, source) in enumerate(zip(labels, part.sources, strict=True))
        ]
        counts[part.split] = len(labels)
    dataset_files.write_clips(folder, arrays.columns, rows)
    dataset_files.write_description(folder, settings, arrays.modalities, counts, arrays.about)


def run(recipe: dict[str, Any], out: Path, threads: int = 1, device: str = "auto") -> None:
    """Publish a prepared dataset; the options are those of `prepare.media`, and threads and device have no effect."""
    pack(recipe, out)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
