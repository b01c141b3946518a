from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from avbalance.errors import UserError
from avbalance.results.plots.angles import Angles
from avbalance.results.plots.base import FigureRow
from avbalance.results.runs import Runs

PublishRow = Callable[..., FigureRow]


def of_angles(**degrees: list[float]) -> dict[str, Any]:
    predictions = {"test_label": [0, 1], "test_logits": [0, 1]}
    return predictions | {f"test_angle_{m}": np.array(values, np.float16) for m, values in degrees.items()}


@pytest.fixture
def rows(publish_row: PublishRow) -> dict[str, FigureRow]:
    """Softmax has two seeds, MMCosine one."""
    softmax = [of_angles(audio=[80, 82], visual=[90, 90]), of_angles(audio=[80, 86], visual=[90, 90])]
    return {
        "softmax": publish_row("Softmax", *softmax),
        "mmcosine": publish_row("MMCosine", of_angles(audio=[50, 52], visual=[61, 71])),
    }


def test_histograms_pool_the_seeds_and_have_area_one(rows: dict[str, FigureRow]) -> None:
    figure, _ = Angles().draw(rows, Runs())
    audio, visual = figure.axes
    assert [axes.get_title("left") for axes in (audio, visual)] == ["Audio", "Visual"]
    values, edges, _ = audio.patches[0].get_data()
    assert edges[0] == 50
    assert edges[-1] == 92  # the first even number above 90, the largest of all angles
    # Of four clips two in [80, 82), one in [82, 84), one in [86, 88): shares over 2 degrees.
    assert {int(edges[i]): values[i] for i in np.flatnonzero(values)} == pytest.approx({80: 0.25, 82: 0.125, 86: 0.125})
    for axes in figure.axes:
        for patch in axes.patches:
            assert sum(patch.get_data()[0]) * 2 == pytest.approx(1)


def test_the_caption_holds_means_and_deviations(rows: dict[str, FigureRow]) -> None:
    _, caption = Angles().draw(rows, Runs())
    # Softmax, audio: mean 82, deviations -2, 0, -2, 4, so sqrt(24 / 4) = 2.4; MMCosine: 51 ± 1 and 66 ± 5.
    assert caption.endswith(
        "Softmax: audio 82.0 ± 2.4, visual 90.0 ± 0.0; MMCosine: audio 51.0 ± 1.0, visual 66.0 ± 5.0."
    )


def test_a_row_keeps_its_colour_in_all_panels(rows: dict[str, FigureRow]) -> None:
    figure, _ = Angles().draw(rows, Runs())
    outlines = [[patch.get_edgecolor() for patch in axes.patches[1::2]] for axes in figure.axes]
    assert outlines[0] == outlines[1]
    assert outlines[0][0] != outlines[0][1]


def test_a_row_without_angles_is_named(publish_row: PublishRow) -> None:
    rows = {"mlp": publish_row("MLP", of_angles())}
    with pytest.raises(UserError, match="row 'mlp' has no test_angle_<stream>"):
        Angles().draw(rows, Runs())
