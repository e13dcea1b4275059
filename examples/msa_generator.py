"""MSA's third setting: a network that generates images, whose Shapley modes are images too.

A small generator learns to draw scikit-learn's digits from a class and six style numbers (principal components of the
difference from the class mean). The players are the units of its first hidden layer, and the outputs are the pixels of forty
drawings. A unit's mode is therefore one picture per drawing. The modes of all units sum to the drawing minus what the network
draws without any of them.

    python examples/msa_generator.py FOLDER      # writes FOLDER/msa_generator.png and prints the figures
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
    """Codes of shape (images, 10 classes + 6 style numbers), and pixels from 0 to 1 of shape (images, 64)."""
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
    """Train, analyse and draw. `quick` is a reduced version for the tests."""
    hidden, steps, budget, n_drawings = (12, 60, 60, 2) if quick else (40, 2000, 1200, 40)
    codes, pixels = data()
    model = train(codes, pixels, hidden, steps)
    game = ModuleGame(model, codes[:n_drawings], Features("1", hidden))
    evidence = Evidence(game, budget)
    estimate = estimate_modes(evidence, "kriging", np.random.default_rng(0))
    modes = estimate.modes.reshape(hidden, n_drawings, 8, 8)
    ends = evidence.values([0, 1]).reshape(2, n_drawings, 8, 8)
    groups = MsaModes(n_clusters=6, similarity="cosine").discover(
        game.restricted_to(MsaModes.sees, budget), budget, np.random.default_rng(0)
    )
    draw(folder / "msa_generator.png", modes, ends, groups.groups)
    return {
        "mean squared error of the drawings": F.mse_loss(model(codes[:n_drawings]), pixels[:n_drawings]).item(),
        "largest |sum of modes - (drawing - empty drawing)|": float(
            np.abs(modes.sum(axis=0) - (ends[1] - ends[0])).max()
        ),
        "relative standard error, median over units": estimate.notes(evidence)["relative_standard_error_median"],
        "share of the top tenth of the units": float(
            np.sort(estimate.magnitudes)[::-1][: hidden // 10 + 1].sum() / estimate.magnitudes.sum()
        ),
    }


def draw(path: Path, modes: np.ndarray, ends: np.ndarray, groups: tuple[tuple[int, ...], ...]) -> None:
    """Draw one row per drawing: the drawing itself, the drawing without any unit, and the contribution of each cluster."""
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
    figure.suptitle("Contribution of clusters of units with similar Shapley modes to each drawing", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    for figure, value in run(Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        print(f"{figure}: {value:.3g}")  # noqa: T201
