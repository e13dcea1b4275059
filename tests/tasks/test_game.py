"""The game's interface: masks, the meter, restricted games, and readouts that are refused."""

from __future__ import annotations

import pytest
import torch

from coterie.tasks.errors import AdditiveReadoutError, BudgetExceededError, CapabilityError
from coterie.tasks.game import Capability, Game, Meter, refuse_additive
from coterie.tasks.synthetic import SyntheticGame


class Linear(SyntheticGame):
    """The head reads the residual stream without a nonlinearity, as the paper's public code does."""

    def _ablate(self, masks: torch.Tensor) -> torch.Tensor:
        return (self._hidden * ~masks[:, None, :]) @ self._out @ self._head


def test_groups_become_masks() -> None:
    game = SyntheticGame(n_players=4)
    assert game.masks([(0, 2), ()]).tolist() == [[True, False, True, False], [False] * 4]


@pytest.mark.parametrize(
    "masks", [torch.zeros(2, 24), torch.zeros(24, dtype=torch.bool), torch.zeros(2, 23, dtype=torch.bool)]
)
def test_wrong_masks_are_refused(masks: torch.Tensor) -> None:
    with pytest.raises((ValueError, TypeError), match=r"expected bool of shape \(m, 24\)|masks"):
        SyntheticGame().ablate(masks)


def test_every_evaluation_is_counted_by_kind() -> None:
    game = SyntheticGame()
    game.ablate(game.masks([(0,), (1,)]))
    game.activations("mean")
    game.write_vectors()
    assert game.meter.counts == {"ablations": 2, "activations": 1}
    assert game.meter.total == 3


def test_exceeded_budget_is_refused_before_the_work() -> None:
    restricted = SyntheticGame().restricted_to(frozenset({Capability.ABLATIONS}), 3)
    restricted.ablate(restricted.masks([()] * 3))
    with pytest.raises(BudgetExceededError, match="3 evaluations, 3 used, 1 more"):
        restricted.ablate(restricted.masks([()]))
    assert restricted.meter.total == 3


def test_restricted_game_has_its_own_meter() -> None:
    game = SyntheticGame()
    restricted = game.restricted_to(frozenset(Capability), None)
    restricted.ablate(restricted.masks([()]))
    assert restricted.meter.total == 1
    assert game.meter.total == 0


def test_undeclared_information_is_refused() -> None:
    restricted = SyntheticGame().restricted_to(frozenset({Capability.WEIGHTS}), 10)
    assert len(restricted.write_vectors()) == 24
    with pytest.raises(CapabilityError, match=r"fix: add Capability.ACTIVATIONS"):
        restricted.activations()
    with pytest.raises(CapabilityError, match="ablations"):
        restricted.ablate(restricted.masks([()]))


def test_linear_readout_is_refused_with_the_reason() -> None:
    refuse_additive(SyntheticGame())
    with pytest.raises(AdditiveReadoutError, match="every synergy is zero by construction"):
        refuse_additive(Linear())


def test_meter_without_limit_refuses_nothing() -> None:
    meter = Meter()
    meter.charge(Capability.ABLATIONS, 10**9)
    assert meter.total == 10**9


def test_game_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Game()  # type: ignore[abstract]
