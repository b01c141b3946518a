"""The look that all figures share."""

from collections.abc import Collection, Mapping
from textwrap import fill
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from avbalance.errors import UserError

WIDTH = 5.6
"""Inches."""
# Okabe & Ito's palette, which is distinct under every common colour blindness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#111827")
JOINT = "#374151"
"""Colour of the joint prediction."""
STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,  # a label's $ is a dollar
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "avbalance",
}


def colours_of(names: Collection[str]) -> dict[str, str]:
    """Return {name: colour}.

    Raises:
        UserError: There are more names than colours.
    """
    if len(names) > len(PALETTE):
        raise UserError(f"a figure has {len(PALETTE)} colours, not {len(names)}; show fewer rows")
    return dict(zip(names, PALETTE, strict=False))


def colours_of_heads(names: Collection[str]) -> dict[str, str]:
    """{name of a modality, stream or `joint`: colour}, `joint` last."""
    colours = colours_of([name for name in names if name != "joint"])
    return colours | {"joint": JOINT} if "joint" in names else colours


def by_epoch(*panels: Axes) -> None:
    """Put whole epochs on the horizontal axis."""
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.grid(axis="x", visible=False)


def legend_below(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """Add a legend {label: handle} under all panels, in as many columns as fit."""
    longest = max(map(len, handles))
    num_columns = min(len(handles), max(1, 78 // (longest + 8)))
    labels = [fill(in_legend(label), 66) for label in handles]
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=num_columns)


def in_legend(label: str) -> str:
    """A label that matplotlib shows in a legend even if it begins with an underscore."""
    return f"\N{ZERO WIDTH SPACE}{label}" if label.startswith("_") else label
