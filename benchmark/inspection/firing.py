"""How strongly a set of players fires, per token and per pair, in standard deviations.

Let a_i(t) be the activation of player i at token t (for a neuron, the input of the down projection). Over all tokens t of
the held-out pairs,

    z_i(t) = (a_i(t) - mean_t a_i) / sd_t a_i,    F_C(t) = mean over i in C of z_i(t),    F_C(x) = mean over t in x of F_C(t).

Firing is signed: members that fire in opposite directions cancel, as they do in the macro-features of the protocol. The
agreement of C shows whether they do: it is the mean correlation rho of two members over tokens, obtained from
m^2 Var F_C = m' + m'(m' - 1) rho for m members of which m' vary. A player that never varies has z = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from coterie.benchmark.protocol.judged_game import Group
from coterie.tasks.reranker_game import RerankerGame

FEWEST_OCCURRENCES = 5  # of a token of the vocabulary, for its mean firing to be reported
_ROUNDING = 1e-6  # a standard deviation below this share of the root mean square is rounding


@dataclass(frozen=True)
class Firing:
    """The firing of K sets of players on the pairs of a game. Tokens are ordered by pair, in the order of `game.pairs`."""

    tokens: np.ndarray
    """F_C(t), shape (tokens, K)."""
    ids: np.ndarray
    """Token ids of the vocabulary, shape (tokens,)."""
    starts: np.ndarray
    """Index of each pair's first token, and the number of tokens, shape (pairs + 1,)."""
    varies: np.ndarray
    """Whether each player's activation varies at all, shape (players,)."""

    @property
    def pairs(self) -> np.ndarray:
        """F_C(x), shape (pairs, K)."""
        sums: np.ndarray = np.add.reduceat(self.tokens, self.starts[:-1], axis=0)
        return sums / np.diff(self.starts)[:, None]

    def of_pair(self, position: int) -> slice:
        """The tokens of one pair."""
        return slice(int(self.starts[position]), int(self.starts[position + 1]))

    def agreement(self, groups: Sequence[Group]) -> np.ndarray:
        """Mean correlation of two members over tokens, shape (K,); NaN if fewer than two members vary."""
        live = np.array([self.varies[list(group)].sum() for group in groups], dtype=float)
        sizes = np.array([len(group) for group in groups], dtype=float)
        with np.errstate(invalid="ignore", divide="ignore"):
            rho: np.ndarray = (sizes**2 * self.tokens.var(0) - live) / (live * (live - 1))
        return np.where(live > 1, rho, np.nan)

    def explained_by_token(self) -> np.ndarray:
        """Share of the variance of F_C(t) between tokens of the vocabulary (eta squared), shape (K,); NaN without variance."""
        means, counts = self._by_kind()
        between = (counts[:, None] * (means - self.tokens.mean(0)) ** 2).sum(0)
        total = self.tokens.var(0) * len(self.tokens)
        return np.divide(between, total, out=np.full(len(total), np.nan), where=total > 0)

    def kinds(self, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids, mean firing and occurrences of the tokens of the vocabulary that are frequent enough, strongest first."""
        means, counts = self._by_kind()
        ids = np.unique(self.ids)
        frequent = np.flatnonzero(counts >= FEWEST_OCCURRENCES)
        order = frequent[np.argsort(-means[frequent, column], kind="stable")]
        return ids[order], means[order, column], counts[order]

    def _by_kind(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean firing, shape (kinds, K), and occurrences, shape (kinds,), per token of the vocabulary that occurs."""
        _, kind = np.unique(self.ids, return_inverse=True)
        counts = np.bincount(kind)
        sums = np.stack([np.bincount(kind, column) for column in self.tokens.T], axis=1)
        return sums / counts[:, None], counts


def firing_of(game: RerankerGame, groups: Sequence[Group]) -> Firing:
    """Measure K sets of players on a game's pairs: two passes over the cached activations, no forward pass."""
    count, total, squares = 0, torch.zeros(game.n_players).double(), torch.zeros(game.n_players).double()
    for _, own in game.activations_by_pair():
        own = own.double().cpu()
        count, total, squares = count + len(own), total + own.sum(0), squares + (own**2).sum(0)
    mean = total / count
    spread = (squares / count - mean**2).clamp(min=0).sqrt()
    varies = spread > _ROUNDING * (squares / count).sqrt()
    directions = torch.zeros(game.n_players, len(groups)).double()
    for column, group in enumerate(groups):
        directions[list(group), column] = 1 / len(group)
    directions = torch.where(varies[:, None], directions / torch.where(varies, spread, 1.0)[:, None], 0.0)
    found = {row: ((own.double().cpu() - mean) @ directions).numpy() for row, own in game.activations_by_pair()}
    ids = game.token_ids()
    starts = np.cumsum([0, *map(len, ids)])
    tokens = np.concatenate([found[row] for row in range(len(ids))])
    return Firing(tokens, np.concatenate([np.array(row) for row in ids]), starts, varies.numpy())
