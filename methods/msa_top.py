"""Players in order of their Shapley values: the neuron-Shapley baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions
from coterie.methods.msa import Estimator, Evidence, contributing, estimate_modes, settle_top
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class MsaTop(Method):
    """Players by the magnitude of their Shapley value, cut into consecutive groups of ``size``: top k, next k, and so on.

    ``score_i`` = root mean square over outputs of the Shapley mode ``phi_i`` (``by="mode"``: a player that raises some
    pairs and lowers others matters to a ranking), or ``|mean over outputs of phi_i|`` (``by="mean"``: the Shapley value
    of the mean output, as in neuron Shapley). Groups do not overlap; players that contribute nothing and a rest of less
    than ``size`` are left out, unless there is no other group. It looks at one player's share at a time, so the groups
    say who matters, not who works together. From ablations only, within the budget.

    The protocol scores groups of 2 to n / 8 players, the first 32 of them: the default size, 11, is that of the other
    baselines, and 32 groups of 11 are the 352 players of the quick suite.

    ``estimator="blocks"`` is for layers of far more players than evaluations: half of them goes to blocks of players, of
    which those that matter are refined, the other half to a bandit that settles which ``size`` of the first
    ``2 * size`` players are the top; those that it is certain of come first.

    Reference: Ghorbani & Zou (2020), Neuron Shapley; Dixit et al. (2025), MSA, arXiv 2506.19732.

    Deviations from the paper: neuron Shapley orders by the value of one metric and removes the top k for growing k, which
    are nested sets; the default estimator is not its truncated bandit (:mod:`coterie.methods.msa.kriging`).
    """

    name = "msa-top"
    sees = frozenset({Capability.ABLATIONS})
    reference = "Ghorbani & Zou (2020), Neuron Shapley: discovering the responsible neurons, NeurIPS"
    tiny: ClassVar = {"evaluations": 120, "size": 4}

    size: Annotated[int, Field(ge=1, description="players of a group")] = 11
    n_coalitions: Annotated[int | None, Field(ge=1, description="at most so many groups; null: as many as fit")] = None
    by: Annotated[Literal["mode", "mean"], Field(description="size of the whole mode, or of its mean")] = "mode"
    estimator: Annotated[Estimator, Field(description="how modes are estimated")] = "kriging"
    evaluations: Annotated[int | None, Field(ge=2, description="at most so many; null: the whole budget")] = None

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where all values are 0 or an output is not finite."""
        budget = budget if self.evaluations is None else min(budget, self.evaluations)
        evidence = Evidence(game, budget // 2 if self.estimator == "blocks" else budget)
        estimate = estimate_modes(evidence, self.estimator, rng)
        scores = estimate.magnitudes if self.by == "mode" else np.abs(estimate.modes.mean(axis=1))
        scores = np.where(contributing(estimate, evidence), scores, 0.0)
        order = np.argsort(-scores, kind="stable")[: np.count_nonzero(scores)]
        if not len(order):
            raise ValueError(
                f"{self.name}: expected a player with a value other than 0, got none among {game.n_players}; "
                f"fix: another layer, or more pairs"
            )
        size, notes = min(self.size, len(order)), estimate.notes(evidence)
        if self.estimator == "blocks":
            top = settle_top(Evidence(game, budget - budget // 2), order[: 2 * size], size, rng)
            order = np.concatenate([np.array(top.certain, dtype=order.dtype), order[~np.isin(order, top.certain)]])
            notes |= {"certain_of_the_top": len(top.certain), "top_settled": top.settled}
        groups = [order[start : start + size] for start in range(0, len(order) - size + 1, size)][: self.n_coalitions]
        left_out = game.n_players - sum(map(len, groups))
        return Coalitions.of(game.n_players, groups, left_out=left_out, **notes)
