"""The game: players that can be ablated, and outputs that change when they are."""

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
    """A kind of information. Games declare what they provide, methods what they use; the two are compared before a run."""

    ABLATIONS = "ablations"
    ACTIVATIONS = "activations"
    GRADIENTS = "gradients"
    LENS = "lens"
    WEIGHTS = "weights"


@dataclass
class Meter:
    """Counts evaluations by kind. One evaluation is one pass over all pairs of the game, with any set of players ablated."""

    limit: int | None = None
    """The budget; None for no limit."""

    counts: dict[str, int] = field(default_factory=dict)
    """Evaluations by kind of information."""

    seconds_saved: float = 0.0
    """Time that the evaluations reused from other methods of the task would have taken."""

    on_charge: Callable[[int], None] | None = None
    """Called with the total after each charge, to display progress."""

    @property
    def total(self) -> int:
        """Evaluations of all kinds."""
        return sum(self.counts.values())

    def charge(self, kind: Capability, evaluations: int) -> None:
        """Count evaluations before the work is done. Raises `BudgetExceededError`, counting nothing, beyond the limit."""
        if self.limit is not None and self.total + evaluations > self.limit:
            raise BudgetExceededError(
                f"budget: {self.limit} evaluations, {self.total} used, {evaluations} more of {kind.value!r} requested; "
                f"fix: a larger --budget, or a method that stops in time"
            )
        self.counts[kind.value] = self.counts.get(kind.value, 0) + evaluations
        if self.on_charge is not None:
            self.on_charge(self.total)


class Game(ABC):
    """Units of a network as players; the outputs are one number per query-document pair.

    A subclass sets the fields below and implements the underscored function behind each of its capabilities.
    """

    n_players: int
    """Number of units in the layer that can be ablated."""

    n_outputs: int
    """Number of query-document pairs."""

    capabilities: frozenset[Capability]
    """The kinds of information that the game provides."""

    meter: Meter
    """Counts everything that costs an evaluation."""

    def ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        """The outputs with each masked set of players ablated (True = ablated). Costs m evaluations.

        Raises `ValueError` for masks of the wrong shape or type.
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
        """Activations of the players, float32: one row per token, or one per pair (mean over its tokens, or last token).

        Costs one evaluation.
        """
        self._need(Capability.ACTIVATIONS)
        self.meter.charge(Capability.ACTIVATIONS, 1)
        return self._activations(pooling)

    def gradients(self, amounts: Float[Tensor, " players"] | None = None) -> Float[Tensor, "outputs players"]:
        """Derivatives of each output in the amounts of ablation, at `amounts` (None: nothing ablated), float32.

        An amount goes from 0, the player untouched, to 1, ablated; in between the residual stream moves on a straight line.
        So with zero ablation `-gradients()` is gradient times activation summed over tokens: the first-order effect of each
        player on each output. Costs two evaluations: a forward and a backward pass.
        """
        self._need(Capability.GRADIENTS)
        if amounts is not None and amounts.shape != (self.n_players,):
            raise ValueError(
                f"amounts: expected shape ({self.n_players},), got {tuple(amounts.shape)}; fix: one per player"
            )
        self.meter.charge(Capability.GRADIENTS, 2)
        return self._gradients(amounts)

    def hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        """Second derivatives of the mean output in the amounts of ablation (see `gradients`), times each direction, float32.

        Costs four evaluations per direction: two forward and two backward passes.
        """
        self._need(Capability.GRADIENTS)
        if directions.ndim != 2 or directions.shape[1] != self.n_players:
            raise ValueError(
                f"directions: expected shape (m, {self.n_players}), got {tuple(directions.shape)}; fix: one row per direction"
            )
        self.meter.charge(Capability.GRADIENTS, 4 * len(directions))
        return self._hessian_products(directions)

    def lens(self) -> Lens:
        """The last tokens' residual streams after the layer, and the terms that the logit lens computes from them.

        Costs one evaluation. A reranker's game can provide it whatever its own readout is.
        """
        self._need(Capability.LENS)
        self.meter.charge(Capability.LENS, 1)
        return self._lens()

    def write_vectors(self) -> Float[Tensor, "players d_model"]:
        """What each player adds to the residual stream per unit of activation: its column of the down projection."""
        self._need(Capability.WEIGHTS)
        return self._write_vectors()

    def masks(self, groups: list[list[int]] | list[tuple[int, ...]]) -> Bool[Tensor, "m players"]:
        """Masks from groups of player indices, one row per group."""
        masks = torch.zeros(len(groups), self.n_players, dtype=torch.bool)
        for row, group in enumerate(groups):
            masks[row, list(group)] = True
        return masks

    def restricted_to(self, sees: Set[Capability], budget: int | None, memo: Memo | None = None) -> RestrictedGame:
        """The game as a method receives it: only the declared information and the budgeted evaluations, with a new meter.

        Answers in the `memo` are not computed again, but charged all the same.
        """
        return RestrictedGame(self, frozenset(sees), budget, memo)

    def _need(self, capability: Capability) -> None:
        if capability not in self.capabilities:
            raise CapabilityError(
                f"this game provides {sorted(self.capabilities)}, not {capability.value!r}; "
                f"fix: add Capability.{capability.name} to what the method `sees`, or choose a task that has it"
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
    """A view of a game with a budget and only the declared capabilities; methods never see the game itself."""

    def __init__(self, game: Game, sees: frozenset[Capability], budget: int | None, memo: Memo | None = None) -> None:
        self._game, self._memo = game, memo
        self.n_players = game.n_players
        self.n_outputs = game.n_outputs
        self.capabilities = game.capabilities & sees
        self.meter = Meter(limit=budget)

    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        return self._answer("ablations", masks, lambda: self._game._ablate(masks))

    def _activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:
        return self._answer("activations", pooling, lambda: self._game._activations(pooling))

    def _gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "outputs players"]:
        return self._answer("gradients", amounts, lambda: self._game._gradients(amounts))

    def _hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        return self._answer("hessian products", directions, lambda: self._game._hessian_products(directions))

    def _lens(self) -> Lens:
        return self._answer("lens", None, self._game._lens)

    def _write_vectors(self) -> Float[Tensor, "players d_model"]:
        return self._game._write_vectors()

    def _answer(self, kind: str, argument: Tensor | Pooling | None, compute: Callable[[], Answer]) -> Answer:
        if self._memo is None:
            return compute()
        answer, saved = self._memo.answer(kind, argument, compute)
        self.meter.seconds_saved += saved
        return answer


def refuse_additive(game: Game, tolerance: float = 1e-4) -> None:
    """Raise `AdditiveReadoutError` if the joint effect of two disjoint halves of the players is the sum of their effects.

    Halves are the largest disjoint sets, and a readout that is linear in the ablated units shows no difference there beyond
    rounding. The public code of Hedonic Neurons (arXiv 2509.23684) has such a readout: it reads the residual stream without
    the final norm. Raises `RerankerError` for a game of one player, which has no joint effect.
    """
    if game.n_players < 2:
        raise RerankerError(
            f"expected a layer with at least 2 players, got {game.n_players}; fix: another layer or model"
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
