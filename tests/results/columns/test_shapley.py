from itertools import combinations, permutations

import numpy as np
import pytest

from avbalance.results.columns.shapley import Coalition, shapley


@pytest.mark.parametrize("modalities", ["a", "ab", "abc", "abcd"])
def test_contributions_are_mean_gains_over_all_orders_and_sum_to_the_whole(modalities: str) -> None:
    rng = np.random.default_rng(0)
    sets: list[Coalition] = [frozenset(s) for k in range(len(modalities) + 1) for s in combinations(modalities, k)]
    worth = {shown: rng.random(5) for shown in sets}
    found = {m: shapley(worth, m) for m in modalities}
    orders = list(permutations(modalities))
    for m in modalities:
        before = [frozenset(order[: order.index(m)]) for order in orders]
        assert found[m] == pytest.approx(np.mean([worth[s | {m}] - worth[s] for s in before], axis=0))
    assert sum(found.values()) == pytest.approx(worth[frozenset(modalities)] - worth[frozenset()])


def test_a_modality_that_adds_nothing_contributes_nothing() -> None:
    worth = {frozenset(shown): np.array([70.0 if "a" in shown else 10.0]) for shown in ("", "a", "b", "ab")}
    assert (shapley(worth, "a"), shapley(worth, "b")) == (60, 0)
