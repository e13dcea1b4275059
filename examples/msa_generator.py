"""MSA's third setting: a network that generates images, whose Shapley modes are images too.

A small generator learns to draw scikit-learn's digits from a class and six numbers of style (principal components of what
the class mean leaves). The units of its first hidden layer are the players, the pixels of forty drawings the outputs: each
unit's mode is one picture a drawing, and the modes of all units sum to the drawing less what the network draws without
any of them.

    python examples/msa_generator.py FOLDER      # writes FOLDER/msa_generator.png, prints the figures
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import Tensor, nn

from coterie.methods.msa import Evidence, estimate_modes
from coterie.methods.msa_modes import MsaModes
from coterie.tasks.module_game import Features, ModuleGame


def data() -> tuple[Tensor, Tensor]:
    """Codes [images, 10 classes + 6 style] and pixels [images, 64] in 0..1."""
    pixels, digits = load_digits(return_X_y=True)
    means = np.stack([pixels[digits == d].mean(axis=0) for d in range(10)])
    style = PCA(6, random_state=0).fit_transform(pixels - means[digits])
    codes = np.hstack([np.eye(10)[digits], style / style.std(axis=0)])
    return torch.tensor(codes, dtype=torch.float32), torch.tensor(pixels / 16, dtype=torch.float32)


def train(codes: Tensor, pixels: Tensor, hidden: int, steps: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(16, hidden), nn.ReLU(), nn.Linear(hidden, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        rows = torch.randint(len(codes), (256,))
        loss = F.mse_loss(model(codes[rows]), pixels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def run(folder: Path, quick: bool = False) -> dict[str, float]:
    """Train, analyse, draw. ``quick``: a reduced form for the tests."""
    hidden, steps, budget, shown = (12, 60, 60, 2) if quick else (40, 2000, 1200, 40)
    codes, pixels = data()
    model = train(codes, pixels, hidden, steps)
    game = ModuleGame(model, codes[:shown], Features("1", hidden))
    evidence = Evidence(game, budget)
    estimate = estimate_modes(evidence, "kriging", np.random.default_rng(0))
    modes = estimate.modes.reshape(hidden, shown, 8, 8)
    ends = evidence.values([0, 1]).reshape(2, shown, 8, 8)
    groups = MsaModes(n_clusters=6, similarity="cosine").discover(
        game.restricted_to(MsaModes.sees, budget), budget, np.random.default_rng(0)
    )
    draw(folder / "msa_generator.png", modes, ends, groups.groups)
    return {
        "mean squared error of the drawings": F.mse_loss(model(codes[:shown]), pixels[:shown]).item(),
        "largest |sum of modes - (drawing - empty drawing)|": float(
            np.abs(modes.sum(axis=0) - (ends[1] - ends[0])).max()
        ),
        "relative standard error, median over units": estimate.notes(evidence)["relative_standard_error_median"],
        "share of the top tenth of the units": float(
            np.sort(estimate.magnitudes)[::-1][: hidden // 10 + 1].sum() / estimate.magnitudes.sum()
        ),
    }


def draw(path: Path, modes: np.ndarray, ends: np.ndarray, groups: tuple[tuple[int, ...], ...]) -> None:
    """Rows: drawings; columns: the drawing, without all units, and what each cluster of units adds to it."""
    rows, columns = min(8, modes.shape[1]), min(6, len(groups))
    parts = np.stack([modes[list(group)].sum(axis=0) for group in groups[:columns]])
    limit = np.abs(parts).max()
    figure, axes = plt.subplots(rows, columns + 2, figsize=(1.35 * (columns + 2), 1.3 * rows), layout="constrained")
    for row in range(rows):
        axes[row, 0].imshow(ends[1, row], cmap="gray", vmin=0, vmax=1)
        axes[row, 1].imshow(ends[0, row], cmap="gray", vmin=0, vmax=1)
        for column in range(columns):
            image = axes[row, column + 2].imshow(parts[column, row], cmap="RdBu_r", vmin=-limit, vmax=limit)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    axes[0, 0].set_title("drawing", fontsize=9)
    axes[0, 1].set_title("no units", fontsize=9)
    for column, group in enumerate(groups[:columns]):
        axes[0, column + 2].set_title(f"cluster {column + 1}\n{len(group)} units", fontsize=9)
    figure.colorbar(image, ax=axes, label="contribution to the pixel", shrink=0.6)
    figure.suptitle("What clusters of units with similar Shapley modes add to each drawing", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    for figure, value in run(Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        print(f"{figure}: {value:.3g}")  # noqa: T201
