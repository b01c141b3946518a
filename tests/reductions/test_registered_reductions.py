"""Every reduction: what is left, always the same."""

import numpy as np
import pytest
import torch

from avbalance import registry
from avbalance.errors import UserError
from registered import names

SPECS = {"projection": {"projection": {"num": 7}}, "subset": {"subset": {"num": 7}}}
"""Of the kinds that need options."""
FEATURES = torch.arange(3 * 4 * 5 * 2, dtype=torch.float32).reshape(3, 4, 5, 2)  # 3 clips, 4 channels, 5 x 2 positions


@pytest.mark.parametrize(("name", "expected"), [("full", 40), ("mean", 4), ("projection", 7), ("subset", 7)])
def test_the_number_of_features_that_are_left(name: str, expected: int) -> None:
    assert registry.load("feature_reduction", SPECS.get(name, name), (4, 5, 2)).num_features == expected


@pytest.mark.parametrize("name", names("feature_reduction"))
def test_clips_are_reduced_each_by_itself_and_always_alike(name: str) -> None:
    reduce, again = (registry.load("feature_reduction", SPECS.get(name, name), (4, 5, 2)) for _ in range(2))
    assert reduce.num_given == 40
    random = torch.get_rng_state()
    reduced = reduce(FEATURES)
    assert reduced.shape == (3, reduce.num_features)
    assert torch.equal(torch.get_rng_state(), random)
    torch.testing.assert_close(torch.cat([again(FEATURES[2:]), again(FEATURES[:2])]), reduced[[2, 0, 1]])


def test_means_are_over_positions() -> None:
    reduce = registry.load("feature_reduction", "mean", (4, 5, 2))
    assert reduce(FEATURES)[0].tolist() == [4.5, 14.5, 24.5, 34.5]  # of 0 ... 9, 10 ... 19, and so on
    vectors = FEATURES.flatten(1)
    assert torch.equal(registry.load("feature_reduction", "mean", (40,))(vectors), vectors)


def test_a_subset_has_each_feature_once_in_order_and_another_seed_has_others() -> None:
    first, other = (
        registry.load("feature_reduction", {"subset": {"num": 20, "seed": seed}}, (4, 5, 2))(FEATURES)[0].tolist()
        for seed in (0, 1)
    )
    assert sorted(set(first)) == first
    assert set(first) < set(range(40))
    assert first != other
    expected = np.sort(np.random.default_rng(0).choice(40, 20, replace=False))
    assert first == expected.tolist()


@pytest.mark.parametrize("name", ["projection", "subset"])
def test_a_layer_with_fewer_features_keeps_all(name: str) -> None:
    reduce = registry.load("feature_reduction", {name: {"num": 41}}, (4, 5, 2))
    assert reduce.num_features == 40
    assert torch.equal(reduce(FEATURES), FEATURES.flatten(1))
    with pytest.raises(UserError, match="num is 0, but must be at least 1"):
        registry.load("feature_reduction", {name: {"num": 0}}, (4, 5, 2))


def test_a_projection_keeps_squared_lengths_on_average() -> None:
    vectors = torch.randn(50, 400, generator=torch.Generator().manual_seed(1))
    reduced = registry.load("feature_reduction", {"projection": {"num": 200}}, (400,))(vectors)
    ratio = reduced.square().sum(dim=1) / vectors.square().sum(dim=1)
    assert ratio.mean() == pytest.approx(1, abs=0.05)  # each has deviation (2 / 200) ** 0.5 = 0.1
