"""Hedonic algorithms and closed-form affinities at the size of a large layer, n = 14,336.

`python -m coterie.benchmark.perf.hedonic [--players 14336] [--samples 50000] [--k 8]` instead prints a line per step: wall
seconds, CPU seconds (which a busy machine does not distort) and peak memory. The affinity is that of random 64-dimensional
traits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from coterie.benchmark.perf.measuring import peak_gib, timed
from coterie.benchmark.perf.row import NONE, Row
from coterie.methods.affinity_lens import pas_lens, pas_lens_hessian
from coterie.methods.hedonic import Preferences, top_cover
from coterie.methods.pac import SizeLaw, certificate, pac_top_cover
from coterie.tasks.lens import Lens

Result = TypeVar("Result")
_K = 8  # friends that count
_LARGE = 14_336
_LIMITS = {"second order": (pas_lens_hessian, 120), "exact": (pas_lens, 600)}  # seconds


def trait_affinity(n: int) -> np.ndarray:
    """Inner products of random traits, shape (n, n), with a zero diagonal."""
    traits = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32)
    phi: np.ndarray = traits @ traits.T
    np.fill_diagonal(phi, 0)
    return phi


def random_lens(n: int, outputs: int, width: int) -> Lens:
    """A lens of this size with random numbers."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Lens(normal(outputs, width), normal(1, outputs, n), normal(1, n, width) / width, normal(width), 1e-5)


def naive_top_cover(phi: np.ndarray, k: int, law: SizeLaw, samples: int, rng: np.random.Generator) -> list[set[int]]:
    """PAC-Top-Cover as published: every round draws a batch, every player checks every sample, the smallest closure leaves."""
    left, groups = set(range(len(phi))), []

    def choice(i: int, members: set[int]) -> tuple[int, ...]:
        friends = [j for j in members if j != i and phi[i, j] > 0]
        return tuple(sorted(friends, key=lambda j: -phi[i, j])[:k])

    while left:
        players = sorted(left)
        wanted: dict[int, set[int]] = {i: {i} for i in left}
        best: dict[int, tuple[float, tuple[int, ...]]] = {}
        for _ in range(2):  # the batch that determines the best sample, and one refinement
            for masks in law.draw(rng, len(players), samples):
                for mask in masks:
                    sample = {players[j] for j in np.flatnonzero(mask)}
                    for i in sample:
                        chosen = choice(i, sample)
                        utility = float(sum(phi[i, j] for j in chosen))
                        if i not in best or utility > best[i][0]:
                            best[i], wanted[i] = (utility, chosen), set(sample)
                        elif chosen == best[i][1]:
                            wanted[i] &= sample
        closures = []
        for i in players:
            closure, waiting = {i}, [i]
            while waiting:
                new = wanted[waiting.pop()] - closure
                closure |= new
                waiting += new
            closures.append(closure)
        groups.append(min(closures, key=len))
        left -= groups[-1]
    return groups


def rows() -> list[Row]:
    """The published loop at sizes where it finishes, growth with n, and the affinities through a lens at n = 14,336."""
    _seconds(50, 50)  # compiles
    return [_published_row(), _growth_row(), *_lens_rows()]


def _seconds(n: int, samples: int) -> float:
    """Seconds of our PAC-Top-Cover."""
    preferences = Preferences.of(trait_affinity(n))
    rng = np.random.default_rng(0)
    return timed(lambda: pac_top_cover(preferences, _K, SizeLaw(_K + 1), samples, 1, rng))[1]


def _published_row() -> Row:
    samples, naive, ours = 300, {}, {}
    for n in (40, 80):
        phi, rng = trait_affinity(n), np.random.default_rng(0)
        naive[n] = timed(partial(naive_top_cover, phi, _K, SizeLaw(_K + 1), samples, rng))[1]
        ours[n] = _seconds(n, samples)
    return Row(
        work=f"PAC-Top-Cover, n = 80, k = {_K}, {samples} samples per batch",
        ours=f"{ours[80]:.3f} s (n = 40: {ours[40]:.3f})",
        against=f"published loop: {naive[80]:.1f} s (n = 40: {naive[40]:.1f})",
        figure=f"{naive[80] / ours[80]:.0f}",
        target=NONE,
        met=None,
        values={"naive": naive, "ours": ours},
    )


def _growth_row() -> Row:
    growth = {n: _seconds(n, 50_000) for n in (_LARGE // 4, _LARGE // 2, _LARGE)}
    exponent = np.log2(growth[_LARGE] / growth[_LARGE // 2])
    return Row(
        work=f"PAC-Top-Cover, n = {_LARGE:,}, k = {_K}, 50,000 samples",
        ours=f"{growth[_LARGE]:.1f} s",
        against=", ".join(f"n = {n}: {value:.1f} s" for n, value in growth.items() if n < _LARGE),
        figure=f"grows as n^{exponent:.2f} in the last doubling",
        target="< 60 s",
        met=growth[_LARGE] < 60,
        values={"seconds": growth, "exponent": exponent},
    )


def _lens_rows() -> list[Row]:
    lens, found = random_lens(_LARGE, 500, 4096), []
    for name, (affinity, limit) in _LIMITS.items():
        seconds = timed(partial(affinity, lens))[1]
        peak = peak_gib()
        found.append(
            Row(
                work=f"all-pairs PAS through the lens, {name}: n = {_LARGE:,}, d = 4,096, 500 texts",
                ours=f"{seconds:.1f} s, peak {peak:.1f} GiB",
                against="280 min on 4 x A100 (the paper, on its readout)",
                figure=f"{seconds:.1f} s",
                target=f"< {limit} s, < 6 GB",
                met=seconds < limit and peak * 2**30 < 6e9,
                values={"seconds": seconds, "peak_gib": peak},
            )
        )
    return found


def _printed(label: str, work: Callable[[], Result]) -> Result:
    """Run a step and print its cost."""
    cpu = time.process_time()
    result, wall = timed(work)
    cpu = time.process_time() - cpu
    print(f"{label:<44} {wall:8.1f} s wall {cpu:8.1f} s CPU {peak_gib():6.2f} GiB peak", flush=True)
    return result


def main() -> None:
    """Print the steps at the sizes of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=_LARGE)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--k", type=int, default=_K)
    parser.add_argument("--outputs", type=int, default=0, help="also time pas-lens on this number of outputs")
    options = parser.parse_args()
    n, k = options.players, options.k
    phi = _printed(f"affinity of {n} players (given)", lambda: trait_affinity(n))
    preferences = _printed("preferences", lambda: Preferences.of(phi))
    _printed("exact top-cover", lambda: top_cover(preferences, k))
    for law in (SizeLaw(k + 1), SizeLaw(3, 10)):
        name = f"sizes {law.low}..{law.high or n}"
        sampled = partial(pac_top_cover, preferences, k, law, options.samples, 1, np.random.default_rng(0))
        groups, tally = _printed(f"PAC-Top-Cover, {options.samples} samples, {name}", sampled)
        print(f"    {tally}, {len(groups)} coalitions, largest {max(map(len, groups))}")
        proof = partial(certificate, preferences, groups, k, law, options.samples, np.random.default_rng(1))
        print("   ", _printed(f"certificate, {options.samples} draws, {name}", proof))
    if options.outputs:
        del phi, preferences
        lens = random_lens(n, options.outputs, 4096)
        _printed(f"pas-lens-hessian, {options.outputs} outputs", lambda: pas_lens_hessian(lens))
        _printed(f"pas-lens, {options.outputs} outputs", lambda: pas_lens(lens))


if __name__ == "__main__":
    main()
