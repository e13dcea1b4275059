"""The game of the Shapley parts: hidden units of a network on scikit-learn's digits.

The outputs are the log-probabilities of the true classes of 60 images.
"""

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
    """The trained network, its images, and the readout."""

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
        """One log-probability per row of logits; the rows are copies of all images, in order."""
        truth = self._labels.repeat(len(logits) // IMAGES)[:, None]
        return logits.gather(1, truth)[:, 0] - logits.logsumexp(1)

    def game(self) -> ModuleGame:
        """The game of the hidden units, with one output per image."""
        return ModuleGame(self.model, self.images, Features("1", self.hidden), self.readout)


@final
class MeanGame(Game):
    """A game whose only output is the mean of another game's outputs."""

    capabilities = frozenset({Capability.ABLATIONS})

    def __init__(self, game: Game) -> None:
        self._game, self.n_players, self.n_outputs, self.meter = game, game.n_players, 1, Meter()

    def _ablate(self, masks: Tensor) -> Tensor:
        return self._game._ablate(masks).double().mean(1, keepdim=True)
