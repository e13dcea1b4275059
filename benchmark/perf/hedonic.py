"""Times of the hedonic algorithms and the closed-form affinities at the size of a large layer.

``python benchmark/perf/hedonic.py [--players 14336] [--samples 50000] [--k 8]`` prints one line a step: wall seconds, CPU
seconds (what counts on a busy machine), peak memory. The affinity is that of random 64-dimensional traits.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from coterie.methods.affinity_lens import pas_lens, pas_lens_hessian
from coterie.methods.hedonic import Preferences, top_cover
from coterie.methods.pac import SizeLaw, certificate, pac_top_cover
from coterie.tasks.lens import Lens


def timed(label: str, work: Callable[[], Any]) -> Any:
    """Run it and print what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{label:<44} {wall:8.1f} s wall {cpu:8.1f} s CPU {peak:6.2f} GiB peak", flush=True)
    return result


def trait_affinity(n: int) -> np.ndarray:
    """Inner products of random traits, a diagonal of 0."""
    traits = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32)
    phi: np.ndarray = traits @ traits.T
    np.fill_diagonal(phi, 0)
    return phi


def random_lens(n: int, outputs: int, width: int) -> Lens:
    """A lens of that size with random numbers in it."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Lens(normal(outputs, width), normal(1, outputs, n), normal(1, n, width) / width, normal(width), 1e-5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=14_336)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--outputs", type=int, default=0, help="also time pas-lens on so many outputs")
    options = parser.parse_args()
    n, k = options.players, options.k
    phi = timed(f"affinity of {n} players (given)", lambda: trait_affinity(n))
    preferences = timed("preferences", lambda: Preferences.of(phi))
    timed("exact top-cover", lambda: top_cover(preferences, k))
    for law in (SizeLaw(k + 1), SizeLaw(3, 10)):
        name = f"sizes {law.low}..{law.high or n}"
        sampled = partial(pac_top_cover, preferences, k, law, options.samples, 1, np.random.default_rng(0))
        groups, tally = timed(f"PAC-Top-Cover, {options.samples} samples, {name}", sampled)
        print(f"    {tally}, {len(groups)} coalitions, largest {max(map(len, groups))}")
        proof = partial(certificate, preferences, groups, k, law, options.samples, np.random.default_rng(1))
        print("   ", timed(f"certificate, {options.samples} draws, {name}", proof))
    if options.outputs:
        del phi, preferences
        lens = random_lens(n, options.outputs, 4096)
        timed(f"pas-lens-hessian, {options.outputs} outputs", lambda: pas_lens_hessian(lens))
        timed(f"pas-lens, {options.outputs} outputs", lambda: pas_lens(lens))


if __name__ == "__main__":
    main()
