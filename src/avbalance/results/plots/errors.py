"""Learning curves of several rows."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from avbalance.results.plots.base import FigureRow, Plot, read_history
from avbalance.results.plots.style import GREY, WIDTH, by_epoch, colours_of, legend_below
from avbalance.results.runs import Runs

History = dict[str, NDArray[np.float64]]
Panel = dict[str, list[History]]
"""{name of a row: its seeds' histories {column: [epochs]}}."""


class Errors(Plot):
    """Training and validation error by epoch, a panel for each dataset.

    G-Blend (Wang et al., CVPR 2020), Figure 4. Both errors are those of the model as it stands after the epoch, in
    evaluation mode, on equal numbers of clips: of train, every n-th clip. Rows need `training: {monitor: true}`.
    """

    several_rows: ClassVar[bool] = True
    reads_history: ClassVar[bool] = True

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Group the rows by their data."""
        by_data: dict[str, Panel] = {}
        for name, row in rows.items():
            histories = [
                read_history(name, folder, runs, ["seen_accuracy", "val_accuracy"], "training: {monitor: true}")
                for folder in row.runs.values()
            ]
            by_data.setdefault(runs[row.first[1]].dataset, {})[row.label] = histories
        panels = [_titled(panel) if len(by_data) > 1 else ("", panel) for panel in by_data.values()]
        several_seeds = any(len(histories) > 1 for _, panel in panels for histories in panel.values())
        return draw_errors(panels), (
            "Error after each epoch, in evaluation mode: dashed on clips of training, solid on validation."
            + " First seed bold, others thin." * several_seeds
        )


def _titled(panel: Panel) -> tuple[str, Panel]:
    """Title and rows of a panel: of rows labelled `<dataset>: <row>`, the dataset becomes the title."""
    title = next(iter(panel)).partition(": ")[0]
    return title, {label.removeprefix(f"{title}: "): histories for label, histories in panel.items()}


def draw_errors(panels: Sequence[tuple[str, Panel]]) -> Figure:
    """Draw panels (title, rows); each row has one colour in all panels."""
    colours = colours_of(list(dict.fromkeys(label for _, panel in panels for label in panel)))
    figure = Figure(figsize=(max(WIDTH, 2.6 * len(panels)), 3.6))
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, panel) in zip(grid, panels, strict=True):
        for label, histories in panel.items():
            for place, history in enumerate(histories):
                width, alpha = (1.8, 1.0) if place == 0 else (0.8, 0.35)
                for column, dashes in (("seen_accuracy", "--"), ("val_accuracy", "-")):
                    error = 100 * (1 - history[column])
                    axes.plot(history["epoch"], error, dashes, color=colours[label], lw=width, alpha=alpha)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.set_ylim(0, None)
    grid[0].set_ylabel("error, %")
    by_epoch(*grid)
    handles = {label: Line2D([], [], color=colour, lw=2) for label, colour in colours.items()}
    handles["training"] = Line2D([], [], color=GREY, lw=1.8, ls="--")
    handles["validation"] = Line2D([], [], color=GREY, lw=1.8)
    legend_below(figure, handles)
    return figure
