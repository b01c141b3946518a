from collections.abc import Callable

from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.confusion import Confusion, count
from avbalance.results.runs import Runs


def test_confusion_counts_are_summed_over_seeds(runs: Callable[..., str]) -> None:
    row = FigureRow("Better", [{"seed": seed, "run": f"results/runs/better-s{seed}"} for seed in (0, 1)])
    # Labels 0 1 2 0 1 2 0 1 twice; the second seed says 2 for the last clip, whose label is 1.
    assert count(row.runs, Runs()).tolist() == [[6, 0, 0], [0, 5, 1], [0, 0, 4]]
    figure, caption = Confusion().draw({"better": row}, Runs())
    assert [text.get_text() for text in figure.axes[0].texts] == ["6", "5", "1", "4"]
    assert caption == "Test clips, summed over seeds 0, 1; 93.8 % lie on the diagonal."  # 15 of 16
