"""Affinities between players: phi[i, j] > 0 draws i and j into one coalition, < 0 keeps them apart.

All are symmetric float32 matrices with a zero diagonal, by name in :data:`AFFINITIES`, and so are what each of them sees
and costs. A method that works on any of them derives from :class:`AffinityMethod`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, JsonValue

from coterie.methods.affinity_lens import pas_lens, pas_lens_hessian
from coterie.methods.affinity_oca import oca, oca_cov
from coterie.methods.affinity_pas import pas, pas_hessian, pas_outer
from coterie.methods.base import Method, MethodError
from coterie.tasks.config.text import did_you_mean
from coterie.tasks.game import Capability, Game

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

AffinityName = Literal["oca", "oca-cov", "pas", "pas-lens", "pas-lens-hessian", "pas-hessian", "pas-outer"]
Measured = tuple["Float[np.ndarray, 'players players']", dict[str, JsonValue]]
_PAPER = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684"


@dataclass(frozen=True)
class Affinity:
    """One affinity: what it needs of a game, and the function from a game and a budget of evaluations to the matrix."""

    name: str
    sees: frozenset[Capability]
    reference: str
    function: Callable[[Game, int], Measured]

    def measure(self, game: Game, budget: int) -> Measured:
        """The matrix, and what is to be said about how it came about (rank and error of a sketch), as JSON values.

        Raises ``BudgetExceededError`` where `budget` evaluations do not cover it.
        """
        return self.function(game, budget)

    def compute(self, game: Game, budget: int) -> Float[np.ndarray, "players players"]:
        """The matrix alone."""
        return self.measure(game, budget)[0]


_STRUCTURE = frozenset({Capability.ACTIVATIONS, Capability.WEIGHTS})
_LENS = frozenset({Capability.LENS})
_GRADIENTS = frozenset({Capability.GRADIENTS})
AFFINITIES: dict[str, Affinity] = {
    affinity.name: affinity
    for affinity in (
        Affinity("oca", _STRUCTURE, _PAPER, lambda game, _: (oca(game.activations(), game.write_vectors()), {})),
        Affinity(
            "oca-cov",
            _STRUCTURE,
            f"{_PAPER} (public code)",
            lambda game, _: (oca_cov(game.activations(), game.write_vectors()), {}),
        ),
        Affinity("pas", frozenset({Capability.ABLATIONS}), _PAPER, lambda game, budget: (pas(game, budget), {})),
        Affinity("pas-lens", _LENS, f"{_PAPER}; closed form: coterie", lambda game, _: (pas_lens(game.lens()), {})),
        Affinity(
            "pas-lens-hessian",
            _LENS,
            f"{_PAPER}; closed form: coterie",
            lambda game, _: (pas_lens_hessian(game.lens()), {}),
        ),
        Affinity("pas-hessian", _GRADIENTS, _PAPER, pas_hessian),
        Affinity(
            "pas-outer",
            _GRADIENTS,
            f"{_PAPER} (public code)",
            lambda game, _: (pas_outer(game.gradients()), {}),
        ),
    )
}


def get_affinity(name: str) -> Affinity:
    """The affinity of this name. Raises :class:`MethodError` with the nearest names where there is none."""
    if name not in AFFINITIES:
        raise MethodError(f"unknown affinity {name!r}{did_you_mean(name, AFFINITIES)}")
    return AFFINITIES[name]


class AffinitySees:
    """``sees`` of a method with a parameter ``affinity``: what that affinity sees, and `also`.

    Read from an instance it follows the instance's parameter; read from the class, the default.
    """

    def __init__(self, *also: Capability) -> None:
        self._also = frozenset(also)

    def __get__(self, method: Any, cls: Any) -> frozenset[Capability]:
        return self._also | get_affinity((cls if method is None else method).affinity).sees


@dataclass(frozen=True)
class AffinityMethod(Method):
    """A method that works on an affinity matrix, whichever is asked for: ``get_affinity(self.affinity).measure(...)``.

    A subclass may give another default; one that asks the game for more sets ``sees = AffinitySees(Capability.X)``.
    """

    sees = AffinitySees()

    affinity: Annotated[AffinityName, Field(description="the matrix to work on")] = "oca"
