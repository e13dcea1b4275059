"""What the metrics measure with: a task's judging games behind a cache of ablations, and the shared controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from coterie.benchmark.protocol.judged_game import Group, JudgedGame, View
from coterie.benchmark.protocol.seeding import generator
from coterie.benchmark.protocol.settings import Settings
from coterie.methods.coalitions import Coalitions
from coterie.tasks.game import Capability
from coterie.tasks.planted.task import PlantedTask
from coterie.tasks.task import Task

if TYPE_CHECKING:
    from coterie.methods.hedonic import Preferences

_FLOOR_SETS = 4  # random sets whose statistics are computed twice for the noise floor
_FLOOR_SIZE = 8  # their size

Need = Literal["judgements", "transfer", "truth", "curvature"]


@dataclass(frozen=True)
class Evaluated:
    """One coalition as it is judged: with the pairs and leave-one-out sets that were drawn for it."""

    members: Group
    pairs: tuple[Group, ...]
    without_one: tuple[Group, ...]


class Bench:
    """A task's judging games, the settings and the size-matched controls that all methods share.

    Control r of size s is the first s players of the r-th random order of all players: drawn once, the same for every
    method, nested over sizes.
    """

    def __init__(
        self, task: Task | PlantedTask, settings: Settings, progress: Callable[[int], None] = lambda _n: None
    ) -> None:
        self.task, self.settings = task, settings
        self.n_players = task.heldout.n_players
        qrels = {} if isinstance(task, PlantedTask) else task.plan.qrels
        self.domains = {name: JudgedGame(game, progress, qrels.get(name)) for name, game in task.domains.items()}
        self.discovery = JudgedGame(task.discovery, progress, qrels.get("discovery")) if settings.optimism else None
        self._again = JudgedGame(task.heldout, progress, one_by_one=True)
        self._fingerprint = task.plan.fingerprint
        rng = self.generator(0)
        self.orders = [rng.permutation(self.n_players) for _ in range(settings.controls)]
        draws = [rng.choice(self.n_players, 2, replace=False) for _ in range(settings.control_pairs)]
        self.control_pairs: list[Group] = [_group(draw) for draw in draws]
        self._controls: dict[int, list[Evaluated]] = {}
        self._floors: dict[tuple[object, View], float] = {}

    def generator(self, use: int, *numbers: int) -> np.random.Generator:
        """The judge's random numbers of this task for one use: 0 controls, 1 PAC stability, 2 random sets of a fit, 3 a set."""
        return generator(self._fingerprint, self.settings.seed, use, *numbers)

    @property
    def gives(self) -> frozenset[Need]:
        """What metrics may ask for beyond ablations of the held-out queries."""
        found: set[Need] = {"truth"} if isinstance(self.task, PlantedTask) else {"judgements"}
        if self.transfer:
            found.add("transfer")
        if self.settings.reference_evaluations and Capability.GRADIENTS in self.task.heldout.capabilities:
            found.add("curvature")
        return frozenset(found)

    @property
    def truth(self) -> tuple[Group, ...]:
        """The planted groups; none where nothing was planted."""
        return self.task.truth if isinstance(self.task, PlantedTask) else ()

    @property
    def heldout(self) -> JudgedGame:
        return self.domains["heldout"]

    @property
    def transfer(self) -> dict[str, JudgedGame]:
        return {name: domain for name, domain in self.domains.items() if name != "heldout"}

    def eligible(self, coalitions: Coalitions) -> list[Group]:
        """The first K coalitions of an eligible size, strongest first."""
        largest = int(self.n_players * self.settings.largest_share)
        chosen = [g for g in coalitions.groups if self.settings.smallest <= len(g) <= largest]
        return chosen[: self.settings.max_coalitions]

    def controls(self, size: int) -> list[Evaluated]:
        """The R random sets of this size."""
        if size not in self._controls:
            self._controls[size] = [self.draw(_group(order[:size]), 0) for order in self.orders]
        return self._controls[size]

    def draw(self, members: Group, seed: int) -> Evaluated:
        """Draw the pairs and leave-one-outs of a set, for each seed of a method others.

        So the seeds of a method differ by what is drawn too, also where its coalitions do not, and intervals and ranks
        know how much hangs on the draw. A set gets the same draws whoever proposes it.
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
        self,
        statistic: Callable[[JudgedGame, Evaluated, View], np.ndarray],
        view: View,
        needs: Callable[[Callable[[JudgedGame, Evaluated, View], np.ndarray], Evaluated], list[Group]],
    ) -> float:
        """What a statistic of synergy says where the truth is exactly zero, in its own unit.

        The statistic of a set minus the same statistic from a second evaluation of everything behind it, each ablation
        in a batch of its own: the largest absolute mean over the queries, of 4 random sets of 8 players (fewer where
        there are fewer). Arithmetic would give 0; floating point gives what this returns.
        """
        key = statistic, view
        if key not in self._floors:
            sets = self.controls(min(_FLOOR_SIZE, self.n_players))[:_FLOOR_SETS]
            self.heldout.prepare([group for c in sets for group in needs(statistic, c)])
            differences = [statistic(self._again, c, view) - statistic(self.heldout, c, view) for c in sets]
            self._floors[key] = max(float(abs(self.heldout.total(row, view))) for row in differences)
        return self._floors[key]

    @cached_property
    def reference(self) -> tuple[Preferences, str]:
        """Every player's preferences under the task's reference utility, and a line on where they come from.

        Second-order synergy on the held-out queries (:func:`coterie.methods.affinity_pas.pas_hessian`), which no method
        has seen, from ``reference_evaluations`` evaluations.
        """
        from coterie.methods.affinity_pas import pas_hessian
        from coterie.methods.hedonic import Preferences

        phi, notes = pas_hessian(self.task.heldout, self.settings.reference_evaluations)
        about = f"pas-hessian on held-out queries, rank {notes['rank']}, relative error {notes['relative_error']:.2f}"
        return Preferences.of(phi), about

    @cached_property
    def signals(self) -> dict[str, np.ndarray]:
        """Classical IR signals of the held-out pairs [pairs], by name; statistics from the documents of the source's pairs."""
        from coterie.tasks.signals import SIGNALS, signal_values, statistics_of

        if isinstance(self.task, PlantedTask):
            raise TypeError("expected a task with texts, got a planted one; fix: a metric that says what it needs")
        pairs = self.task.plan.pairs
        documents = {p.document_id: p.document for split in ("discovery", "heldout") for p in pairs[split]}
        statistics = statistics_of(documents.values())
        texts = [(p.query, p.document) for p in pairs["heldout"]]
        return {name: signal_values(name, texts, statistics) for name in SIGNALS}


def _group(indices: np.ndarray) -> Group:
    return tuple(sorted(int(i) for i in indices))
