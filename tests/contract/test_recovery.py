"""Every registered method on games with known groups: it finds them if its information reveals them, and only then.

The games are the noise-free ones of `coterie.tasks.planted.game`, averaged over three of each. A method with parameters for
the number and size of the groups gets the true ones: these tests measure what it can find, not whether its defaults suit
these sizes (the suite `planted` measures that).
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
# Game -> the information that reveals its groups. Activations and weights together are OCA, which looks for neurons that
# fire together and write in different directions, so it is blind to groups that write alike.
REVEALED_BY: dict[str, set[frozenset[Capability]]] = {
    "coactive": {ACTIVATIONS, ACTIVATIONS | WEIGHTS, ABLATIONS, GRADIENTS},
    "grouped-writes": {WEIGHTS, ABLATIONS, GRADIENTS},
    "silent": {ABLATIONS, GRADIENTS},
}
# These reduce what they see to one number per player, or to products of such numbers, which cannot distinguish groups.
ONE_PLAYER_AT_A_TIME = {"msa-top", "top-activation", "top-gradient", "top-integrated-gradients"}
FIRST_ORDER = {"pas-outer"}


def with_true_sizes(cls: type[Method], **parameters: Any) -> Method:
    """The method with the true number and size of the groups, if it has parameters for them."""
    truth = {"n_clusters": COUNT, "size": SIZE, "k": SIZE - 1}
    return cls.build({**{key: value for key, value in truth.items() if key in cls.parameter_schema()}, **parameters})


def cases() -> list[Method]:
    """Every method, with every affinity it supports."""
    methods = []
    for cls in list_methods().values():
        affinity = cls.parameter_schema().get("affinity")
        variants = [{"affinity": name} for name in affinity["enum"]] if affinity else [{}]
        methods += [with_true_sizes(cls, **variant) for variant in variants]
    return methods


def revealed(method: Method, game: str) -> bool:
    at_a_time = method.name in ONE_PLAYER_AT_A_TIME or getattr(method, "affinity", None) in FIRST_ORDER
    return method.sees in REVEALED_BY[game] and not at_a_time


def answer(method: Method, game: PlantedGame, seed: int) -> Coalitions:
    try:
        return method.discover(game.restricted_to(method.sees, BUDGET), BUDGET, np.random.default_rng(seed))
    except ValueError as error:  # it noticed that it cannot find anything
        refusal = str(error)
    assert all(word in refusal for word in ("expected", "got", "fix: "))
    return Coalitions.of(game.n_players, [])


@pytest.mark.parametrize("method", cases(), ids=lambda method: method.selector)
@pytest.mark.parametrize("name", GAMES)
def test_methods_find_what_their_information_reveals_and_are_at_chance_otherwise(name: str, method: Method) -> None:
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


def test_the_tables_name_existing_methods_affinities_and_games() -> None:
    assert set(list_methods()) >= ONE_PLAYER_AT_A_TIME
    assert set(AFFINITIES) >= FIRST_ORDER
    assert set(REVEALED_BY) == set(GAMES)
