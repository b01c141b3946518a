"""Interface of columns, and lookup of a column by name."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from itertools import product
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.ranges import LARGEST
from avbalance.registry import nearest
from avbalance.results.columns import REGISTRY
from avbalance.results.runs import Run

PLACEHOLDER = re.compile(r"<(\w+)>")
Role = Literal["run", "probe", "alone", "layers"]
"""A kind of artifact behind a row."""
Values = NDArray[np.float64]
"""Values of one seed: [clips], [videos], or [1] where a clip has none of its own."""
Entry = Mapping[str, Any]
"""Artifacts of one row and seed: {"seed", "run": folder, "probe": folder or None, "alone": {modality: folder}}.

A row with `probe` also has "layers": {"probe": folder, "layers": [names or patterns], "snapshot": steps or None}.
"""


def artifacts_behind(rows: Mapping[str, Iterable[Entry]]) -> Iterator[str]:
    """Yield the folders of all runs and probes behind rows."""
    for entry in (entry for entries in rows.values() for entry in entries):
        probes = [entry["probe"], entry.get("layers", {}).get("probe")]
        yield from filter(None, [entry["run"], *probes, *entry["alone"].values()])


class Header(NamedTuple):
    """Name, heading and number format of a column.

    Attributes:
        better: 1 if higher is better, -1 if lower is better, 0 if neither is.
    """

    name: str
    heading: str
    unit: str
    digits: int
    better: int


class RowTraits(NamedTuple):
    """Properties of a row, known before anything runs, that decide which columns the row has.

    Attributes:
        task: Task of its dataset.
        has_videos: True if a clip is a window of a video.
        has_probe: True if the row probes layers.
        curves: Names of the curves that its balancer and loss record; None if one of them does not declare them.
        has_weights: False if it combines the predictions of other runs.
    """

    task: str
    modalities: tuple[str, ...]
    has_videos: bool
    has_probe: bool
    curves: tuple[str, ...] | None
    has_weights: bool = True


class Column:
    """A column of tables: a value for each row and seed, computed from the row's artifacts.

    A subclass sets the class attributes and overrides `value`. The registry gives the pattern of its names; the parts
    of a name that stand for a placeholder are in `parts`, for `acc_<modality>_alone` {"modality": "audio"}.

    Attributes:
        heading: Text of the header cell; {modality} is replaced by that part of the name, {Modality} by the part with
            a capital.
        unit: `%` and `points` are at most 100.
        digits: Number of decimals.
        better: As of `Header`.
        signed: True if values can be negative.
        exact: True if no seed changes the value.
        captions: Sentences printed below a table with this column.
        tasks: Tasks of the datasets that have this column.
        reads: Artifacts that the value is computed from.
        monitored: True if every row needs `training: {monitor: true}`.
        joins: True if a row that joins others has this column; `joined` then gives its value.
    """

    heading: str
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 3
    better: ClassVar[int] = 0
    signed: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    captions: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label", "verification")
    reads: ClassVar[tuple[Role, ...]] = ("run",)
    monitored: ClassVar[bool] = False
    joins: ClassVar[bool] = False

    def __init__(self, name: str, **parts: str) -> None:
        self.name, self.parts = name, parts
        capitals = {part.capitalize(): text.capitalize() for part, text in parts.items()}
        self.heading = self.heading.format(**parts, **capitals)

    @property
    def modality(self) -> str:
        """The modality or head that the name speaks of; empty if there is none."""
        return self.parts.get("modality", self.parts.get("head", ""))

    @property
    def kind(self) -> str:
        """Heading without the modality."""
        return " ".join(re.sub(r"\{\w+\}", "", type(self).heading).split())

    @property
    def header(self) -> Header:
        """Printed form."""
        return Header(self.name, self.heading, self.unit, self.digits, self.better)

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest value."""
        high = 100 if self.unit in ("%", "points") else LARGEST
        return -high if self.signed else 0, high

    @classmethod
    def applies(cls, traits: RowTraits) -> bool:
        """Return True if such a row has the column, whatever the parts of its name."""
        return traits.task in cls.tasks and (traits.has_weights or "probe" not in cls.reads)

    def fits(self, traits: RowTraits) -> bool:
        """Return True if such a row has the column of this name."""
        choices = {part: choices_of(part, traits) for part in self.parts}
        return self.applies(traits) and all(
            choices[part] is None or text in (choices[part] or ()) for part, text in self.parts.items()
        )

    def sources(self, entry: Entry) -> list[str]:
        """Folders of the artifacts that the value is computed from; none if the row has no such column."""
        (role,) = self.reads
        folder = entry[role]
        return [] if folder is None else [folder]

    def value(self, run: Run) -> Values | None:
        """Values of one seed in the column's unit.

        Args:
            run: The run or the probes that `sources` names.

        Returns:
            [clips], [videos] or [1]; None if the run or the task of its data has no such column.
        """
        raise NotImplementedError

    def value_of_entry(self, entry: Entry, runs: Sequence[Run]) -> Values | None:
        """Values of one seed; override it instead of `value` if they take more than one run, or the entry itself.

        Args:
            runs: Those that `sources` names, in that order.
        """
        return self.value(runs[0])

    def joined(self, parts: Sequence[Run]) -> Values | None:
        """Values of one seed of a row that joins others; None if a part has no such column."""
        raise NotImplementedError

    def remark(self, run: Run, value: Values) -> str:
        """Remark on the values, for the table's caption; empty if there is none."""
        return ""

    def reason(self, run: Run) -> str:
        """Reason why a run has no value of a column that similar runs have; empty if none is known."""
        return ""


