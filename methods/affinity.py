"""Affinities between players: phi[i, j] > 0 draws i and j into one coalition, and < 0 keeps them apart.

All are symmetric float32 matrices with a zero diagonal. `AFFINITIES` holds them by name, with what each of them sees. A
method that works on any of them derives from `AffinityMethod`.
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
    """A named way to measure an affinity matrix in a game."""

    name: str
    """Its name in `AFFINITIES` and in the parameters of methods."""
    sees: frozenset[Capability]
    """What it needs from a game."""
    reference: str
    """The paper or other source that defines it."""
    function: Callable[[Game, int], Measured]
    """Computes the matrix and its notes from a game and a budget of evaluations."""

    def measure(self, game: Game, budget: int) -> Measured:
        """Return the matrix, and notes on how it was computed (such as rank and error of a sketch) as JSON values.

        Raises `BudgetExceededError` if the matrix takes more than `budget` evaluations.
        """
        return self.function(game, budget)


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
    """Return the affinity of this name. Raises `MethodError` with the nearest names if there is no such affinity."""
    if name not in AFFINITIES:
        raise MethodError(f"unknown affinity {name!r}{did_you_mean(name, AFFINITIES)}")
    return AFFINITIES[name]


class AffinitySees:
    """The attribute `sees` of a method with a parameter `affinity`: what that affinity sees, and `also`.

    On an instance, it follows the instance's parameter; on the class, the parameter's default.
    """

    def __init__(self, *also: Capability) -> None:
        self._also = frozenset(also)

    def __get__(self, method: Any, cls: Any) -> frozenset[Capability]:
        return self._also | get_affinity((cls if method is None else method).affinity).sees


@dataclass(frozen=True)
class AffinityMethod(Method):
    """A method on the affinity matrix that its parameter `affinity` names: `get_affinity(self.affinity).measure(...)`.

    A subclass may set another default; one that needs more from the game sets `sees = AffinitySees(Capability.X)`.
    """

    sees = AffinitySees()

    affinity: Annotated[AffinityName, Field(description="affinity matrix to work on")] = "oca"
