"""What every method must do: the checks behind ``coterie check``, the tests and CI, each with what it asks and how to mend it.

A check takes a method class and returns, or raises :class:`BrokenContractError` with what it saw. Anything else that the
method raises on the way is a failure too.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch

from coterie.benchmark.protocol.recovery import adjusted_mutual_information
from coterie.methods.base import Method, split_selector
from coterie.methods.coalitions import Coalitions
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability, Game
from coterie.tasks.synthetic import RenumberedGame, SyntheticGame, WatchedGame

AMPLE = 10_000  # evaluations: more than a method with its `tiny` parameters asks for
_AS_ALIKE = 0.2  # AMI: how far renumbering may be from what another seed does


class BrokenContractError(Exception):
    """A method does not do what is asked of every method; the text says what was seen."""


@dataclass(frozen=True)
class Check:
    """One thing that is asked of every method."""

    name: str
    asks: str
    fix: str
    run: Callable[[type[Method]], None]


CHECKS: dict[str, Check] = {}


def _check(asks: str, fix: str) -> Callable[[Callable[[type[Method]], None]], Callable[[type[Method]], None]]:
    def register(run: Callable[[type[Method]], None]) -> Callable[[type[Method]], None]:
        name = run.__name__.replace("_", "-")
        CHECKS[name] = Check(name, asks, fix, run)
        return run

    return register


def _require(condition: object, seen: str) -> None:
    if not condition:
        raise BrokenContractError(seen)


def tiny(cls: type[Method]) -> Method:
    """The method with the parameters with which it can be run often."""
    return cls.build(cls.tiny)


def discover(method: Method, game: Game, budget: int = AMPLE, seed: int = 0) -> Coalitions:
    """As the runner does it: the game restricted to what the method declares."""
    return method.discover(game.restricted_to(method.sees, budget), budget, np.random.default_rng(seed))


@_check(
    asks="says what it is: a summary that is a sentence, a reference, how it deviates from its source, every parameter",
    fix="end the docstring's first line with a full stop, add a line 'Deviations from the paper: ...', set `reference`, "
    "and write each parameter as  name: Annotated[int, Field(description='...')] = 1",
)
def describes_itself(cls: type[Method]) -> None:
    _require(cls.summary().endswith("."), f"the docstring begins with {cls.summary()!r}")
    _require(cls.reference, "`reference` is empty")
    _require("Deviations from the paper:" in (cls.__doc__ or ""), "the docstring has no 'Deviations from the paper:'")
    for name, schema in cls.parameter_schema().items():
        _require("description" in schema, f"parameter {name!r} has no description")


@_check(
    asks="its parameters and its selector name[parameter=value] give an equal method back",
    fix="use plain types (int, float, str, bool, Literal, lists of them) and change no field after construction",
)
def parameters_round_trip(cls: type[Method]) -> None:
    for method in (tiny(cls), cls()):
        again = cls.build(json.loads(json.dumps(method.parameters)))
        _require(again == method, f"{method} became {again} by way of JSON")
        name, parameters = split_selector(method.selector)
        _require(name == cls.name, f"the selector {method.selector!r} names {name!r}")
        again = cls.build(parameters)
        _require(again == method, f"{method} became {again} by way of {method.selector!r}")


@_check(
    asks="finds a coalition of two or more players in an ordinary game of 24, and reports notes that are JSON",
    fix="return Coalitions.of(game.n_players, groups, **notes) with numbers, strings and lists as notes, none of them NaN",
)
def answers_are_valid(cls: type[Method]) -> None:
    game = SyntheticGame()
    found = discover(tiny(cls), game)
    _require(isinstance(found, Coalitions), f"discover returned a {type(found).__name__}")
    _require(found.n_players == game.n_players, f"n_players is {found.n_players} in a game of {game.n_players}")
    _require(replace(found) == found, "the coalitions changed when they were validated again")
    _require(any(size > 1 for size in found.sizes), f"the sizes are {found.sizes}")
    again = json.loads(json.dumps(dict(found.notes), allow_nan=False))
    _require(again == found.notes, f"the notes {found.notes} became {again} by way of JSON")


@_check(
    asks="gives the same answer for the same seed, and neither reads nor changes a global random state",
    fix="draw everything from `rng` (never random.*, np.random.*, torch.rand* without generator=); give libraries "
    "random_state=int(rng.integers(2**31)); sort sets before you go through them",
)
def depends_on_its_seed_alone(cls: type[Method]) -> None:
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the global state is the point
    results = []
    try:
        for scramble in (1, 2):
            random.seed(scramble)
            np.random.seed(scramble)  # noqa: NPY002
            torch.manual_seed(scramble)
            before = _global_states()
            results.append(discover(tiny(cls), SyntheticGame(), seed=3))
            _require(_global_states() == before, "it drew from, or seeded, a global random state")
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])  # noqa: NPY002
        torch.set_rng_state(saved[2])
    _require(results[0] == results[1], f"seed 3 gave {results[0].groups} and then {results[1].groups}")


def _global_states() -> list[str]:
    return [str(random.getstate()), str(np.random.get_state(legacy=False)), str(torch.get_rng_state().tolist())]  # noqa: NPY002


@_check(
    asks="leaves the arrays that the game hands out as they are",
    fix="work on a copy: activations = game.activations().clone()",
)
def changes_nothing_in_the_game(cls: type[Method]) -> None:
    game, fresh = SyntheticGame(copies=False), SyntheticGame()
    discover(tiny(cls), game)
    _require(torch.equal(game._hidden, fresh._hidden), "the game's activations were changed")
    _require(torch.equal(game._out, fresh._out), "the game's write vectors were changed")


@_check(
    asks="uses all the information that it declares in `sees`, and no other",
    fix="make `sees` what `discover` asks the game for, no more and no less: comparisons are by what a method sees",
)
def sees_what_it_declares(cls: type[Method]) -> None:
    game, method = WatchedGame(), tiny(cls)
    discover(method, game)
    asked, declared = (", ".join(sorted(c.value for c in s)) or "nothing" for s in (game.asked, method.sees))
    _require(game.asked == method.sees, f"it declares {declared} and asked for {asked}")


@_check(
    asks="stays within its budget: with less it stops in time, or lets BudgetExceededError pass",
    fix="ask for at most `budget` evaluations (game.meter.total counts), and do not catch BudgetExceededError and go on",
)
def respects_its_budget(cls: type[Method]) -> None:
    method = tiny(cls)
    game = SyntheticGame().restricted_to(method.sees, AMPLE)
    method.discover(game, AMPLE, np.random.default_rng(0))
    used = game.meter.total
    try:
        discover(method, SyntheticGame(), budget=used)
    except BudgetExceededError as error:
        raise BrokenContractError(f"it used {used} evaluations, and asked for more with a budget of {used}") from error
    for budget in range(min(used, 3)):
        poor = SyntheticGame().restricted_to(method.sees, budget)
        with suppress(BudgetExceededError):  # or the method stops in time, with a poorer answer
            found = method.discover(poor, budget, np.random.default_rng(0))
            _require(found.n_players == poor.n_players, f"with a budget of {budget} n_players is {found.n_players}")
        _require(poor.meter.total <= budget, f"it spent {poor.meter.total} of a budget of {budget}")


@_check(
    asks="is skipped, with the reason, on a game that lacks what it needs",
    fix="leave `skip_reason` to Method, or name the missing capability in what it returns",
)
def says_what_it_lacks(cls: type[Method]) -> None:
    method = tiny(cls)
    reason = method.skip_reason(SyntheticGame())
    _require(reason is None, f"on a game that gives everything it is skipped: {reason}")
    for missing in method.sees:
        reason = method.skip_reason(SyntheticGame(capabilities=frozenset(Capability) - {missing}))
        _require(missing.value in (reason or ""), f"without {missing.value} the reason is {reason!r}")


def hard_games() -> Iterator[tuple[str, SyntheticGame]]:
    """Games that are hard to answer: tiny ones, dead ones, broken ones."""
    yield "a game of 1 player", SyntheticGame(n_players=1)
    yield "a game of 2 players", SyntheticGame(n_players=2)
    yield "constant activations", SyntheticGame(activations=torch.ones(30, 24))
    yield "activations that are all zero", SyntheticGame(activations=torch.zeros(30, 24))
    yield "activations that are NaN", SyntheticGame(activations=torch.full((30, 24), torch.nan))
    yield "write vectors that are all zero", SyntheticGame(write_vectors=torch.zeros(24, 6))
    yield "write vectors of one direction", SyntheticGame(write_vectors=torch.ones(24, 6))
    yield "infinite write vectors", SyntheticGame(write_vectors=torch.full((24, 6), torch.inf))


@_check(
    asks="answers hard games validly, or raises ValueError that says what was expected, what was got and the fix",
    fix='raise ValueError("activations: expected ..., got ...; fix: ...") where the input cannot be answered '
    "(coterie.methods.arrays.matrix does so for what is not finite); a game without groups may get none",
)
def masters_hard_games(cls: type[Method]) -> None:
    method = tiny(cls)
    for about, game in hard_games():
        try:
            found = discover(method, game)
        except ValueError as error:
            told = all(word in str(error) for word in ("expected", "got", "fix: "))
            _require(told, f"{about}: ValueError without expected, got and 'fix: ': {error}")
        except Exception as error:
            raise BrokenContractError(f"{about}: {type(error).__name__}: {error}") from error
        else:
            _require(found.n_players == game.n_players, f"{about}: n_players is {found.n_players}")
            json.dumps(dict(found.notes), allow_nan=False)


@_check(
    asks="the numbers of the players do not matter: renumbered, they get the same groups (for a method that draws at "
    "random: groups as alike as two seeds give)",
    fix="do not use a player's index for anything but naming it; break ties by values or by `rng`, not by index",
)
def ignores_the_numbers_of_players(cls: type[Method]) -> None:
    game, old = SyntheticGame(), torch.randperm(24, generator=torch.Generator().manual_seed(1))
    renumbered = RenumberedGame(game, old)
    here = [discover(tiny(cls), game, seed=seed).groups for seed in range(6)]
    there = [
        [tuple(sorted(old[list(group)].tolist())) for group in discover(tiny(cls), renumbered, seed=seed).groups]
        for seed in range(6)
    ]
    if all(groups == here[0] for groups in here):
        seen = f"the groups are {sorted(here[0])}, and renumbered {sorted(there[0])}"
        _require(set(there[0]) == set(here[0]), seen)
        return
    between_seeds = float(np.mean([adjusted_mutual_information(24, a, b) for a, b in combinations(here, 2)]))
    between_numbers = float(np.mean([adjusted_mutual_information(24, a, b) for a in here for b in there]))
    seen = f"agreement (AMI) is {between_seeds:.2f} between seeds and {between_numbers:.2f} after renumbering"
    _require(abs(between_seeds - between_numbers) < _AS_ALIKE, seen)