def choices_of(part: str, traits: RowTraits) -> Collection[str] | None:
    """Texts that a placeholder stands for in such a row; None if any text is possible before the runs exist."""
    return {
        "modality": traits.modalities,
        "head": ("joint", *traits.modalities),
        "list": None,
        "curve": traits.curves,
    }[part]


def names_of(traits: RowTraits) -> list[str]:
    """Names of all columns that such a row has, in the order of the registry; `<list>` stays as it is."""
    names = []
    for pattern in REGISTRY:
        if class_of(pattern).applies(traits):
            parts = PLACEHOLDER.findall(pattern)
            for texts in product(*(_or_placeholder(part, choices_of(part, traits)) for part in parts)):
                name = pattern
                for part, text in zip(parts, texts, strict=True):
                    name = name.replace(f"<{part}>", text)
                names.append(name)
    return names


def _or_placeholder(part: str, choices: Collection[str] | None) -> Collection[str]:
    return [f"<{part}>"] if choices is None else choices


@cache
def match_column(name: str) -> Column | None:
    """The column of a name; None if there is none.

    A name with a colon, `mypackage.module:MyColumn`, is a column from outside.
    """
    if ":" in name:
        return class_of(name)(name)
    for pattern in REGISTRY:
        named = PLACEHOLDER.sub(r"(?P<\1>\\w+)", pattern)
        if match := re.fullmatch(named, name):
            return class_of(pattern)(name, **match.groupdict())
    return None


def find_column(name: str) -> Column:
    """The column of a name.

    Raises:
        UserError: It does not exist; gives the nearest name.
    """
    column = match_column(name)
    if column is None:
        raise UserError(f"column {name!r} does not exist; {nearest(name, list(REGISTRY))}")
    return column


def class_of(pattern: str) -> type[Column]:
    """The class that the registry names for a pattern."""
    module, name = place_of(pattern).split(":")
    try:
        column: type[Column] = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"column {pattern!r} cannot be imported: {error}") from error
    return column


def place_of(pattern: str) -> str:
    """`module:class` of a pattern, or of a name from outside."""
    return pattern if ":" in pattern else f"{__package__}.{REGISTRY[pattern]}"


def places_of(names: Iterable[str]) -> list[str]:
    """`module:class` of each column."""
    classes = [type(find_column(name)) for name in names]
    return sorted({f"{each.__module__}:{each.__name__}" for each in classes})
