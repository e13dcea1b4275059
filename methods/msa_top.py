"""Players in order of their Shapley values: the neuron-Shapley baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions
from coterie.methods.msa import Estimator, Evidence, contributing, estimate_modes, settle_top
from coterie.methods.ranking import GroupSize, MostGroups, consecutive, in_order
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class MsaTop(Method):
    """Players in descending order of their Shapley values, in consecutive groups: the top players, the next, and so on.

    The score of player i comes from its Shapley mode, which has one number per output,

        phi_i = mean over all orders of the players of v(P + i) - v(P)

    with P the players before i in the order and v(S) the outputs with every player outside S ablated. With `by=mode`
    the score is the root mean square of phi_i over outputs, because a player that raises some pairs and lowers others
    matters to a ranking. With `by=mean` it is the absolute value of the mean of phi_i over outputs: the Shapley value
    of the mean output, as in neuron Shapley. The modes are estimated within the budget from ablations only.

    Groups of `size` players do not overlap. Players that contribute nothing are left out, and so is a remainder smaller
    than `size` unless it is the only group. Each score measures one player's share, so the groups show who matters, not
    who works together. Of n players, the protocol scores the first 32 groups with 2 to n / 8 members. The default size,
    11, is that of the other baselines, and 32 groups of 11 are the 352 players of the quick suite.

    `estimator=blocks` is for layers with far more players than evaluations. Half of the evaluations go to blocks of
    players, of which the important ones are refined. The other half goes to a bandit that settles which `size` of the
    first 2 * `size` players are the top ones; those that it is certain of come first.

    Reference: Ghorbani & Zou (2020), Neuron Shapley; Dixit et al. (2025), MSA, arXiv 2506.19732.

    Deviations from the paper: neuron Shapley ranks by the value of one metric and removes the top k for growing k,
    which yields nested sets; the default estimator is not its truncated bandit (`methods/msa/kriging.py`).
    """

    name = "msa-top"
    sees = frozenset({Capability.ABLATIONS})
    reference = "Ghorbani & Zou (2020), Neuron Shapley: discovering the responsible neurons, NeurIPS"
    tiny: ClassVar = {"evaluations": 120, "size": 4}

    size: GroupSize = 11
    n_coalitions: MostGroups = None
    by: Annotated[Literal["mode", "mean"], Field(description="score: magnitude of the mode, or of its mean")] = "mode"
    estimator: Annotated[Estimator, Field(description="estimator of the modes")] = "kriging"
    evaluations: Annotated[
        int | None, Field(ge=2, description="maximum number of evaluations; null: the whole budget")
    ] = None

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if all values are 0 or an output is not finite."""
        budget = budget if self.evaluations is None else min(budget, self.evaluations)
        evidence = Evidence(game, budget // 2 if self.estimator == "blocks" else budget)
        estimate = estimate_modes(evidence, self.estimator, rng)
        scores = estimate.magnitudes if self.by == "mode" else np.abs(estimate.modes.mean(axis=1))
        scores = np.where(contributing(estimate, evidence), scores, 0.0)
        order = in_order(scores)
        if not len(order):
            raise ValueError(
                f"{self.name}: expected a player with a value other than 0, got none among {game.n_players}; "
                f"fix: use another layer or more pairs"
            )
        size, notes = min(self.size, len(order)), estimate.notes(evidence)
        if self.estimator == "blocks":
            top = settle_top(Evidence(game, budget - budget // 2), order[: 2 * size], size, rng)
            order = np.concatenate([np.array(top.certain, dtype=order.dtype), order[~np.isin(order, top.certain)]])
            notes |= {"certain_of_the_top": len(top.certain), "top_settled": top.settled}
        groups = consecutive(order, size, self.n_coalitions)
        left_out = game.n_players - sum(map(len, groups))
        return Coalitions.of(game.n_players, groups, left_out=left_out, **notes)
