"""Angles between clips' features and the weights of their classes."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow, Plot
from avbalance.results.plots.style import WIDTH, colours_of, legend_below
from avbalance.results.runs import Runs

BIN_DEGREES = 2
Degrees = dict[str, dict[str, NDArray[np.float64]]]
"""{label of a row: {stream: degrees [seeds x clips]}}."""


class Angles(Plot):
    """Distribution of the angle between a test clip's features and the weight of its own class.

    MMCosine (Xu et al., ICASSP 2023), Figure 4: theta_y^m = arccos(W_y^m . phi^m / (|W_y^m| |phi^m|)), a panel for
    each modality, or for each stream of a fusion that mixes the modalities.
    """

    several_rows: ClassVar[bool] = True

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Pool the seeds of each row."""
        degrees = {row.label: read_angles(name, row, runs) for name, row in rows.items()}
        means = "; ".join(
            f"{label}: " + ", ".join(f"{stream} {a.mean():.1f} ± {a.std():.1f}" for stream, a in streams.items())
            for label, streams in degrees.items()
        )
        return draw_angles(degrees), (
            f"Test clips of all seeds; each histogram has area 1. Mean ± standard deviation over clips, in degrees: "
            f"{means}."
        )


def read_angles(name: str, row: FigureRow, runs: Runs) -> dict[str, NDArray[np.float64]]:
    """{stream: degrees [seeds x clips]}.

    Raises:
        UserError: The row's head has no weights for each class.
    """
    angles_of: dict[str, list[NDArray[np.float64]]] = {}
    for folder in row.runs.values():
        predictions = runs[folder].predictions
        angles = {key: predictions[key] for key in predictions if key.startswith("test_angle_")}
        if not angles:
            raise UserError(
                f"row {name!r} has no test_angle_<stream>, which heads with a weight for each class leave; "
                f"leave the row out, or train it anew: remove {folder} and run 'snakemake --cores'"
            )
        for key, value in angles.items():
            angles_of.setdefault(key.removeprefix("test_angle_"), []).append(value.astype(np.float64))
    return {stream: np.concatenate(parts) for stream, parts in angles_of.items()}


def draw_angles(degrees: Degrees) -> Figure:
    """Draw a panel for each stream with a histogram for each row."""
    colours = colours_of(degrees)
    streams = list(dict.fromkeys(stream for row in degrees.values() for stream in row))
    everything = np.concatenate([angles for row in degrees.values() for angles in row.values()])
    first, last = np.floor(everything.min() / BIN_DEGREES), np.floor(everything.max() / BIN_DEGREES) + 1
    edges = BIN_DEGREES * np.arange(first, last + 1)
    figure = Figure(figsize=(max(WIDTH, 2.4 * len(streams)), 2.9))
    grid = figure.subplots(1, len(streams), squeeze=False, sharex=True, sharey=True)[0]
    for axes, stream in zip(grid, streams, strict=True):
        for label, row in degrees.items():
            if stream in row:
                density, _ = np.histogram(row[stream], edges, density=True)
                axes.stairs(density, edges, fill=True, color=colours[label], alpha=0.25)
                axes.stairs(density, edges, color=colours[label], lw=1.5)
        axes.set_title(stream.capitalize())
        axes.set_xlabel("angle, degrees")
        axes.grid(axis="x", visible=False)
    grid[0].set_ylabel("density")
    legend_below(figure, {label: Patch(color=colour, alpha=0.7) for label, colour in colours.items()})
    return figure
