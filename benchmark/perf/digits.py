"""The game of the Shapley rows: 100 hidden units of a network on scikit-learn's digits, log-probability of the true class."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from coterie.tasks.game import Capability, Game, Meter
from coterie.tasks.module_game import Features, ModuleGame

IMAGES = 60


class Digits:
    """The trained network, its images, and the readout: one log-probability an image, whatever the number of copies."""

    def __init__(self, hidden: int = 100) -> None:
        torch.manual_seed(0)
        self.hidden = hidden
        pixels, classes = load_digits(return_X_y=True)
        images, labels = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(classes)
        self.model = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
        optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        for _ in range(200):
            optimizer.zero_grad()
            F.cross_entropy(self.model(images), labels).backward()
            optimizer.step()
        self.model.eval()
        self.images, self._labels = images[:IMAGES], labels[:IMAGES]

    def readout(self, logits: Tensor) -> Tensor:
        truth = self._labels.repeat(len(logits) // IMAGES)[:, None]
        return logits.gather(1, truth)[:, 0] - logits.logsumexp(1)

    def game(self) -> ModuleGame:
        """60 outputs, one an image."""
        return ModuleGame(self.model, self.images, Features("1", self.hidden), self.readout)


@final
class MeanGame(Game):
    """Another game with the mean of its outputs as the only one."""

    capabilities = frozenset({Capability.ABLATIONS})

    def __init__(self, game: Game) -> None:
        self._game, self.n_players, self.n_outputs, self.meter = game, game.n_players, 1, Meter()

    def _ablate(self, masks: Tensor) -> Tensor:
        return self._game._ablate(masks).double().mean(1, keepdim=True)
