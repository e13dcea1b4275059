"""Hedonic games with plain sets and loops, for tiny games: the reference for the fast code."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from hypothesis import strategies as st

Wanted = dict[int, set[int]]


def affinities(most: int = 8, symmetric: bool = False) -> st.SearchStrategy[np.ndarray]:
    """Affinities of small games: integers, which often tie, or generic numbers."""

    def make(n: int, seed: int, ties: bool) -> np.ndarray:
        rng = np.random.default_rng(seed)
        phi = rng.integers(-2, 4, (n, n)).astype(np.float32) if ties else rng.normal(0.3, 1, (n, n)).astype(np.float32)
        phi = np.triu(phi) + np.triu(phi, 1).T if symmetric else phi
        np.fill_diagonal(phi, 0)
        return phi

    return st.builds(make, st.integers(1, most), st.integers(0, 10**6), st.booleans())


def choice_set(phi: np.ndarray, i: int, members: Iterable[int], k: int) -> tuple[int, ...]:
    """At most k best friends, best first."""
    friends = {j for j in members if j != i and phi[i, j] > 0}
    return tuple(sorted(friends, key=lambda j: (-phi[i, j], j))[:k])


def utility(phi: np.ndarray, i: int, members: Iterable[int], k: int) -> float:
    return float(sum(np.float64(phi[i, j]) for j in choice_set(phi, i, members, k)) / k)


def reachable(i: int, wanted: Wanted) -> frozenset[int]:
    found, waiting = {i}, [i]
    while waiting:
        for j in wanted[waiting.pop()] - found:
            found.add(j)
            waiting.append(j)
    return frozenset(found)


def peel_smallest(n: int, wanted_of: Callable[[set[int]], Wanted]) -> set[frozenset[int]]:
    """Remove the smallest closed set, one per round, as in the paper."""
    left, groups = set(range(n)), set()
    while left:
        wanted = wanted_of(left)
        smallest = min((reachable(i, wanted) for i in left), key=lambda closed: (len(closed), min(closed)))
        groups.add(smallest)
        left -= smallest
    return groups


def prefers(phi: np.ndarray, i: int, coalition: Iterable[int], own: Iterable[int], k: int) -> bool:
    coalition, own = set(coalition), set(own)
    new, old = utility(phi, i, coalition, k), utility(phi, i, own, k)
    same = choice_set(phi, i, coalition, k) == choice_set(phi, i, own, k)
    return new > old or (same and len(coalition) < len(own))
