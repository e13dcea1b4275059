"""The contract that every method fulfils: the checks of `coterie check`, of the tests and of CI.

A check takes a method class and raises `BrokenContractError`, with what it observed, if the method violates the contract. Any
other exception that the method raises is a failure too.
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
from coterie.methods.base import Method, parse_selector
from coterie.methods.coalitions import Coalitions
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability, Game
from coterie.tasks.synthetic import RenumberedGame, SyntheticGame, WatchedGame

AMPLE = 10_000  # evaluations: more than any method with its `tiny` parameters uses
_MOST_AMI_DIFFERENCE = 0.2  # between the effect of renumbering and the effect of another seed


class BrokenContractError(Exception):
    """A method violates the contract. The message says what was observed."""


@dataclass(frozen=True)
class Check:
    """One clause of the contract."""

    name: str
    """Name, as `coterie check` prints it."""
    expects: str
    """What a method must do, as a phrase that completes "expected"."""
    fix: str
    """How to fix a method that fails."""
    run: Callable[[type[Method]], None]
    """Checks a method. Raises `BrokenContractError` if it fails."""


CHECKS: dict[str, Check] = {}


def _check(expects: str, fix: str) -> Callable[[Callable[[type[Method]], None]], Callable[[type[Method]], None]]:
    def register(run: Callable[[type[Method]], None]) -> Callable[[type[Method]], None]:
        name = run.__name__.replace("_", "-")
        CHECKS[name] = Check(name, expects, fix, run)
        return run

    return register


def _require(condition: object, observed: str) -> None:
    if not condition:
        raise BrokenContractError(observed)


def tiny(cls: type[Method]) -> Method:
    """The method with parameters that make it fast enough to run many times."""
    return cls.build(cls.tiny)


def discover(method: Method, game: Game, budget: int = AMPLE, seed: int = 0) -> Coalitions:
    """Run a method as the runner does, on the game restricted to what the method declares."""
    return method.discover(game.restricted_to(method.sees, budget), budget, np.random.default_rng(seed))


@_check(
    expects="a docstring that begins with a sentence and names deviations from the source, a reference, and a description of "
    "every parameter",
    fix="end the docstring's first line with a full stop, add a line 'Deviations from the paper: ...', set `reference`, and "
    "write each parameter as  name: Annotated[int, Field(description='...')] = 1",
)
def describes_itself(cls: type[Method]) -> None:
    _require(cls.summary().endswith("."), f"the docstring begins with {cls.summary()!r}")
    _require(cls.reference, "`reference` is empty")
    _require("Deviations from the paper:" in (cls.__doc__ or ""), "the docstring has no 'Deviations from the paper:'")
    for name, schema in cls.parameter_schema().items():
        _require("description" in schema, f"parameter {name!r} has no description")


@_check(
    expects="an equal method if it is rebuilt from its parameters or from its selector name[parameter=value]",
    fix="use plain types (int, float, str, bool, Literal, lists of these), and do not change fields after construction",
)
def parameters_round_trip(cls: type[Method]) -> None:
    for method in (tiny(cls), cls()):
        again = cls.build(json.loads(json.dumps(method.parameters)))
        _require(again == method, f"{method} became {again} after a round trip through JSON")
        name, parameters = parse_selector(method.selector)
        _require(name == cls.name, f"the selector {method.selector!r} names {name!r}")
        again = cls.build(parameters)
        _require(again == method, f"{method} became {again} when rebuilt from {method.selector!r}")


@_check(
    expects="at least one coalition of two or more neurons in an ordinary game of 24, with notes that can be written as JSON",
    fix="return Coalitions.of(game.n_players, groups, **notes), with numbers, strings and lists as notes, and no NaN",
)
def answers_are_valid(cls: type[Method]) -> None:
    game = SyntheticGame()
    found = discover(tiny(cls), game)
    _require(isinstance(found, Coalitions), f"discover returned {type(found).__name__}")
    _require(found.n_players == game.n_players, f"n_players is {found.n_players} in a game of {game.n_players}")
    _require(replace(found) == found, "the coalitions changed when they were validated again")
    _require(any(size > 1 for size in found.sizes), f"the sizes are {found.sizes}")
    again = json.loads(json.dumps(dict(found.notes), allow_nan=False))
    _require(again == found.notes, f"the notes {found.notes} became {again} after a round trip through JSON")


@_check(
    expects="the same answer for the same seed, without reading or changing a global random state",
    fix="draw everything from `rng` (never random.*, np.random.*, or torch.rand* without generator=); pass "
    "random_state=int(rng.integers(2**31)) to libraries; sort sets before iterating over them",
)
def depends_only_on_its_seed(cls: type[Method]) -> None:
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - this checks the global state
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
    expects="no change to the arrays that the game returns",
    fix="work on a copy: activations = game.activations().clone()",
)
def leaves_the_game_unchanged(cls: type[Method]) -> None:
    game, fresh = SyntheticGame(copies=False), SyntheticGame()
    discover(tiny(cls), game)
    _require(torch.equal(game._hidden, fresh._hidden), "the game's activations were changed")
    _require(torch.equal(game._out, fresh._out), "the game's write vectors were changed")


@_check(
    expects="use of all the information that it declares in `sees`, and of nothing else",
    fix="set `sees` to exactly what `discover` requests from the game: methods are compared by what they see",
)
def sees_what_it_declares(cls: type[Method]) -> None:
    game, method = WatchedGame(), tiny(cls)
    discover(method, game)
    requested, declared = (", ".join(sorted(c.value for c in s)) or "nothing" for s in (game.used, method.sees))
    _require(game.used == method.sees, f"it declares {declared} and requested {requested}")


@_check(
    expects="at most as many evaluations as its budget: on a small one it stops in time, or lets BudgetExceededError propagate",
    fix="request at most `budget` evaluations (game.meter.total counts them), and do not continue after BudgetExceededError",
)
def respects_its_budget(cls: type[Method]) -> None:
    method = tiny(cls)
    game = SyntheticGame().restricted_to(method.sees, AMPLE)
    method.discover(game, AMPLE, np.random.default_rng(0))
    used = game.meter.total
    try:
        discover(method, SyntheticGame(), budget=used)
    except BudgetExceededError as error:
        raise BrokenContractError(f"it used {used} evaluations, and more when that was its budget") from error
    for budget in range(min(used, 3)):
        poor = SyntheticGame().restricted_to(method.sees, budget)
        with suppress(BudgetExceededError):  # the other right answer is to stop in time
            found = method.discover(poor, budget, np.random.default_rng(0))
            _require(found.n_players == poor.n_players, f"on a budget of {budget}, n_players is {found.n_players}")
        _require(poor.meter.total <= budget, f"it used {poor.meter.total} evaluations on a budget of {budget}")


@_check(
    expects="a reason to skip a game that lacks what the method sees, and no reason to skip a complete game",
    fix="inherit `skip_reason` from Method, or name the missing capability in the text that it returns",
)
def explains_why_it_is_skipped(cls: type[Method]) -> None:
    method = tiny(cls)
    reason = method.skip_reason(SyntheticGame())
    _require(reason is None, f"it skips a complete game: {reason}")
    for missing in method.sees:
        reason = method.skip_reason(SyntheticGame(capabilities=frozenset(Capability) - {missing}))
        _require(missing.value in (reason or ""), f"without {missing.value}, its reason is {reason!r}")


def hard_games() -> Iterator[tuple[str, SyntheticGame]]:
    """Games without a good answer: tiny, dead or broken ones."""
    yield "a game of 1 player", SyntheticGame(n_players=1)
    yield "a game of 2 players", SyntheticGame(n_players=2)
    yield "constant activations", SyntheticGame(activations=torch.ones(30, 24))
    yield "activations that are all zero", SyntheticGame(activations=torch.zeros(30, 24))
    yield "activations that are NaN", SyntheticGame(activations=torch.full((30, 24), torch.nan))
    yield "write vectors that are all zero", SyntheticGame(write_vectors=torch.zeros(24, 6))
    yield "write vectors of one direction", SyntheticGame(write_vectors=torch.ones(24, 6))
    yield "infinite write vectors", SyntheticGame(write_vectors=torch.full((24, 6), torch.inf))


@_check(
    expects="a valid answer to a hard game, or a ValueError that says what was expected, what was found and the fix",
    fix='raise ValueError("activations: expected ..., got ...; fix: ...") for input without an answer '
    "(coterie.methods.arrays.matrix does this for values that are not finite); return no coalitions if there are no groups",
)
def handles_hard_games(cls: type[Method]) -> None:
    method = tiny(cls)
    for about, game in hard_games():
        try:
            found = discover(method, game)
        except ValueError as error:
            helpful = all(word in str(error) for word in ("expected", "got", "fix: "))
            _require(helpful, f"{about}: a ValueError without expected, got and fix: {error}")
        except Exception as error:
            raise BrokenContractError(f"{about}: {type(error).__name__}: {error}") from error
        else:
            _require(found.n_players == game.n_players, f"{about}: n_players is {found.n_players}")
            json.dumps(dict(found.notes), allow_nan=False)


@_check(
    expects="the same groups after the neurons are renumbered (from a randomised method: groups as similar as those of two "
    "seeds)",
    fix="use a neuron's index only to name it; break ties by values or with `rng`, not by index",
)
def independent_of_neuron_numbering(cls: type[Method]) -> None:
    game, old = SyntheticGame(), torch.randperm(24, generator=torch.Generator().manual_seed(1))
    renumbered = RenumberedGame(game, old)
    original = [discover(tiny(cls), game, seed=seed).groups for seed in range(6)]
    mapped_back = [
        [tuple(sorted(old[list(group)].tolist())) for group in discover(tiny(cls), renumbered, seed=seed).groups]
        for seed in range(6)
    ]
    if all(groups == original[0] for groups in original):
        observed = f"the groups are {sorted(original[0])}, and after renumbering {sorted(mapped_back[0])}"
        _require(set(mapped_back[0]) == set(original[0]), observed)
        return
    between_seeds = float(np.mean([adjusted_mutual_information(24, a, b) for a, b in combinations(original, 2)]))
    between_numberings = float(np.mean([adjusted_mutual_information(24, a, b) for a in original for b in mapped_back]))
    observed = f"agreement (AMI) is {between_seeds:.2f} between seeds and {between_numberings:.2f} after renumbering"
    _require(abs(between_seeds - between_numberings) < _MOST_AMI_DIFFERENCE, observed)
