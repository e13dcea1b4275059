"""Measure the error of each estimator of Shapley values at equal numbers of evaluations.

There are two games with vector outputs: 100 hidden units of a network trained on scikit-learn's digits (log-probabilities of
the true classes of 60 images), and 352 hidden units of a random tanh network (20 outputs). The error is nMSE, the mean squared
error of the Shapley modes divided by their variance. The reference is a large number of antithetic permutations; its own nMSE
is printed too.

    python examples/msa_estimators.py FOLDER      # writes FOLDER/msa_estimators.png and prints the figures
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from coterie.methods.msa import Estimator, Evidence, estimate_modes, permutation_sampling
from coterie.tasks.module_game import Features, ModuleGame

PER_PLAYER = (3, 8, 20)  # evaluations per player


def digits(hidden: int, n_images: int, steps: int) -> ModuleGame:
    torch.manual_seed(0)
    pixels, classes = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(classes)
    model = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10), nn.LogSoftmax(-1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        F.nll_loss(model(images), labels).backward()
        optimizer.step()
    right = F.one_hot(labels[:n_images], 10).bool()
    return ModuleGame(
        model.eval(),
        images[:n_images],
        Features("1", hidden),
        lambda out: out[right.repeat(len(out) // n_images, 1)],
    )


def tanh_network(hidden: int, n_images: int) -> ModuleGame:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(32, hidden), nn.ReLU(), nn.Linear(hidden, 32, bias=False), nn.Tanh(), nn.Linear(32, 1)
    )
    model[2].weight.data *= 6
    return ModuleGame(model.eval(), torch.randn(n_images, 32), Features("1", hidden))


def run(folder: Path, quick: bool = False) -> dict[str, float]:
    """Estimate, compare and draw. `quick` is a reduced version for the tests."""
    if quick:
        games, per_player, seeds = {"digits": (digits(10, 8, 20), 20)}, PER_PLAYER[:1], 1
    else:
        games = {"digits": (digits(100, 60, 200), 1000), "tanh network": (tanh_network(352, 20), 150)}
        per_player, seeds = PER_PLAYER, 2
    figures: dict[str, float] = {}
    for name, (game, orders) in games.items():
        reference = permutation_sampling(Evidence(game), np.random.default_rng(99), most=orders)
        truth, variance = reference.modes, reference.modes.var(axis=0).mean()
        figures[f"{name}: reference"] = float(np.square(reference.errors).mean() / variance)
        for factor in per_player:
            for estimator in get_args(Estimator):
                errors = []
                for seed in range(seeds):
                    evidence = Evidence(game, factor * game.n_players)
                    found = estimate_modes(evidence, estimator, np.random.default_rng(seed))
                    errors.append(np.square(found.modes - truth).mean() / variance)
                figures[f"{name}: {factor} n evaluations, {estimator}"] = float(np.mean(errors))
    gap = np.abs(found.modes.sum(axis=0) - evidence.total).max()
    draw(folder / "msa_estimators.png", figures, list(games), per_player)
    return {**figures, "largest error of efficiency": float(gap)}


def draw(path: Path, figures: dict[str, float], games: list[str], per_player: tuple[int, ...]) -> None:
    figure, axes = plt.subplots(1, len(games), figsize=(5.5 * len(games), 4), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], games, strict=True):
        for estimator in get_args(Estimator):
            errors = [figures[f"{name}: {factor} n evaluations, {estimator}"] for factor in per_player]
            axis.plot(per_player, errors, marker="o", label=estimator)
        axis.set(title=name, xlabel="evaluations per player", ylabel="nMSE of the modes", xscale="log", yscale="log")
        axis.set_xticks(per_player, [str(factor) for factor in per_player])
        axis.minorticks_off()
        axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    for figure, value in run(Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        print(f"{figure}: {value:.3g}")  # noqa: T201
