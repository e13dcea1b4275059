"""Clusters of Shapley modes: the players that contribute to the same outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from coterie.methods.arrays import unit_rows
from coterie.methods.base import Method
from coterie.methods.clustering import ClusterCount, Restarts, cluster_count, kmeans
from coterie.methods.coalitions import Coalitions
from coterie.methods.msa import Estimator, Evidence, contributing, estimate_modes
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class MsaModes(Method):
    """Groups of players whose Shapley modes point the same way: they contribute to the same outputs.

    The Shapley mode of player i has one number per output,

        phi_i = mean over all orders of the players of v(P + i) - v(P)

    with P the players before i in the order and v(S) the outputs with every player outside S ablated. Output by output,
    the modes of all players sum to v(N) - v(empty), with N the set of all players. The modes are estimated within the
    budget from ablations only, and k-means on modes of norm 1 groups the players. `similarity=correlation` first
    subtracts the mean of each mode, because a constant shift of all scores reorders nothing; `similarity=cosine` does
    not. Groups are ordered by their joint contribution, the root mean square over outputs of the sum of phi_i over
    members. Players that contribute nothing are left out.

    The notes of the result report the estimator, the evaluations, standard errors relative to the root mean square of
    the modes, the efficiency gap (how far the modes are from their known sum), and whether the game was additive, which
    means that there is no cooperation to find.

    Reference: Dixit, Fakhar, Hadaeghi, Mineault, Kording, Hilgetag (2025), arXiv 2506.19732.

    Deviations from the paper: it describes units by their modes and does not group them; the clustering is coterie's.
    It averages over sampled permutations (`estimator=antithetic` or `permutation`); the default needs far fewer
    evaluations (`methods/msa/kriging.py`).
    """

    name = "msa-modes"
    sees = frozenset({Capability.ABLATIONS})
    reference = "Dixit, Fakhar, Hadaeghi, Mineault, Kording, Hilgetag (2025), MSA, arXiv 2506.19732"
    tiny: ClassVar = {"evaluations": 120}

    n_clusters: ClusterCount = None
    similarity: Annotated[Literal["correlation", "cosine"], Field(description="measure of how alike two modes are")] = (
        "correlation"
    )
    estimator: Annotated[Estimator, Field(description="estimator of the modes")] = "kriging"
    evaluations: Annotated[
        int | None, Field(ge=2, description="maximum number of evaluations; null: the whole budget")
    ] = None
    restarts: Restarts = 4

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if no player contributes anything or an output is not finite."""
        evidence = Evidence(game, budget if self.evaluations is None else min(budget, self.evaluations))
        estimate = estimate_modes(evidence, self.estimator, rng)
        modes = estimate.modes
        pattern = modes - modes.mean(axis=1, keepdims=True) if self.similarity == "correlation" else modes
        vectors, live = unit_rows(np.where(contributing(estimate, evidence)[:, None], pattern, 0.0))
        players = np.flatnonzero(live)
        if not len(players):
            raise ValueError(
                f"{self.name}: expected a player whose ablation changes some outputs more than others, got none among "
                f"{game.n_players}; fix: use another layer, or similarity='cosine' if all outputs change alike"
            )
        count = cluster_count(len(players), self.n_clusters)
        groups = kmeans(vectors[players], players, count, self.restarts, int(rng.integers(2**31)))
        groups.sort(key=lambda members: -float(np.square(modes[members].sum(axis=0)).mean()))
        return Coalitions.of(game.n_players, groups, left_out=game.n_players - len(players), **estimate.notes(evidence))
