from typing import Any

import pytest

from avbalance.registry import locate
from avbalance.results.formulas.inception import inception_features

STEM: list[Any] = ["maxpool1", "Conv2d_3b_1x1", "maxpool2"]
MIXED = [f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]
LAYERS = [*STEM, *MIXED, "AuxLogits.conv0", "AuxLogits.conv1", "avgpool"]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [("Mixed_5b", (256, 35, 35)), ("Mixed_6a", (768, 17, 17)), ("AuxLogits", (768, 1, 1)), ("avgpool", (2048, 1, 1))],
)
def test_shapes_are_those_of_the_papers_table(layer: Any, shape: tuple[int, int, int]) -> None:  # noqa: ANN401
    channels, height, width = shape
    expected = {"channels": channels, "height": height, "width": width, "features": channels * height * width}
    assert inception_features(layer) == expected


def test_these_17_probes_fit_what_the_paper_says_of_its_own() -> None:
    # Alain & Bengio, 2016, appendix C: "13 out of the 17 probes have more than 100,000 features, and 11 of those probes
    # have more than 200,000 features"; "the probe insertion point has 426,320 features".
    features = [inception_features(layer)["features"] for layer in LAYERS]
    assert len(features) == 17
    assert sum(each > 100_000 for each in features) == 13
    assert sum(each > 200_000 for each in features) == 11
    assert max(features) == 426_320


def test_it_is_registered() -> None:
    assert locate("formula", "inception_features") == ("avbalance.results.formulas.inception", "inception_features")
