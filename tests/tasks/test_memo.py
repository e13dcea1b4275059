"""Methods share computed answers; values and costs are the same with and without a memo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability, Game
from coterie.tasks.memo import Memo
from coterie.tasks.synthetic import SyntheticGame

ALL = frozenset(Capability)
MASKS = torch.rand(7, 24, generator=torch.Generator().manual_seed(0)) < 0.3
DIRECTIONS = torch.randn(3, 24, generator=torch.Generator().manual_seed(1))
QUESTIONS: dict[str, Callable[[Game], Any]] = {
    "ablations": lambda game: game.ablate(MASKS),
    "mean activations": lambda game: game.activations("mean"),
    "token activations": lambda game: game.activations("tokens"),
    "gradients": lambda game: game.gradients(),
    "gradients at half": lambda game: game.gradients(torch.full((24,), 0.5)),
    "hessian products": lambda game: game.hessian_products(DIRECTIONS),
    "lens": lambda game: game.lens().residual,
}


class Counting(SyntheticGame):
    """Counts the answers that are computed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.computed = 0

    def _ablate(self, masks: torch.Tensor) -> torch.Tensor:
        return self._count(super()._ablate(masks))

    def _activations(self, pooling: Any) -> torch.Tensor:
        return self._count(super()._activations(pooling))

    def _gradients(self, amounts: torch.Tensor | None) -> torch.Tensor:
        return self._count(super()._gradients(amounts))

    def _hessian_products(self, directions: torch.Tensor) -> torch.Tensor:
        return self._count(super()._hessian_products(directions))

    def _lens(self) -> Any:
        return self._count(super()._lens())

    def _count(self, answer: Any) -> Any:
        self.computed += 1
        return answer


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(sorted(QUESTIONS)), min_size=1, max_size=12), st.integers(0, 4000))
def test_a_memo_changes_no_values_and_no_charges(names: list[str], limit: int) -> None:
    game, memo = Counting(), Memo(limit)
    for _method in range(2):
        plain, remembering = game.restricted_to(ALL, None), game.restricted_to(ALL, None, memo)
        for name in names:
            assert torch.equal(QUESTIONS[name](plain), QUESTIONS[name](remembering))
        assert plain.meter.counts == remembering.meter.counts
    assert 0 <= memo.size <= limit


def test_second_method_computes_nothing_and_is_charged_all_the_same() -> None:
    game, memo = Counting(), Memo()
    first, second = (game.restricted_to(ALL, None, memo) for _ in range(2))
    for question in QUESTIONS.values():
        question(first)
    computed = game.computed
    for question in QUESTIONS.values():
        question(second)
    assert game.computed == computed == len(QUESTIONS)
    assert first.meter.seconds_saved == 0
    assert second.meter.seconds_saved > 0
    assert first.meter.counts == second.meter.counts


def test_budget_applies_to_answers_from_the_memo() -> None:
    game, memo = SyntheticGame(), Memo()
    game.restricted_to(ALL, 7, memo).ablate(MASKS)
    with pytest.raises(BudgetExceededError):
        game.restricted_to(ALL, 6, memo).ablate(MASKS)


def test_modifying_an_answer_does_not_affect_later_ones() -> None:
    game, memo = SyntheticGame(), Memo()
    expected = game.restricted_to(ALL, None).activations("mean")
    for _ in range(3):
        got = game.restricted_to(ALL, None, memo).activations("mean")
        assert torch.equal(got, expected)
        got.zero_()
    lens = game.restricted_to(ALL, None, memo).lens()
    lens.residual.zero_()
    assert game.restricted_to(ALL, None, memo).lens().residual.abs().sum() > 0


def test_arguments_with_different_bytes_are_different_questions() -> None:
    memo = Memo()
    for number, argument in enumerate(
        (None, "mean", "tokens", MASKS, MASKS[:6], MASKS.T, DIRECTIONS, DIRECTIONS.double())
    ):
        answer, saved = memo.answer("kind", argument, lambda n=number: torch.tensor([n]))  # type: ignore[misc]
        assert (int(answer), saved) == (number, 0)
    assert int(memo.answer("other kind", MASKS, lambda: torch.tensor([99]))[0]) == 99


def test_least_recently_used_answer_is_dropped_first() -> None:
    memo = Memo(limit=3 * 80)
    for name in "abc":
        memo.answer(name, None, lambda: torch.zeros(20))
    memo.answer("a", None, lambda: pytest.fail("a was kept"))
    memo.answer("d", None, lambda: torch.zeros(20))
    memo.answer("a", None, lambda: pytest.fail("a was used later than b"))
    assert int(memo.answer("b", None, lambda: torch.ones(20))[0].sum()) == 20
    memo.answer("large", None, lambda: torch.zeros(1000))
    assert memo.size <= memo.limit


def test_meter_reports_the_total_after_each_charge() -> None:
    totals: list[int] = []
    game = SyntheticGame().restricted_to(ALL, None)
    game.meter.on_charge = totals.append
    game.ablate(MASKS)
    game.gradients()
    assert totals == [7, 9]
