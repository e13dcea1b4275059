"""Planted games: the groups to find are known, because the game was built around them.

The players of a group share an effect; every other player is a decoy. With `r_i = [i in A]`, the output of pair x with the
players A ablated is

    y(x; A) = y(x) - sum_g t_g(x) F(g, A) - sum_i c_i r_i - b/2 sum_ij E_ij r_i r_j

`t_g(x) >= 0`, with mean 1 over the pairs, is the importance of group g for x. `c_i` is a player's own additive effect, equal on
all pairs; it differs between players, so that a ranking of single effects reveals nothing about groups. `E` (symmetric,
standard normal, zero diagonal) is unstructured interaction. Effects are f(A) = mean_x [y(x) - y(x; A)], and synergies
psi(i, j) = f({i, j}) - f({i}) - f({j}). What a group of m players adds to f depends on its rule:

| rule | F(g, A) | psi of a pair in g | Shapley value of a member | Harsanyi dividends |
|---|---|---|---|---|
| `graded` | (share of g in A)^2 | 2 / m^2 | 1 / m | 1 / m^2 singles, 2 / m^2 pairs |
| `all` | 1 if all members of g are in A | 1 if m = 2, else 0 | 1 / m | 1 on g itself |
| `any` | 1 if any member of g is in A | -1 | 1 / m | (-1)^(s + 1) on every subset of s players |

`all` is an AND of ablations (each member is a backup for the others), `any` an AND of presences (each member is needed). A
pair across groups has psi = b E_ij and nothing else. What reveals the groups:

- Ablations of pairs: for `graded` (psi > 0) and for `all` with two members; not for `all` with more members, whose pairs have
  no synergy; for `any` only if a method takes psi < 0 for a bond.
- Contributions to outputs (Shapley modes): for all rules, because members of g contribute in proportion to the same t_g(x).
- Activations: if `coactive`, a_i = l_i (t_g + noise) for members of g; otherwise activations are independent.
- Weights: if `writes` is `grouped`, members write in nearly the same direction. If `apart`, all directions are orthogonal and
  reveal nothing. OCA looks for coactive members that write apart, so it cannot find `grouped` ones.
- Gradients with nothing ablated: first derivatives never do (F is flat there, or, for `any`, the same for all groups); second
  derivatives do whenever ablations of pairs do.

Decoys: `additive` players have an independent activation and effect. `copies` are pairs that fire and write alike, and the
ablation of either has the whole effect (F as for `any`, psi = -1): redundant, not a coalition. Each of the `inhibitors` is
most active on the pairs to which one group matters least, and its ablation raises the outputs. `dead` players never fire,
write nothing and have no effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator
from torch import Tensor

from coterie.tasks.config.numbers import Number, Seed
from coterie.tasks.derivatives import gradients_of, hessian_products_of
from coterie.tasks.game import Capability, Meter, Pooling
from coterie.tasks.query_game import QueryGame

Rule = Literal["graded", "all", "any"]
Groups = tuple[tuple[int, ...], ...]

PLANTED_VERSION = 1  # part of fingerprints: increase it whenever the same planting makes a different game
_MAX_PLAYERS = 20_000  # because their interactions are a matrix
_COPIES = 2  # players in a set of redundant copies
_DEVIATION = 0.5  # standard deviation of the logarithm of a factor, and nearly of the factor
_JITTER = 0.3  # length of a grouped player's own part of its write vector, relative to the group's part


class Planting(BaseModel):
    """What to plant. Everything else about the game follows from these numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: tuple[Annotated[StrictInt, Field(ge=1, le=_MAX_PLAYERS)], ...] = (4,) * 6
    """Number of players in each group."""
    rule: Rule = "graded"
    """How the effect of a group depends on the share of its members that is ablated."""
    overlap: StrictInt = Field(default=0, ge=0)
    """Number of members that each group shares with the next."""
    coactive: StrictBool = True
    """Whether the members of a group fire together."""
    writes: Literal["apart", "grouped"] = "apart"
    """Directions of the players' write vectors: all orthogonal, or similar within a group."""
    additive: StrictInt = Field(default=0, ge=0)
    """Number of decoys with an independent effect and activation."""
    copies: StrictInt = Field(default=0, ge=0)
    """Number of pairs of redundant copies."""
    inhibitors: StrictInt = Field(default=0, ge=0)
    """Number of decoys that fire inversely to a group and lower the outputs."""
    dead: StrictInt = Field(default=0, ge=0)
    """Number of decoys without any effect."""
    noise: Number = Field(default=0.0, ge=0)
    """Strength of unstructured interactions between pairs and of noise in the activations, relative to the structure."""
    seed: Seed = 0
    """Seed of everything random."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        players = sum(self.sizes) + self.additive + _COPIES * self.copies + self.inhibitors + self.dead
        if players > _MAX_PLAYERS:
            raise ValueError(
                f"expected at most {_MAX_PLAYERS} players in total, got {players}; fix: plant fewer or smaller groups"
            )
        return self


@dataclass(frozen=True)
class Layout:
    """The role of each player. Players are numbered at random, so that their numbers reveal nothing."""

    n_players: int
    """Number of players, including decoys."""
    truth: Groups
    """The planted groups, each in ascending order."""
    copies: Groups
    """The pairs of redundant copies."""
    inhibitors: tuple[int, ...]
    """The inhibitors, in the order of the groups that they oppose."""
    dead: tuple[int, ...]
    """The dead players. All others are additive."""

    @classmethod
    def of(cls, planting: Planting) -> Layout:
        """Assign the roles. Raises `ValueError` if groups are too small, or share more than half of their members."""
        if not planting.sizes or min(planting.sizes) < max(2, 2 * planting.overlap):
            raise ValueError(
                f"sizes: expected groups of at least {max(2, 2 * planting.overlap)} players (2, and twice the overlap), "
                f"got {planting.sizes}; fix: larger groups or less overlap"
            )
        starts = np.cumsum([0, *(size - planting.overlap for size in planting.sizes[:-1])])
        grouped = int(starts[-1]) + planting.sizes[-1]
        copied, others = _COPIES * planting.copies, planting.inhibitors + planting.dead
        n = grouped + copied + others + planting.additive
        seat = np.random.default_rng([planting.seed, 0]).permutation(n)

        def seats(start: int, size: int) -> tuple[int, ...]:
            return tuple(sorted(int(i) for i in seat[start : start + size]))

        return cls(
            n_players=n,
            truth=tuple(seats(int(s), size) for s, size in zip(starts, planting.sizes, strict=True)),
            copies=tuple(seats(grouped + _COPIES * i, _COPIES) for i in range(planting.copies)),
            inhibitors=tuple(int(i) for i in seat[grouped + copied : grouped + copied + planting.inhibitors]),
            dead=seats(grouped + copied + planting.inhibitors, planting.dead),
        )


@final
class PlantedGame(QueryGame):
    """The game of a `Planting` on `n_queries` queries with `depth` pairs each; the rows of the activations are pairs.

    Games of different `split` have the same groups, own effects, weights and interactions, but different pairs. Computation
    is in float64. Raises `ValueError` for an impossible planting.
    """

    capabilities = frozenset(Capability) - {Capability.LENS}

    def __init__(self, planting: Planting, n_queries: int = 40, depth: int = 5, split: int = 0) -> None:
        self.planting, self.layout = planting, Layout.of(planting)
        self.n_players, self.n_outputs = self.layout.n_players, n_queries * depth
        self.query_ids = [f"q{i}" for i in range(n_queries)]
        self.query_of_pair = np.repeat(np.arange(n_queries), depth)
        self.meter = Meter()
        structure = np.random.default_rng([planting.seed, 1])
        self._own = torch.from_numpy(self._own_effects(structure))
        self._background = torch.from_numpy(self._background_interactions(structure))
        self._writes = torch.from_numpy(self._directions(structure))
        self._load = structure.uniform(0.5, 2.0, self.n_players)
        self._sets = [*self.layout.truth, *self.layout.copies]
        draws = np.random.default_rng([planting.seed, 2, split])
        importance = _factors(draws, len(self._sets), self.n_outputs)
        self._importance = torch.from_numpy(np.vstack([importance, np.ones(self.n_outputs)]))
        self._fired = torch.from_numpy(self._fire(draws, importance))
        self._unablated = torch.from_numpy(draws.normal(size=self.n_outputs))

    @property
    def truth(self) -> Groups:
        """The planted groups."""
        return self.layout.truth

    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        return self._outputs(masks.double())

    def _outputs(self, removed: Float[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        """Outputs if each player is removed by an amount from 0 to 1: polynomials that extend the table above."""
        return self._unablated - self._losses(removed) @ self._importance

    def _losses(self, removed: Float[Tensor, "m players"]) -> Float[Tensor, "m terms"]:
        """F of each group and each pair of copies; the last term is the loss that all query-document pairs share."""
        lost = [_lost(removed[:, list(s)], self._rule(i)) for i, s in enumerate(self._sets)]
        common = removed @ self._own + 0.5 * ((removed @ self._background) * removed).sum(1)
        return torch.stack([*lost, common], dim=1)

    def _activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:  # noqa: ARG002 - rows are pairs
        return self._fired.float()

    def _gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "outputs players"]:
        at = torch.zeros(self.n_players) if amounts is None else amounts
        # The outputs are linear in a few terms, so one backward pass per term replaces one per output.
        terms = gradients_of(lambda amounts: self._losses(amounts.double()[None])[0], at)
        return -self._importance.float().T @ terms

    def _hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        return hessian_products_of(lambda amounts: self._outputs(amounts.double()[None])[0], directions)

    def _write_vectors(self) -> Float[Tensor, "players d_model"]:
        return self._writes.float()

    def _rule(self, number: int) -> Rule:
        return self.planting.rule if number < len(self.truth) else "any"

    def _own_effects(self, rng: np.random.Generator) -> np.ndarray:
        own = rng.uniform(0.05, 0.25, self.n_players)
        own[list(self.layout.inhibitors)] *= -1
        own[list(self.layout.dead)] = 0
        return own

    def _background_interactions(self, rng: np.random.Generator) -> np.ndarray:
        """The matrix b E: its standard deviation is `noise` times the psi of a `graded` pair in a group of median size."""
        upper = np.triu(rng.normal(size=(self.n_players, self.n_players)), 1)
        upper *= self.planting.noise * 2 / np.median(self.planting.sizes) ** 2
        upper[list(self.layout.dead)] = upper[:, list(self.layout.dead)] = 0
        background: np.ndarray = upper + upper.T
        return background

    def _directions(self, rng: np.random.Generator) -> np.ndarray:
        """Write vectors [players, players]: random lengths times orthonormal directions, plus a shared one if grouped."""
        basis = np.linalg.qr(rng.normal(size=(self.n_players, self.n_players)))[0]
        directions = basis.copy()
        if self.planting.writes == "grouped":
            for group in self.layout.truth:
                shared = basis[list(group)].sum(0) / np.sqrt(len(group))
                directions[list(group)] = shared + _JITTER * basis[list(group)]
        for pair in self.layout.copies:
            directions[list(pair)] = basis[pair[0]]
        directions[list(self.layout.dead)] = 0
        lengths = rng.uniform(0.5, 2.0, (self.n_players, 1))
        scaled: np.ndarray = lengths * directions
        return scaled

    def _fire(self, rng: np.random.Generator, importance: np.ndarray) -> np.ndarray:
        """Activations [outputs, players]: the player's load times its factor plus noise, never negative."""
        factor = _factors(rng, self.n_players, self.n_outputs)
        if self.planting.coactive:
            factor[sorted({i for group in self.truth for i in group})] = 0
            for group, shared in zip(self.truth, importance[: len(self.truth)], strict=True):
                factor[list(group)] += shared
        for pair, shared in zip(self.layout.copies, importance[len(self.truth) :], strict=True):
            factor[list(pair)] = shared
        for number, player in enumerate(self.layout.inhibitors):
            against = importance[number % len(self.truth)]
            factor[player] = against.max() - against
        noisy = factor + self.planting.noise * _DEVIATION * rng.normal(size=factor.shape)
        noisy[list(self.layout.dead)] = 0
        fired: np.ndarray = np.maximum(noisy, 0).T * self._load
        return fired


def _factors(rng: np.random.Generator, count: int, outputs: int) -> np.ndarray:
    """Log-normal factors [count, outputs], each with mean 1 over the outputs."""
    factors = np.exp(_DEVIATION * rng.normal(size=(count, outputs)))
    scaled: np.ndarray = factors / factors.mean(1, keepdims=True)
    return scaled


def _lost(removed: Float[Tensor, "m members"], rule: Rule) -> Float[Tensor, " m"]:
    """F(g, A) of one group, given which members are removed (1) and which stay (0)."""
    if rule == "graded":
        return removed.mean(1) ** 2
    return removed.prod(1) if rule == "all" else 1 - (1 - removed).prod(1)
