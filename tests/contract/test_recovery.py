"""Every registered method on games whose truth is known: it finds what its information reveals, and nothing else.

What decides is the information alone, on the noise-free games of :mod:`coterie.tasks.planted.game`, averaged over three of each.
A method is told the number and size of the groups where it has a parameter for them: this asks what it can find, not
whether its defaults suit these sizes (the suite ``planted`` asks that).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coterie.benchmark.protocol.recovery import adjusted_mutual_information, omega_index
from coterie.methods import Coalitions, Method, list_methods
from coterie.methods.affinity import AFFINITIES
from coterie.tasks.game import Capability
from coterie.tasks.planted.game import PlantedGame, Planting

ACTIVATIONS, WEIGHTS = frozenset({Capability.ACTIVATIONS}), frozenset({Capability.WEIGHTS})
ABLATIONS, GRADIENTS = frozenset({Capability.ABLATIONS}), frozenset({Capability.GRADIENTS})
SIZE, COUNT, BUDGET, SEEDS = 4, 6, 400, range(3)

GAMES: dict[str, Planting] = {
    "coactive": Planting(sizes=(SIZE,) * COUNT),
    "grouped-writes": Planting(sizes=(SIZE,) * COUNT, coactive=False, writes="grouped"),
    "silent": Planting(sizes=(SIZE,) * COUNT, coactive=False),
}
# Game -> the information that reveals its groups. Activations and weights together are OCA, which asks for neurons that
# fire together and write apart: it is blind to groups that write alike.
REVEALED_BY: dict[str, set[frozenset[Capability]]] = {
    "coactive": {ACTIVATIONS, ACTIVATIONS | WEIGHTS, ABLATIONS, GRADIENTS},
    "grouped-writes": {WEIGHTS, ABLATIONS, GRADIENTS},
    "silent": {ABLATIONS, GRADIENTS},
}
# They make one number a player of what they see, or products of such: nothing that tells groups apart.
ONE_PLAYER_AT_A_TIME = {"msa-top", "top-activation", "top-gradient", "top-integrated-gradients"}
FIRST_ORDER = {"pas-outer"}


def told(cls: type[Method], **parameters: Any) -> Method:
    """The method with what it asks for about the groups: how many, how large, how many friends a member has."""
    truth = {"n_clusters": COUNT, "size": SIZE, "k": SIZE - 1}
    return cls.build({**{key: value for key, value in truth.items() if key in cls.parameter_schema()}, **parameters})


def cases() -> list[Method]:
    """Every method, on every affinity where it works on one."""
    methods = []
    for cls in list_methods().values():
        affinity = cls.parameter_schema().get("affinity")
        variants = [{"affinity": name} for name in affinity["enum"]] if affinity else [{}]
        methods += [told(cls, **variant) for variant in variants]
    return methods


def revealed(method: Method, game: str) -> bool:
    at_a_time = method.name in ONE_PLAYER_AT_A_TIME or getattr(method, "affinity", None) in FIRST_ORDER
    return method.sees in REVEALED_BY[game] and not at_a_time


def answer(method: Method, game: PlantedGame, seed: int) -> Coalitions:
    try:
        return method.discover(game.restricted_to(method.sees, BUDGET), BUDGET, np.random.default_rng(seed))
    except ValueError as error:  # it saw that there is nothing to see
        refusal = str(error)
    assert all(word in refusal for word in ("expected", "got", "fix: "))
    return Coalitions.of(game.n_players, [])


@pytest.mark.parametrize("method", cases(), ids=lambda method: method.selector)
@pytest.mark.parametrize("name", GAMES)
def test_finds_what_its_information_reveals_and_is_at_chance_otherwise(name: str, method: Method) -> None:
    games = [PlantedGame(GAMES[name].model_copy(update={"seed": seed})) for seed in SEEDS]
    if not method.sees <= games[0].capabilities:
        assert method.skip_reason(games[0]) is not None
        return
    found = [answer(method, game, seed) for seed, game in enumerate(games)]
    for score in (omega_index, adjusted_mutual_information):
        mean = np.mean([score(g.n_players, g.truth, f.groups) for g, f in zip(games, found, strict=True)])
        if revealed(method, name):
            assert mean > 0.9
        else:
            assert abs(mean) < 0.2


def test_the_table_speaks_of_methods_that_there_are() -> None:
    assert set(list_methods()) >= ONE_PLAYER_AT_A_TIME
    assert set(AFFINITIES) >= FIRST_ORDER
    assert set(REVEALED_BY) == set(GAMES)
