"""What every registered method must do. A new method in methods/ is held to all of it without a line here."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from coterie.benchmark.recovery import adjusted_mutual_information
from coterie.methods import Coalitions, Method, get_method, list_methods
from coterie.methods.base import split_selector
from coterie.tasks.game import BudgetExceededError, Capability, Game, Pooling
from coterie.tasks.lens import Lens
from tests.games import SyntheticGame

AMPLE = 10_000
pytestmark = pytest.mark.parametrize("name", list(list_methods()))


def tiny(name: str) -> Method:
    cls = list_methods()[name]
    return cls.build(cls.tiny)


def discover(method: Method, game: Game, budget: int = AMPLE, seed: int = 0) -> Coalitions:
    """As the runner does it: the game restricted to what the method declares."""
    return method.discover(game.restricted_to(method.sees, budget), budget, np.random.default_rng(seed))


class Watched(SyntheticGame):
    """Remembers which information was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[Capability] = set()

    def _ablate(self, masks: torch.Tensor) -> torch.Tensor:
        self.asked.add(Capability.ABLATIONS)
        return super()._ablate(masks)

    def _activations(self, pooling: Pooling) -> torch.Tensor:
        self.asked.add(Capability.ACTIVATIONS)
        return super()._activations(pooling)

    def _gradients(self, amounts: torch.Tensor | None) -> torch.Tensor:
        self.asked.add(Capability.GRADIENTS)
        return super()._gradients(amounts)

    def _hessian_products(self, directions: torch.Tensor) -> torch.Tensor:
        self.asked.add(Capability.GRADIENTS)
        return super()._hessian_products(directions)

    def _lens(self) -> Lens:
        self.asked.add(Capability.LENS)
        return super()._lens()

    def _write_vectors(self) -> torch.Tensor:
        self.asked.add(Capability.WEIGHTS)
        return super()._write_vectors()


def test_declares_itself(name: str) -> None:
    cls = list_methods()[name]
    assert cls.name == name
    assert cls.summary().endswith(".")
    assert cls.reference
    assert "Deviations from the paper:" in (cls.__doc__ or "")
    assert all("description" in schema for schema in cls.parameter_schema().values())


def test_parameters_round_trip_through_json_and_selector(name: str) -> None:
    for method in (tiny(name), list_methods()[name]()):
        assert type(method).build(json.loads(json.dumps(method.parameters))) == method
        assert get_method(method.selector) == method
        assert split_selector(method.selector)[0] == name


def test_answers_are_valid_and_report_json(name: str) -> None:
    game = SyntheticGame()
    found = discover(tiny(name), game)
    assert found.n_players == game.n_players
    assert replace(found) == found  # validates again
    assert any(size > 1 for size in found.sizes)
    assert json.loads(json.dumps(dict(found.notes), allow_nan=False)) == found.notes


def test_is_deterministic_for_a_seed_and_blind_to_global_random_state(name: str) -> None:
    results = []
    for scramble in (1, 2):
        random.seed(scramble)
        np.random.seed(scramble)  # noqa: NPY002 - the global state is the point
        torch.manual_seed(scramble)
        before = global_states()
        results.append(discover(tiny(name), SyntheticGame(), seed=3))
        assert global_states() == before, "drew from, or seeded, a global random state"
    assert results[0] == results[1]


def global_states() -> list[str]:
    return [str(random.getstate()), str(np.random.get_state(legacy=False)), str(torch.get_rng_state().tolist())]  # noqa: NPY002


def test_does_not_change_what_the_game_hands_out(name: str) -> None:
    game, fresh = SyntheticGame(copies=False), SyntheticGame()
    discover(tiny(name), game)
    assert torch.equal(game._hidden, fresh._hidden)
    assert torch.equal(game._out, fresh._out)


def test_uses_the_information_it_declares_and_no_other(name: str) -> None:
    game = Watched()
    discover(tiny(name), game)
    assert game.asked == tiny(name).sees


def test_respects_its_budget_to_the_evaluation(name: str) -> None:
    method, game = tiny(name), SyntheticGame().restricted_to(tiny(name).sees, AMPLE)
    method.discover(game, AMPLE, np.random.default_rng(0))
    used = game.meter.total
    assert discover(method, SyntheticGame(), budget=used).n_players == 24
    for budget in range(min(used, 3)):
        poor = SyntheticGame().restricted_to(method.sees, budget)
        with suppress(BudgetExceededError):  # or the method stops in time, with a poorer answer
            assert method.discover(poor, budget, np.random.default_rng(0)).n_players == 24
        assert poor.meter.total <= budget


def test_is_skipped_with_a_reason_where_a_capability_is_missing(name: str) -> None:
    method = tiny(name)
    assert method.skip_reason(SyntheticGame()) is None
    for missing in method.sees:
        game = SyntheticGame(capabilities=frozenset(Capability) - {missing})
        assert missing.value in (method.skip_reason(game) or "")


@pytest.mark.parametrize(
    "game",
    [
        SyntheticGame(n_players=1),
        SyntheticGame(n_players=2),
        SyntheticGame(activations=torch.ones(30, 24)),
        SyntheticGame(activations=torch.zeros(30, 24)),
        SyntheticGame(activations=torch.full((30, 24), torch.nan)),
        SyntheticGame(write_vectors=torch.zeros(24, 6)),
        SyntheticGame(write_vectors=torch.ones(24, 6)),
        SyntheticGame(write_vectors=torch.full((24, 6), torch.inf)),
    ],
    ids=["1-player", "2-players", "constant", "zero", "nan", "all-dead", "one-direction", "infinite-weights"],
)
def test_hard_games_get_a_valid_answer_or_a_clear_error(name: str, game: SyntheticGame) -> None:
    found = answer(tiny(name), game)
    if isinstance(found, ValueError):
        assert all(word in str(found) for word in ("expected", "got", "fix: "))
    else:
        assert found.n_players == game.n_players
        assert json.dumps(dict(found.notes), allow_nan=False)


class Renumbered(SyntheticGame):
    """The same game with other numbers: its player p is player `old[p]` of the one it was made from."""

    def __init__(self, game: SyntheticGame, old: torch.Tensor) -> None:
        super().__init__(activations=game._hidden[:, old], write_vectors=game._out[old])


def test_the_numbers_of_the_players_do_not_matter(name: str) -> None:
    """The same groups of players, for a method that always answers the same; else, as alike as two seeds' answers."""
    game, old = SyntheticGame(), torch.randperm(24, generator=torch.Generator().manual_seed(1))
    here = [discover(tiny(name), game, seed=seed).groups for seed in range(6)]
    there = [
        [
            tuple(sorted(old[list(group)].tolist()))
            for group in discover(tiny(name), Renumbered(game, old), seed=s).groups
        ]
        for s in range(6)
    ]
    if all(groups == here[0] for groups in here):
        assert set(there[0]) == set(here[0])
        return
    between_seeds = [adjusted_mutual_information(24, a, b) for a, b in combinations(here, 2)]
    between_numbers = [adjusted_mutual_information(24, a, b) for a in here for b in there]
    assert abs(np.mean(between_seeds) - np.mean(between_numbers)) < 0.2


def answer(method: Method, game: Game) -> Coalitions | ValueError:
    try:
        return discover(method, game)
    except ValueError as error:
        return error
