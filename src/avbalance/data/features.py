"""Features that were extracted elsewhere: of text, sound, pictures or anything else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from avbalance.data.arrays import ArrayReader, Arrays, SplitArrays
from avbalance.data.feature_files import READ_ERRORS, open_features
from avbalance.data.feature_index import SPLITS, Entry, divide, read_index
from avbalance.errors import UserError
from avbalance.ranges import Count, Edges, Rate, Text, Whole

CHUNK = 256
"""Number of clips held in memory at once."""


class Features(ArrayReader):
    """Clips of an index, with an array of features for each clip and modality.

    The index has a line for each clip, with the columns `clip`, `split` (train, val or test), and `label`, its class as
    a number from 0, or `labels`, all of its classes with blanks between them. A file of features, npz, safetensors or
    parquet, holds an array for each clip or one array for all:

    - An array for each clip has the clip's name as its key, or what the index says in a column named as the modality.
    - The rows of a file's only array are the clips. That column has their numbers, from 0.
    - Of a parquet file, `features` is the column of arrays, and `clip` that of the keys, if it has one.

    Features are [dim] or, over time, [steps, dim], and stay as they are, as float32. Where `steps` gives a length,
    shorter sequences are filled with steps of zeros and longer ones are cut. There is no mask: `identity` and `mlp`
    take the mean over the steps that are not all zeros.

    Args:
        index: List of the clips, csv or parquet, below the raw folder.
        files: {modality: file of its features}.
        steps: {modality: length of its sequences}; those of other modalities must have one length already.
        align: `start`: zeros follow a shorter sequence, and of a longer one the start is kept. `end`: zeros precede,
            and the end is kept.
        edges: Limits between classes, ascending, for labels such as a sentiment from -3 to 3: the class is the number
            of limits that the label reaches. None for labels that are classes.
        val_fraction: Share of the training clips of each class that becomes val if the index has no val.
        seed: Seed of that choice.
    """

    def __init__(
        self,
        *,
        index: Text,
        files: dict[str, str],
        steps: dict[str, Count] | None = None,
        align: Literal["start", "end"] = "start",
        edges: Edges | None = None,
        val_fraction: Rate = 0.2,
        seed: Whole = 0,
    ) -> None:
        if unknown := [modality for modality in steps or {} if modality not in files]:
            raise UserError(f"features.steps: {unknown[0]!r} has no file; allowed: {', '.join(files)}")
        self.index, self.files, self.steps, self.align = index, files, steps or {}, align
        self.edges, self.val_fraction, self.seed = edges, val_fraction, seed

    def read_arrays(self, raw: Path) -> Arrays:
        """Return the clips below a raw folder; see `ArrayReader`."""
        entries = read_index(raw / self.index, self.edges)
        members = divide(entries, self.val_fraction, self.seed, raw / self.index)
        sources = {
            modality: Source(raw / file, modality, self.steps.get(modality), self.align)
            for modality, file in self.files.items()
        }
        for entry in entries:  # before anything is read
            for source in sources.values():
                source.place_of(entry)
        example = members["train"][0]
        return Arrays(
            modalities={name: {"shape": list(source.read(example).shape)} for name, source in sources.items()},
            dtype="<f4",
            columns=("clip",),
            splits=(
                SplitArrays(
                    split,
                    [entry.label for entry in members[split]],
                    {name: source.chunks(members[split], example) for name, source in sources.items()},
                    [(entry.clip,) for entry in members[split]],
                )
                for split in SPLITS
            ),
            num_files=1 + len(sources),
        )


class Source:
    """File with the features of one modality.

    Args:
        path: The file.
        modality: The modality.
        steps: Length to which sequences are brought; None to leave them as they are.
        align: As of `Features`.
    """

    def __init__(self, path: Path, modality: str, steps: int | None, align: str) -> None:
        self.path, self.modality, self.steps, self.align = path, modality, steps, align
        self.file = open_features(path)

    def place_of(self, entry: Entry) -> str | int:
        """Key or row of a clip's features.

        Raises:
            UserError: The index does not name it, or the file does not have it.
        """
        named = entry.row.get(self.modality)
        if self.file.keys is not None:
            key = named or entry.clip
            if key not in self.file.keys:
                raise UserError(f"{entry.place}: {self.path.name} has no array {key!r}; clip {entry.clip!r} needs it")
            return key
        if named is None or not named.isdecimal() or int(named) >= self.file.num_rows:
            found = "no such column" if named is None else repr(named)
            raise UserError(
                f"{entry.place}: {self.path.name} holds one array of {self.file.num_rows} rows; column "
                f"{self.modality!r} must name the row of clip {entry.clip!r}, from 0; found {found}"
            )
        return int(named)

    def read(self, entry: Entry) -> NDArray[np.float32]:
        """Return the features of a clip, [dim] or [steps, dim].

        Raises:
            UserError: They cannot be read, are no features, or hold a number that is not finite.
        """
        where = f"{self.path}: clip {entry.clip!r}"
        try:
            array = self.file.read(self.place_of(entry)).astype(np.float32)
        except READ_ERRORS as error:
            raise UserError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
        if array.ndim not in (1, 2) or array.size == 0:
            raise UserError(f"{where}: has the shape {list(array.shape)}; allowed: [dim] or [steps, dim]")
        if not np.isfinite(array).all():
            raise UserError(
                f"{where}: {np.sum(~np.isfinite(array))} of {array.size} numbers are NaN, infinite or too large for "
                "float32; replace them, or leave the clip out of the index"
            )
        if self.steps is None:
            return array
        if array.ndim == 1:
            raise UserError(
                f"{where}: has the shape {list(array.shape)} without steps; leave {self.modality!r} out of "
                "features.steps"
            )
        missing = max(self.steps - len(array), 0)
        if self.align == "end":
            return np.pad(array[-self.steps :], ((missing, 0), (0, 0)))
        return np.pad(array[: self.steps], ((0, missing), (0, 0)))

    def chunks(self, entries: Sequence[Entry], example: Entry) -> Iterator[NDArray[np.float32]]:
        """Yield the features of clips, [k, *shape], all of the shape of an example.

        Raises:
            UserError: A clip has features of another shape.
        """
        shape = self.read(example).shape
        for start in range(0, len(entries), CHUNK):
            arrays = [self.read(entry) for entry in entries[start : start + CHUNK]]
            for entry, array in zip(entries[start:], arrays, strict=False):
                if array.shape != shape:
                    raise UserError(
                        f"{self.path}: clip {entry.clip!r} has the shape {list(array.shape)}, but clip "
                        f"{example.clip!r} {list(shape)}; features.steps: "
                        f"{{{self.modality}: <steps>}} brings sequences to one length"
                    )
            yield np.stack(arrays)
