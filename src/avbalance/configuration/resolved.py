"""Rows as planning reads them: at one scale, checked, with every default spelled out."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from avbalance.configuration import signature
from avbalance.configuration.schema import Dataset, Scale, Weights
from avbalance.configuration.table_schema import Combining, Row
from avbalance.registry import METHODS_OF_ROW, Method


@dataclass(frozen=True)
class Scope:
    """A scale, and the datasets and models that rows may name at it.

    Attributes:
        resolved: {fields of a row: the row without a label} of the rows read so far.
    """

    scale: Scale
    datasets: Mapping[str, Dataset]
    models: Mapping[str, Weights]
    resolved: dict[str, "ResolvedRow"] = field(default_factory=dict)

    @cached_property
    def modalities(self) -> set[str]:
        """Names of the modalities of all datasets."""
        return {modality for dataset in self.datasets.values() for modality in dataset.modalities}

    @cached_property
    def training(self) -> dict[str, Any]:
        """Settings of training that the scale gives."""
        return self.scale.training.model_dump(exclude_unset=True)

    def methods(self, kind: str, dataset: str) -> dict[str, dict[str, Any]]:
        """{name: options} of methods of a kind that replace those of rows on a dataset."""
        changed = self.scale.datasets.get(dataset)
        return {**_of_kind(self.scale.methods, kind), **_of_kind(changed.methods if changed else {}, kind)}

    def snapshot(self, dataset: str, step: int) -> int:
        """Snapshot that stands for one of a row on a dataset, both in optimiser steps."""
        changed = self.scale.datasets.get(dataset)
        return changed.snapshots.get(step, step) if changed else step


@dataclass(frozen=True)
class ResolvedProbe:
    """Linear probes on layers of one of a row's encoders.

    Attributes:
        modality: Modality of the encoder.
        dataset: Dataset whose clips and labels are probed.
        layers: Names and patterns of layers.
        snapshot: Number of optimiser steps after which the weights were kept; None for the run's weights.
    """

    modality: str
    dataset: str
    layers: list[str]
    snapshot: int | None
    reduction: Method


Options = dict[str, dict[str, Any]]
"""Everything that a trial may change, spelled out: {kind: method} of `METHODS_OF_ROW`, and `training`."""


@dataclass(frozen=True)
class ResolvedRow:
    """A run without its seed, and what is measured of it; every default is spelled out.

    Attributes:
        label: Name of the row in tables and figures.
        encoders: {modality: encoder}.
        methods: {kind: method}, one of each kind in `METHODS_OF_ROW`.
        starts: {modality, or `head`: uni-modal row whose trained weights it starts from, or the name of a model}.
        training: Every key of `schema.Training`.
        combine: Ensemble of runs of this row, or of its uni-modal ones, that takes the place of a run.
        trials: Options to choose from, the row's own first; empty for a row that is not tuned at this scale.
    """

    label: str
    dataset: str
    encoders: dict[str, Method]
    methods: dict[str, Method]
    starts: Mapping[str, "ResolvedRow | str"]
    training: dict[str, Any]
    probe: ResolvedProbe | None
    combine: Combining | None = None
    trials: list[Options] = field(default_factory=list)

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities."""
        return list(self.encoders)

    @property
    def options(self) -> Options:
        """The row's own options."""
        return {**self.methods, "training": self.training}

    def untuned(self, options: Options | None = None) -> "ResolvedRow":
        """The row without trials, as it is or with other options."""
        methods = dict(self.options if options is None else options)
        return replace(self, training=methods.pop("training"), methods=methods, trials=[])

    def alone(self, modality: str, head: Method | None = None) -> "ResolvedRow":
        """Uni-modal row of one modality: same data, encoder, budget and start, unless that start is this very row."""
        methods = {kind: default(kind) for kind in METHODS_OF_ROW}
        starts = {
            part: start
            for part, start in self.starts.items()
            if part == modality and (isinstance(start, str) or start.dataset != self.dataset)
        }
        return replace(
            self,
            label="",
            encoders={modality: self.encoders[modality]},
            methods={**methods, "head": head or methods["head"]},
            starts=starts,
            probe=None,
            combine=None,
            trials=[],
        )


def _of_kind(methods: Mapping[Any, dict[str, dict[str, Any]]], kind: str) -> dict[str, dict[str, Any]]:
    return methods.get(kind, {})


@cache
def default(kind: str) -> Method:
    """Method of a kind that a row has if it names none."""
    return signature.resolve(kind, Row.model_fields[kind].default)
