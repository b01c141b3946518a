"""Labels of points that overlap neither each other nor the points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

SIZE = 6.0
GAP = 4.0
"""Points between a mark and its label."""
PLACES = (("left", 1, 0), ("right", -1, 0), ("center", 0, 1), ("center", 0, -1), ("left", 1, 1), ("right", -1, 1),
          ("left", 1, -1), ("right", -1, -1))  # fmt: skip
"""(alignment, direction right, direction up) of a label at its point, in the order in which they are tried."""


def label_points(figure: Figure, panels: Sequence[tuple[Axes, NDArray[np.float64], Sequence[str]]]) -> None:
    """Label the points of each panel, those far from the others first; a label that finds no free place is left out.

    Args:
        panels: Axes with points [n, 2] in data coordinates, and their labels.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # as drawn, so that labels stay where they fit
    for axes, points, labels in panels:
        places = axes.transData.transform(points)
        taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in places]
        distances = np.sort(np.linalg.norm(places[:, None] - places[None], axis=2), axis=1)[:, 1:4].sum(axis=1)
        for index in np.argsort(-distances, kind="stable"):
            for align, right, up in PLACES:
                text = axes.annotate(
                    labels[index], points[index], (GAP * right, GAP * up), "data", "offset points",
                    ha=align, va={1: "bottom", 0: "center", -1: "top"}[up], fontsize=SIZE, color="#374151",
                )  # fmt: skip
                text.set_in_layout(False)
                box = text.get_window_extent(renderer).expanded(1.08, 1.0).padded(1.0)
                inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
                own = taken[index]
                if inside and not any(box.overlaps(other) for other in taken if other is not own):
                    taken.append(box)
                    break
                text.remove()
