"""Do the intervals of figures over datasets contain what they should?

Gains: tables are generated on several datasets in which no row is better (comparisons.py). By how far the rows vary
between seeds,

    one        share of the rows whose 95 % interval of the mean gain over the first row contains 0
    all        share of the tables in which the simultaneous intervals of all rows do

Correlations: methods are drawn from a population with a correlation, and each is trained with three seeds. By the
number of methods, the correlation and the deviation between seeds in that between methods,

    methods    share of the 95 % intervals that contain the correlation of ever more such means, methods drawn anew
    both       the same if seeds are drawn anew within each method as well
"""

import argparse
from collections.abc import Iterator

import numpy as np
from comparisons import regimes, tables
from measure import print_conditions, print_table
from numpy.typing import NDArray

from avbalance.results.over_methods import rank_correlations, spearman
from avbalance.results.statistics import ALPHA, contrast, mean_difference, sample


def gains(number: int, num_data: int = 3) -> Iterator[list[str]]:
    """A line a regime."""
    for name, regime in regimes(np.random.default_rng(1)).items():
        drawn = [tables(regime, number, np.random.default_rng(10 + data)) for data in range(num_data)]
        one: list[list[bool]] = []
        simultaneous: list[list[bool]] = []
        for datasets in zip(*drawn, strict=True):
            samples = [sample(rows) for rows, _ in datasets]
            others = [row for row in samples[0] if row != "0"]
            contrasts = {row: [contrast(each[row], each["0"]) for each in samples] for row in others}
            for found, num_compared in ((one, 1), (simultaneous, len(others))):
                compared = [mean_difference(contrasts[row], num_compared) for row in others]
                found.append([each.low <= 0 <= each.high for each in compared])
        yield [name, f"{np.mean(one):.2f}", f"{np.all(simultaneous, axis=1).mean():.2f}"]


def trained(k: int, rho: float, deviation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two values of each method and seed, [2, methods, 3]."""
    methods = np.linalg.cholesky([[1, rho], [rho, 1]]) @ rng.normal(size=(2, k))
    return methods[:, :, None] + deviation * rng.normal(size=(2, k, 3))


def drawn_twice(values: NDArray[np.float64], rng: np.random.Generator, draws: int = 500) -> tuple[float, float]:
    """Interval from methods and seeds drawn anew."""
    k = values.shape[1]
    methods, seeds = rng.integers(0, k, (draws, k, 1)), rng.integers(0, 3, (draws, k, 3))
    x, y = values[:, methods, seeds].mean(axis=3)
    low, high = np.quantile(spearman(x, y), [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def correlations(number: int) -> Iterator[list[str]]:
    """A line a case."""
    rng = np.random.default_rng(3)
    for k in (8, 15, 45):
        for rho in (0.0, 0.5, 0.8):
            for deviation in (0.5, 1.5):
                x, y = trained(100_000, rho, deviation, rng).mean(axis=2)
                true = float(spearman(x[None], y[None])[0])
                contained: dict[str, list[bool]] = {"methods": [], "both": []}
                for _ in range(number):
                    values = trained(k, rho, deviation, rng)
                    x, y = values.mean(axis=2)
                    of_data = rank_correlations(x[None], y[None], draws=500)[0]
                    assert of_data is not None
                    low, high = drawn_twice(values, rng)
                    contained["methods"].append(of_data.low <= true <= of_data.high)
                    contained["both"].append(low <= true <= high)
                shares = (f"{np.mean(each):.2f}" for each in contained.values())
                yield [str(k), f"{rho:.1f}", f"{deviation:.1f}", f"{true:.2f}", *shares]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=300, help="generated, a regime or case")
    arguments = parser.parse_args()
    print_conditions(tables=arguments.tables)
    print_table(["regime", "one", "all"], gains(arguments.tables))
    print_table(["methods", "rho", "seeds", "true", "methods", "both"], correlations(arguments.tables))


if __name__ == "__main__":
    main()
