"""Clusters of Shapley modes: the players that contribute to the same outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from coterie.methods.arrays import unit_rows
from coterie.methods.base import Method
from coterie.methods.clustering import cluster_count, kmeans
from coterie.methods.coalitions import Coalitions
from coterie.methods.msa import Estimator, Evidence, contributing, estimate_modes
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class MsaModes(Method):
    """Groups of players whose Shapley modes point the same way: they contribute to the same outputs.

    The mode of player i, ``phi_i`` (one number an output), is its mean marginal contribution over all orders of the
    players; all modes sum to v(N) - v(empty), output by output. Estimated within the budget, from ablations only
    (:mod:`coterie.methods.msa`), then k-means on unit modes, ``similarity`` = correlation (of the mode less its mean: a
    constant shift of all scores reorders nothing, so it does not count) or cosine (of the mode as it is). Groups are
    ordered by what they contribute together, the root mean square over outputs of ``sum of phi_i``. Players that
    contribute nothing are left out.

    Notes of the result: the estimator, evaluations, standard errors relative to the modes' root mean square, the gap of
    efficiency, and whether the game was additive (then there is no cooperation to find).

    Reference: Dixit, Fakhar, Hadaeghi, Mineault, Kording, Hilgetag (2025), arXiv 2506.19732.

    Deviations from the paper: it describes units by their modes and does not group them; the clustering is ours. It
    averages over sampled permutations (``estimator=antithetic`` or ``permutation``); the default needs far fewer
    evaluations (:mod:`coterie.methods.msa.kriging`).
    """

    name = "msa-modes"
    sees = frozenset({Capability.ABLATIONS})
    reference = "Dixit, Fakhar, Hadaeghi, Mineault, Kording, Hilgetag (2025), MSA, arXiv 2506.19732"
    tiny: ClassVar = {"evaluations": 120}

    n_clusters: Annotated[int | None, Field(ge=1, description="clusters; null: one for every 11 players")] = None
    similarity: Annotated[Literal["correlation", "cosine"], Field(description="what makes two modes alike")] = (
        "correlation"
    )
    estimator: Annotated[Estimator, Field(description="how modes are estimated")] = "kriging"
    evaluations: Annotated[int | None, Field(ge=2, description="at most so many; null: the whole budget")] = None
    restarts: Annotated[int, Field(ge=1, description="runs of k-means, the best is kept")] = 4

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where no player contributes anything or an output is not finite."""
        evidence = Evidence(game, budget if self.evaluations is None else min(budget, self.evaluations))
        estimate = estimate_modes(evidence, self.estimator, rng)
        modes = estimate.modes
        pattern = modes - modes.mean(axis=1, keepdims=True) if self.similarity == "correlation" else modes
        vectors, live = unit_rows(np.where(contributing(estimate, evidence)[:, None], pattern, 0.0))
        players = np.flatnonzero(live)
        if not len(players):
            raise ValueError(
                f"{self.name}: expected a player whose ablation changes some outputs more than others, got none among "
                f"{game.n_players}; fix: another layer, or similarity='cosine' where all outputs change alike"
            )
        count = cluster_count(len(players), self.n_clusters)
        groups = kmeans(vectors[players], players, count, self.restarts, int(rng.integers(2**31)))
        groups.sort(key=lambda members: -float(np.square(modes[members].sum(axis=0)).mean()))
        return Coalitions.of(game.n_players, groups, left_out=game.n_players - len(players), **estimate.notes(evidence))
