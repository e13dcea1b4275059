"""When a set of players fires: by token and by pair, in standard deviations.

With a_i(t) the activation of player i at token t (for a neuron: the input of the down projection), over all tokens t of the
held-out pairs,

    z_i(t) = (a_i(t) - mean_t a_i) / sd_t a_i,    F_C(t) = mean over i in C of z_i(t),    F_C(x) = mean over t in x of F_C(t).

Signed: a member counts with the sign that its weights give it, and members that fire against each other cancel, as they do
in the macro-features of the protocol. The agreement of C says whether they do: the mean correlation rho of two members over
tokens, from ``m^2 Var F_C = m' + m'(m' - 1) rho`` for m members of which m' vary. A player that never varies has z = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from coterie.tasks.reranker_game import RerankerGame

Group = tuple[int, ...]
FEWEST_OCCURRENCES = 5  # of a token, to speak of its mean firing
_STILL = 1e-6  # a standard deviation below this share of the mean size is rounding


@dataclass(frozen=True)
class Firing:
    """The firing of K sets on the pairs of a game; tokens stand pair by pair, in the order of ``game.pairs``."""

    tokens: np.ndarray  # [tokens, K] F_C(t)
    ids: np.ndarray  # [tokens] of the vocabulary
    starts: np.ndarray  # [pairs + 1] where each pair's tokens begin
    varies: np.ndarray  # [players] whether the player's activation varies at all

    @property
    def pairs(self) -> np.ndarray:
        """F_C(x) [pairs, K]."""
        sums: np.ndarray = np.add.reduceat(self.tokens, self.starts[:-1], axis=0)
        return sums / np.diff(self.starts)[:, None]

    def of_pair(self, position: int) -> slice:
        """The tokens of one pair."""
        return slice(int(self.starts[position]), int(self.starts[position + 1]))

    def agreement(self, groups: Sequence[Group]) -> np.ndarray:
        """The mean correlation of two members over tokens [K]; NaN with fewer than two members that vary."""
        live = np.array([self.varies[list(group)].sum() for group in groups], dtype=float)
        sizes = np.array([len(group) for group in groups], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            rho: np.ndarray = (sizes**2 * self.tokens.var(0) - live) / (live * (live - 1))
        return np.where(live > 1, rho, np.nan)

    def told_by_token(self) -> np.ndarray:
        """Share of the variance of F_C(t) that lies between tokens of the vocabulary (eta squared) [K]; NaN if none."""
        means, counts = self._by_kind()
        between = (counts[:, None] * (means - self.tokens.mean(0)) ** 2).sum(0)
        total = self.tokens.var(0) * len(self.tokens)
        return np.divide(between, total, out=np.full(len(total), np.nan), where=total > 0)

    def kinds(self, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids, mean firing and occurrences of the tokens of the vocabulary that stand often enough, strongest first."""
        means, counts = self._by_kind()
        ids = np.unique(self.ids)
        often = np.flatnonzero(counts >= FEWEST_OCCURRENCES)
        order = often[np.argsort(-means[often, column], kind="stable")]
        return ids[order], means[order, column], counts[order]

    def _by_kind(self) -> tuple[np.ndarray, np.ndarray]:
        _, kind = np.unique(self.ids, return_inverse=True)
        counts = np.bincount(kind)
        sums = np.stack([np.bincount(kind, column) for column in self.tokens.T], axis=1)
        return sums / counts[:, None], counts


def firing_of(game: RerankerGame, groups: Sequence[Group]) -> Firing:
    """Measure K sets of players on a game's pairs: two passes over the kept activations, no network."""
    count, total, squares = 0, torch.zeros(game.n_players).double(), torch.zeros(game.n_players).double()
    for _, own in game.activations_by_pair():
        own = own.double().cpu()
        count, total, squares = count + len(own), total + own.sum(0), squares + (own**2).sum(0)
    mean = total / count
    spread = (squares / count - mean**2).clamp(min=0).sqrt()
    varies = spread > _STILL * (squares / count).sqrt()
    directions = torch.zeros(game.n_players, len(groups)).double()
    for column, group in enumerate(groups):
        directions[list(group), column] = 1 / len(group)
    directions = torch.where(varies[:, None], directions / torch.where(varies, spread, 1.0)[:, None], 0.0)
    found = {row: ((own.double().cpu() - mean) @ directions).numpy() for row, own in game.activations_by_pair()}
    ids = game.token_ids()
    starts = np.cumsum([0, *map(len, ids)])
    tokens = np.concatenate([found[row] for row in range(len(ids))])
    return Firing(tokens, np.concatenate([np.array(row) for row in ids]), starts, varies.numpy())
