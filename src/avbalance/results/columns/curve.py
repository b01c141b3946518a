"""Curves of methods.

A method lists its curves in `curve_names`; without it the names are checked only when the runs exist.
"""

from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run


class Curve(Column):
    """A curve that the row's balancer or loss records (`curves()`), at the epoch whose weights were kept."""

    heading = "{curve}, epoch kept"
    signed = True
    captions = ("Epoch kept: what the method recorded in the epoch whose weights were kept, in its own unit.",)

    def __init__(self, name: str, **parts: str) -> None:
        super().__init__(name, **parts)
        text = self.heading.replace("_", " ")
        self.heading = text[0].upper() + text[1:]

    def value(self, run: Run) -> Values | None:
        """[1]; None if the run has no such curve, or no epoch."""
        curve = run.history.get(self.parts["curve"])
        if curve is None or not len(curve):
            return None
        epoch = run.metrics["best_epoch"]
        return curve[epoch - 1 : epoch]
