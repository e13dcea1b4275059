"""The game: players that can be ablated, and the outputs that change. The first of coterie's four types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from coterie.tasks.errors import AdditiveReadoutError, BudgetExceededError, CapabilityError, RerankerError
from coterie.tasks.lens import Lens
from coterie.tasks.memo import Memo

Intervention = Literal["zero", "mean", "base"]
Readout = Literal["score", "lens"]
Pooling = Literal["tokens", "mean", "last"]
Answer = TypeVar("Answer")


class Capability(StrEnum):
    """What a game can tell and what a method sees: declared by both, compared before anything runs."""

    ABLATIONS = "ablations"
    ACTIVATIONS = "activations"
    GRADIENTS = "gradients"
    LENS = "lens"
    WEIGHTS = "weights"


@dataclass
class Meter:
    """Counts evaluations by kind. One evaluation = one pass over all pairs of the game, whatever is ablated in it.

    ``seconds_saved`` is what the evaluations would have taken that another method of the task had asked for already.
    ``told`` gets the total after each charge: for people who watch.
    """

    limit: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    seconds_saved: float = 0.0
    told: Callable[[int], None] | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def charge(self, kind: Capability, evaluations: int) -> None:
        """Count before the work is done. Raises :class:`BudgetExceededError` and counts nothing where it is too much."""
        if self.limit is not None and self.total + evaluations > self.limit:
            raise BudgetExceededError(
                f"budget: {self.limit} evaluations, {self.total} used, {evaluations} more of {kind.value!r} asked for; "
                f"fix: a larger --budget, or a method that stops in time"
            )
        self.counts[kind.value] = self.counts.get(kind.value, 0) + evaluations
        if self.told is not None:
            self.told(self.total)


class Game(ABC):
    """Units of a network as players, with one number per query-document pair as the outputs.

    A subclass gives the sizes, its capabilities and the underscored functions behind them. Everything that costs an
    evaluation is counted in :attr:`meter`.
    """

    n_players: int
    n_outputs: int
    capabilities: frozenset[Capability]
    meter: Meter

    def ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        """The outputs with each masked set of players ablated (True = ablated): m evaluations.

        Raises ``ValueError`` on masks of the wrong shape or type.
        """
        self._need(Capability.ABLATIONS)
        if masks.dtype != torch.bool or masks.ndim != 2 or masks.shape[1] != self.n_players:
            raise ValueError(
                f"masks: expected bool of shape (m, {self.n_players}), got {masks.dtype} of shape {tuple(masks.shape)}; "
                f"fix: game.masks([[0, 3], [5]]) builds them from groups of player indices"
            )
        self.meter.charge(Capability.ABLATIONS, len(masks))
        return self._ablate(masks)

    def activations(self, pooling: Pooling = "tokens") -> Float[Tensor, "rows players"]:
        """Activations of the players: one row a token, or one a pair (mean over its tokens; its last token).

        One evaluation, float32.
        """
        self._need(Capability.ACTIVATIONS)
        self.meter.charge(Capability.ACTIVATIONS, 1)
        return self._activations(pooling)

    def gradients(self, amounts: Float[Tensor, " players"] | None = None) -> Float[Tensor, "outputs players"]:
        """Derivatives of each output in the *amounts* of ablation, at `amounts` (nothing ablated where not given).

        An amount goes from 0, the player as it is, to 1, ablated; between them the residual stream moves on a straight
        line. So ``-gradients()`` is, under zero ablation, gradient times activation summed over tokens: the first-order
        effect of each player on each output. Two evaluations, one pass forward and one back; float32.
        """
        self._need(Capability.GRADIENTS)
        if amounts is not None and amounts.shape != (self.n_players,):
            raise ValueError(
                f"amounts: expected shape ({self.n_players},), got {tuple(amounts.shape)}; fix: one a player"
            )
        self.meter.charge(Capability.GRADIENTS, 2)
        return self._gradients(amounts)

    def hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        """Second derivatives of the mean output in the amounts of ablation (see :meth:`gradients`), times each direction.

        Four evaluations a direction, two passes forward and two back; float32.
        """
        self._need(Capability.GRADIENTS)
        if directions.ndim != 2 or directions.shape[1] != self.n_players:
            raise ValueError(
                f"directions: expected shape (m, {self.n_players}), got {tuple(directions.shape)}; fix: one row a direction"
            )
        self.meter.charge(Capability.GRADIENTS, 4 * len(directions))
        return self._hessian_products(directions)

    def lens(self) -> Lens:
        """The last tokens' residual streams after the layer and all that the logit lens makes of them. One evaluation.

        A game of a reranker has it whatever its own readout is.
        """
        self._need(Capability.LENS)
        self.meter.charge(Capability.LENS, 1)
        return self._lens()

    def write_vectors(self) -> Float[Tensor, "players d_model"]:
        """What each player adds to the residual stream per unit of activation (its column of the down projection)."""
        self._need(Capability.WEIGHTS)
        return self._write_vectors()

    def masks(self, groups: list[list[int]] | list[tuple[int, ...]]) -> Bool[Tensor, "m players"]:
        """Masks from groups of player indices, one row a group."""
        masks = torch.zeros(len(groups), self.n_players, dtype=torch.bool)
        for row, group in enumerate(groups):
            masks[row, list(group)] = True
        return masks

    def restricted_to(self, sees: Set[Capability], budget: int | None, memo: Memo | None = None) -> RestrictedGame:
        """This game as a method gets it: only the declared information, only the budgeted evaluations, a meter of its own.

        With a ``memo``, what was asked with it before is not computed again; it is charged all the same.
        """
        return RestrictedGame(self, frozenset(sees), budget, memo)

    def _need(self, capability: Capability) -> None:
        if capability not in self.capabilities:
            raise CapabilityError(
                f"this game gives {sorted(self.capabilities)}, not {capability.value!r}; "
                f"fix: add Capability.{capability.name} to what the method `sees`, or take a task that has it"
            )

    @abstractmethod
    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]: ...

    def _activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:
        raise NotImplementedError(f"{type(self).__name__} declares activations without _activations")

    def _gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "outputs players"]:
        raise NotImplementedError(f"{type(self).__name__} declares gradients without _gradients")

    def _hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        raise NotImplementedError(f"{type(self).__name__} declares gradients without _hessian_products")

    def _lens(self) -> Lens:
        raise NotImplementedError(f"{type(self).__name__} declares the lens without _lens")

    def _write_vectors(self) -> Float[Tensor, "players d_model"]:
        raise NotImplementedError(f"{type(self).__name__} declares weights without _write_vectors")


@final
class RestrictedGame(Game):
    """A view on a game with fewer capabilities and a budget; the only thing a method is ever handed."""

    def __init__(self, game: Game, sees: frozenset[Capability], budget: int | None, memo: Memo | None = None) -> None:
        self._game, self._memo = game, memo
        self.n_players = game.n_players
        self.n_outputs = game.n_outputs
        self.capabilities = game.capabilities & sees
        self.meter = Meter(limit=budget)

    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        return self._asked("ablations", masks, lambda: self._game._ablate(masks))

    def _activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:
        return self._asked("activations", pooling, lambda: self._game._activations(pooling))

    def _gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "outputs players"]:
        return self._asked("gradients", amounts, lambda: self._game._gradients(amounts))

    def _hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        return self._asked("hessian products", directions, lambda: self._game._hessian_products(directions))

    def _lens(self) -> Lens:
        return self._asked("lens", None, self._game._lens)

    def _write_vectors(self) -> Float[Tensor, "players d_model"]:
        return self._game._write_vectors()

    def _asked(self, kind: str, argument: Tensor | Pooling | None, compute: Callable[[], Answer]) -> Answer:
        if self._memo is None:
            return compute()
        answer, saved = self._memo.answer(kind, argument, compute)
        self.meter.seconds_saved += saved
        return answer


def refuse_additive(game: Game, tolerance: float = 1e-4) -> None:
    """Raise :class:`AdditiveReadoutError` where the joint effect of two disjoint halves is the sum of their effects.

    A game of one player has no joint effect: :class:`RerankerError`.

    Three evaluations on halves of the players, the largest sets there are: a readout that is linear in the ablated
    units shows no difference there beyond rounding. The public code of Hedonic Neurons (arXiv 2509.23684) reads the
    residual stream without the final norm, which is such a readout.
    """
    if game.n_players < 2:
        raise RerankerError(
            f"expected a layer with at least 2 players, got {game.n_players}: nothing to group; fix: another layer or model"
        )
    generator = torch.Generator().manual_seed(0)
    halves = torch.rand(game.n_players, generator=generator) < 0.5
    masks = torch.stack([torch.zeros_like(halves), halves, ~halves, torch.ones_like(halves)])
    outputs = game._ablate(masks).double()
    effects = outputs[0] - outputs[1:]
    synergy = (effects[2] - effects[0] - effects[1]).abs().mean()
    scale = effects.abs().mean()
    if synergy <= tolerance * scale:
        raise AdditiveReadoutError(
            f"the readout is additive in the ablated players: |synergy of two halves| = {synergy:.1e} against effects of "
            f"{scale:.1e}, so every synergy is zero by construction; expected a readout behind a nonlinearity; "
            f"fix: readout 'score' (the model's final logit) or 'lens' (final norm and head after the layer)"
        )
