"""MSA's first setting: regularisation concentrates the work of a small network in a few hubs.

Three networks learn scikit-learn's digits: one without regularisation, one with weight decay and one with an L1 penalty. The
players are their hidden units, and the outputs are the log-probabilities of all ten classes for test images (a logit would be
additive in the last hidden layer). The Gini index of the modes' magnitudes measures how unequal the contributions are.

    python examples/msa_mlp.py FOLDER      # writes FOLDER/msa_mlp.png and prints the figures
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from coterie.methods.msa import Evidence, estimate_modes
from coterie.tasks.module_game import Features, ModuleGame

NETWORKS: dict[str, tuple[float, float]] = {  # weight decay, L1 penalty on all weights
    "no regularisation": (0.0, 0.0),
    "weight decay": (0.3, 0.0),
    "L1": (0.0, 3e-4),
}


def train(images: Tensor, labels: Tensor, hidden: int, decay: float, l1: float, steps: int) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=decay)
    for _ in range(steps):
        penalty = sum(p.abs().sum() for p in model.parameters())
        loss = F.cross_entropy(model(images), labels) + l1 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def gini(values: np.ndarray) -> float:
    """Gini index: 0 if all values are equal, towards 1 if one value has the whole sum."""
    ordered, n = np.sort(values), len(values)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def run(folder: Path, quick: bool = False) -> dict[str, float]:
    """Train, analyse and draw. `quick` is a reduced version for the tests."""
    hidden, steps, budget, n_images = (12, 60, 60, 20) if quick else (48, 800, 1000, 100)
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits)
    log_probabilities: Callable[[Tensor], Tensor] = lambda logits: torch.log_softmax(logits, dim=-1)  # noqa: E731
    figures, magnitudes, by_class = {}, {}, {}
    for name, (decay, l1) in NETWORKS.items():
        model = train(images[:1200], labels[:1200], hidden, decay, l1, steps)
        accuracy = (model(images[1200:]).argmax(1) == labels[1200:]).float().mean().item()
        game = ModuleGame(model, images[1200 : 1200 + n_images], Features("1", hidden), log_probabilities)
        evidence = Evidence(game, budget)
        estimate = estimate_modes(evidence, "kriging", np.random.default_rng(0))
        magnitudes[name] = np.sort(estimate.magnitudes)[::-1]
        by_class[name] = estimate.modes.reshape(hidden, n_images, 10).mean(axis=1)[np.argsort(-estimate.magnitudes)]
        figures[f"{name}: test accuracy"] = accuracy
        figures[f"{name}: Gini of contributions"] = gini(magnitudes[name])
        figures[f"{name}: share of the top tenth"] = float(
            magnitudes[name][: hidden // 10 + 1].sum() / magnitudes[name].sum()
        )
        figures[f"{name}: largest error of efficiency"] = estimate.notes(evidence)["efficiency_gap"]
    draw(folder / "msa_mlp.png", magnitudes, by_class)
    return figures


def draw(path: Path, magnitudes: dict[str, np.ndarray], by_class: dict[str, np.ndarray]) -> None:
    figure, axes = plt.subplots(1, 4, figsize=(15, 4.2), layout="constrained", width_ratios=[1.5, 1, 1, 1])
    for name, values in magnitudes.items():
        share = np.r_[0, np.cumsum(values) / values.sum()]
        axes[0].plot(np.linspace(0, 100, len(share)), 100 * share, label=f"{name}: Gini {gini(values):.2f}")
    axes[0].plot([0, 100], [0, 100], color="grey", linestyle=":", label="all units alike")
    axes[0].set(xlabel="units, largest contribution first (%)", ylabel="share of all contribution (%)")
    axes[0].legend(loc="lower right")
    limit = max(np.abs(modes).max() for modes in by_class.values())
    for axis, (name, modes) in zip(axes[1:], by_class.items(), strict=True):
        image = axis.imshow(modes, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axis.set(title=name, xlabel="class", ylabel="hidden unit, largest first", xticks=range(10))
    figure.colorbar(image, ax=axes[-1], label="mean contribution to the log-probability")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    for figure, value in run(Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        print(f"{figure}: {value:.3g}")  # noqa: T201
