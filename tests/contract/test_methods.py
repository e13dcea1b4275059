"""The contract of every registered method. It applies to a new method in methods/ without any change to this file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from coterie.benchmark.submissions.contract import CHECKS, BrokenContractError
from coterie.methods import Coalitions, Method, get_method, list_methods
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", list(list_methods()))
def test_method_keeps_the_contract(name: str, check: str) -> None:
    CHECKS[check].run(list_methods()[name])


@pytest.mark.parametrize("name", list(list_methods()))
def test_method_is_found_by_its_selector(name: str) -> None:
    cls = list_methods()[name]
    for method in (cls(), cls.build(cls.tiny)):
        assert get_method(method.selector) == method


@dataclass(frozen=True)
class Sound(Method):
    """Groups by the sign of the mean activation.

    Deviations from the paper: none; it is not from a paper.
    """

    name = "sound"
    sees = frozenset({Capability.ACTIVATIONS})
    reference = "made up"

    def discover(self, game: Any, budget: int, rng: np.random.Generator) -> Coalitions:
        return Coalitions.of(game.n_players, self.groups(game, rng))

    def groups(self, game: Any, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        mean = torch.nan_to_num(game.activations("mean")).mean(0)
        parts = (torch.nonzero(mean > mean.median()), torch.nonzero(mean <= mean.median()))
        return [p.flatten().tolist() for p in parts if len(p)]


def test_a_sound_method_passes_every_check() -> None:
    for check in CHECKS.values():
        check.run(Sound)


class Silent(Sound):
    """No full stop"""


class Drifting(Sound):
    @property
    def parameters(self) -> dict[str, Any]:
        return {"unknown": 1}


class Alone(Sound):
    def groups(self, game: Any, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        return [[i] for i in range(len(super().groups(game, rng)))]


class Moody(Sound):
    def groups(self, game: Any, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        return [*super().groups(game, rng), random.sample(range(game.n_players), min(3, game.n_players))]


class Meddling(Sound):
    def groups(self, game: Any, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        game.activations("mean").zero_()
        return super().groups(game, rng)


class Modest(Sound):
    sees = frozenset({Capability.ACTIVATIONS, Capability.GRADIENTS})


class Spendthrift(Sound):
    """A method that fails on a small budget, although it could run on it."""

    def groups(self, game: Any, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        found = super().groups(game, rng)
        if game.meter.limit is not None and game.meter.limit < 100:
            raise BudgetExceededError("it demands a hundred, whatever it spends")
        return found


class Unskippable(Sound):
    def skip_reason(self, game: Any) -> str | None:
        return None


class Fragile(Sound):
    def groups(self, game: Any, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        if not torch.isfinite(game.activations("mean")).all():
            raise ValueError("no")
        return super().groups(game, rng)


class Numbered(Sound):
    def groups(self, game: Any, rng: np.random.Generator) -> Sequence[Sequence[int]]:
        super().groups(game, rng)
        return [(i, i + 1) for i in range(0, game.n_players - 1, 2)]


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (Silent, "describes-itself"),
        (Drifting, "parameters-round-trip"),
        (Alone, "answers-are-valid"),
        (Moody, "depends-only-on-its-seed"),
        (Meddling, "leaves-the-game-unchanged"),
        (Modest, "sees-what-it-declares"),
        (Spendthrift, "respects-its-budget"),
        (Unskippable, "explains-why-it-is-skipped"),
        (Fragile, "handles-hard-games"),
        (Numbered, "independent-of-neuron-numbering"),
    ],
)
def test_every_check_catches_a_violation(cls: type[Method], check: str) -> None:
    with pytest.raises((BrokenContractError, ValueError)):
        CHECKS[check].run(cls)


def test_every_check_is_explained_and_tested() -> None:
    [mark] = test_every_check_catches_a_violation.pytestmark  # type: ignore[attr-defined]
    assert {check for _cls, check in mark.args[1]} == set(CHECKS)
    assert all(check.expects and check.fix for check in CHECKS.values())
