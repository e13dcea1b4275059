"""How often the ranking separates two methods: copies of one method (the target is at most 5 %), and different ones.

    python docs/tables/ranking_power.py

prints both as a table. On a simulated board, a query is hard or easy for both methods (standard deviation 1), each seed of a
method has its own level (`seed_sd`), and each pair of seed and query has noise (0.5). A second table shows how often Holm's
procedure separates any two of nine equal methods with one seed and few queries.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from coterie.leaderboard.statistics.bootstrap import Array, Difference, bootstrap_weights, holm, resample

LEVELS = (0.0, 0.1, 0.3, 2.0)
ALPHA = 0.05


def paired_difference(first: tuple[Array, Array], second: tuple[Array, Array], weights: Array) -> Difference:
    """First minus second, each a numerator and a denominator of shape (queries,) or (seeds, queries); see `Resampled.minus`.

    Raises `ValueError` if the two have different numbers of queries.
    """
    if first[0].shape[-1] != second[0].shape[-1]:
        raise ValueError(f"expected the same queries for both, got {first[0].shape[-1]} and {second[0].shape[-1]}")
    return resample(*first, weights, stream=1).minus(resample(*second, weights, stream=2))


def separated(n_seeds: int, seed_sd: float, better_by: float, boards: int, n_queries: int = 48, seed: int = 0) -> float:
    """Share of simulated boards that separate, at 5 %, two methods that differ by `better_by`."""
    rng = np.random.default_rng([seed, n_seeds, round(1000 * seed_sd)])
    weights, ones, count = bootstrap_weights(n_queries, 999), np.ones((n_seeds, n_queries)), 0
    for _ in range(boards):
        difficulty = rng.normal(size=n_queries)
        one, two = (
            difficulty + seed_sd * rng.normal(size=(n_seeds, 1)) + 0.5 * rng.normal(size=(n_seeds, n_queries))
            for _ in range(2)
        )
        p = paired_difference((one + better_by, ones), (two, ones), weights).p
        count += p is not None and p < ALPHA
    return count / boards


def any_separated(n_queries: int, boards: int, n_methods: int = 9, seed: int = 0) -> float:
    """Share of simulated boards of equal methods on which Holm's procedure separates any two at 5 %."""
    rng, weights, ones = np.random.default_rng([seed, n_queries]), bootstrap_weights(n_queries, 499), np.ones(n_queries)
    count = 0
    for _ in range(boards):
        found = [resample(row, ones, weights) for row in rng.normal(size=(n_methods, n_queries))]
        differences = [one.minus(other).p for one, other in combinations(found, 2)]
        count += min(holm([p for p in differences if p is not None])) < ALPHA
    return count / boards


def main() -> None:
    """Print both tables."""
    print(
        "seeds  seed_sd  two copies of one method  better by 0.3  better by 0.6  (2,000 and 500 boards of 48 queries)"
    )
    for n_seeds in (1, 2, 3, 5):
        for seed_sd in LEVELS:
            null = separated(n_seeds, seed_sd, 0.0, 2000)
            power = [separated(n_seeds, seed_sd, better, 500) for better in (0.3, 0.6)]
            print(f"{n_seeds:5d}  {seed_sd:7.1f}  {null:24.3f}  {power[0]:13.2f}  {power[1]:13.2f}", flush=True)
    print("queries  share of 1,000 boards on which any two of nine equal methods are separated (Holm)")
    for n_queries in (10, 20, 48):
        print(f"{n_queries:7d}  {any_separated(n_queries, 1000):.3f}", flush=True)


if __name__ == "__main__":
    main()
