"""The judge's workbench: a task's judging games behind a cache of ablations, and the controls that all methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from coterie.benchmark.protocol.judged_game import Group, JudgedGame, View, as_group
from coterie.benchmark.protocol.seeding import generator
from coterie.benchmark.protocol.settings import Settings
from coterie.methods.affinity_pas import pas_hessian
from coterie.methods.coalitions import Coalitions
from coterie.methods.hedonic import Preferences
from coterie.tasks.game import Capability
from coterie.tasks.signals import SIGNALS, signal_values, statistics_of
from coterie.tasks.task import Provided, Task

_FLOOR_SETS = 4  # random sets whose statistics are computed twice for the noise floor
_FLOOR_SIZE = 8  # their size

Need = Provided | Literal["curvature"]
"""What a metric may require beyond ablations. `curvature` is what the reference utility is computed from."""


@dataclass(frozen=True)
class Evaluated:
    """A coalition or control with the samples that are evaluated for it."""

    members: Group
    """Its players, in ascending order."""
    pairs: tuple[Group, ...]
    """Sampled pairs of members."""
    without_one: tuple[Group, ...]
    """The set without each sampled member in turn."""


Statistic = Callable[[JudgedGame, Evaluated, View], np.ndarray]
"""A number per query, shape (queries,), of one coalition."""


class Bench:
    """A task's judging games, the settings, and the size-matched controls that all methods share.

    Control r of size s is the first s players of the r-th random order of all players. The orders are drawn once and are
    the same for every method, so controls are nested over sizes.
    """

    def __init__(self, task: Task, settings: Settings, progress: Callable[[int], None] = lambda _n: None) -> None:
        self.task, self.settings = task, settings
        self.n_players = task.heldout.n_players
        qrels = task.qrels
        self.domains = {name: JudgedGame(game, progress, qrels.get(name)) for name, game in task.domains.items()}
        self.discovery = JudgedGame(task.discovery, progress, qrels.get("discovery")) if settings.optimism else None
        self._one_by_one = JudgedGame(task.heldout, progress, one_by_one=True)
        self._fingerprint = task.plan.fingerprint
        rng = self.generator(0)
        self.orders = [rng.permutation(self.n_players) for _ in range(settings.controls)]
        draws = [rng.choice(self.n_players, 2, replace=False) for _ in range(settings.control_pairs)]
        self.control_pairs: list[Group] = [as_group(draw) for draw in draws]
        self._controls: dict[int, list[Evaluated]] = {}
        self._floors: dict[tuple[Statistic, View], float] = {}

    def generator(self, use: int, *numbers: int) -> np.random.Generator:
        """The judge's random numbers on this task for one use.

        Uses: 0 for controls, 1 for PAC stability, 2 for the random sets of a fit, 3 for the samples of one set.
        """
        return generator(self._fingerprint, self.settings.seed, use, *numbers)

    @property
    def provides(self) -> frozenset[Need]:
        """What metrics may use beyond ablations of the held-out queries."""
        provided: set[Need] = set(self.task.provides)
        if self.settings.reference_evaluations and Capability.GRADIENTS in self.task.heldout.capabilities:
            provided.add("curvature")
        return frozenset(provided)

    @property
    def truth(self) -> tuple[Group, ...]:
        """The planted groups; empty if nothing is planted."""
        return self.task.truth

    @property
    def heldout(self) -> JudgedGame:
        """The judging game on the held-out queries of the source domain."""
        return self.domains["heldout"]

    @property
    def transfer(self) -> dict[str, JudgedGame]:
        """The judging games on the transfer domains, by name."""
        return {name: game for name, game in self.domains.items() if name != "heldout"}

    def eligible(self, coalitions: Coalitions) -> list[Group]:
        """The first `max_coalitions` coalitions of an eligible size, strongest first."""
        sizes = self.settings.eligible_sizes(self.n_players)
        chosen = [group for group in coalitions.groups if len(group) in sizes]
        return chosen[: self.settings.max_coalitions]

    def control_groups(self, size: int) -> list[Group]:
        """The players of the controls of a size: the first players of each random order."""
        return [as_group(order[:size]) for order in self.orders]

    def controls(self, size: int) -> list[Evaluated]:
        """The controls of a size, at least 2, with their samples."""
        if size not in self._controls:
            self._controls[size] = [self.draw(group, 0) for group in self.control_groups(size)]
        return self._controls[size]

    def draw(self, members: Group, seed: int) -> Evaluated:
        """Sample the pairs and leave-one-out sets of a coalition, differently for each seed of a method.

        Seeds of a method thus differ by the samples even if its coalitions are the same, so that intervals and ranks
        reflect the sampling. A set has the same samples whichever method proposes it.
        """
        rng = self.generator(3, seed, *members)
        pairs = list(combinations(members, 2))
        picked = rng.choice(len(pairs), min(len(pairs), self.settings.pairs), replace=False)
        left_out = rng.choice(len(members), min(len(members), self.settings.leave_one_outs), replace=False)
        return Evaluated(
            members,
            tuple(pairs[i] for i in sorted(picked)),
            tuple(members[:i] + members[i + 1 :] for i in sorted(left_out)),
        )

    def noise_floor(
        self, statistic: Statistic, view: View, ablations: Callable[[Statistic, Evaluated], list[Group]]
    ) -> float:
        """What a synergy statistic returns when the true value is exactly zero, in the statistic's unit.

        That is the statistic of a set minus the same statistic from a second evaluation with every ablation in its own
        batch: the largest absolute mean over the queries, of 4 random sets of 8 players (or of all, if there are fewer).
        Exact arithmetic would return 0; the result is what floating point leaves. `ablations` lists the sets that a
        statistic of a coalition ablates.
        """
        key = statistic, view
        if key not in self._floors:
            sets = self.controls(min(_FLOOR_SIZE, self.n_players))[:_FLOOR_SETS]
            self.heldout.prepare([group for c in sets for group in ablations(statistic, c)])
            differences = [statistic(self._one_by_one, c, view) - statistic(self.heldout, c, view) for c in sets]
            self._floors[key] = max(float(abs(self.heldout.mean(row, view))) for row in differences)
        return self._floors[key]

    @cached_property
    def reference(self) -> tuple[Preferences, str]:
        """Every player's preferences under the task's reference utility, and one line on how they were computed.

        The utility is second-order synergy on the held-out queries (`coterie.methods.affinity_pas.pas_hessian`), which no
        method has seen, from `reference_evaluations` evaluations.
        """
        phi, notes = pas_hessian(self.task.heldout, self.settings.reference_evaluations)
        about = f"pas-hessian on held-out queries, rank {notes['rank']}, relative error {notes['relative_error']:.2f}"
        return Preferences.of(phi), about

    @cached_property
    def signals(self) -> dict[str, np.ndarray]:
        """Classical IR signals by name, each of shape (pairs,) on the held-out pairs.

        Term statistics come from the task's documents. Raises `TypeError` for a task without texts.
        """
        texts = [(p.query, p.document) for p in self.heldout.pairs]
        statistics = statistics_of(self.task.documents.values())
        return {name: signal_values(name, texts, statistics) for name in SIGNALS}
