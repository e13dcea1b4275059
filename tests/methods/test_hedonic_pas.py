"""hedonic-pas and hedonic-top-cover from end to end: affinities, guarantees and degenerate partitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coterie.methods.affinity import get_affinity
from coterie.methods.hedonic_pac import shape_notes
from coterie.methods.hedonic_pas import HedonicPas
from coterie.methods.hedonic_top_cover import HedonicTopCover
from coterie.methods.pac import paper_samples
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability
from coterie.tasks.synthetic import SyntheticGame
from tests.methods import naive
from tests.methods.test_hedonic import exact

AMPLE = 10_000


def discover(method: HedonicPas | HedonicTopCover, game: SyntheticGame, budget: int = AMPLE):  # type: ignore[no-untyped-def]
    return method.discover(game.restricted_to(method.sees, budget), budget, np.random.default_rng(0))


@pytest.mark.parametrize("affinity", ["pas", "pas-hessian", "pas-lens", "pas-lens-hessian", "pas-outer"])
def test_enough_samples_yield_the_exact_partition_of_the_same_affinity(affinity: str) -> None:
    game = SyntheticGame()
    sampled = discover(HedonicPas(affinity=affinity, samples=400), game)  # type: ignore[arg-type]
    top = discover(HedonicTopCover(affinity=affinity), game)  # type: ignore[arg-type]
    assert set(sampled.groups) == set(top.groups)
    assert sampled.notes["choice_sets"] == sampled.notes["choice_sets_exact"]
    phi, _ = get_affinity(affinity).measure(game, AMPLE)
    assert {frozenset(g) for g in top.groups} == naive.peel_smallest(24, lambda left: exact(phi, left, 2))


def test_the_notes_report_the_error_of_a_sketch_and_the_budget_is_respected() -> None:
    found = discover(HedonicPas(samples=50), SyntheticGame(), budget=4 * 16)
    assert found.notes["rank"] == 4
    assert 0 < found.notes["relative_error"] < 1
    with pytest.raises(BudgetExceededError, match="pas: expected a budget of 301 evaluations"):
        discover(HedonicPas(affinity="pas"), SyntheticGame(), budget=300)


def test_without_epsilon_the_guarantee_is_measured() -> None:
    proof = discover(HedonicPas(samples=100), SyntheticGame()).notes["certificate"]
    assert proof["draws"] == 100
    assert proof["guarantee"] == (
        f"measured on fresh draws: with confidence 95 %, at most {proof['upper_95']:.2g} of D blocks this partition"
    )


def test_epsilon_and_delta_set_the_sample_counts_of_the_paper_and_hold() -> None:
    assert paper_samples(6, 0.3, 0.1) == int(np.ceil(2 * 36 / 0.3 * np.log(2 * 216 / 0.1)))
    game = SyntheticGame(n_players=6)
    found = discover(HedonicPas(epsilon=0.3, delta=0.1, samples=2000), game)
    assert found.notes["samples"] <= paper_samples(6, 0.3, 0.1) * 7 * found.notes["rounds"]
    assert found.notes["certificate"]["rate"] <= 0.3
    assert found.notes["certificate"]["guarantee"].startswith(
        "by theorem: with probability 0.9, at most 0.3 of D blocks"
    )
    with pytest.raises(
        ValueError, match=r"hedonic-pas: expected at most \d+ samples per batch for 400 players, got \d+"
    ):
        discover(HedonicPas(affinity="pas-lens", epsilon=0.001), SyntheticGame(n_players=400))


def test_degenerate_partitions_are_reported() -> None:
    silent = SyntheticGame(activations=torch.zeros(30, 24))
    for method in (HedonicPas(samples=20), HedonicTopCover(affinity="pas")):
        found = discover(method, silent)
        assert found.sizes == [1] * 24
        assert found.notes["degenerate"] == "all singletons"
        assert found.notes["singleton_share"] == 1
    whole = discover(HedonicTopCover(k=23, affinity="oca"), SyntheticGame(activations=torch.rand(30, 1).repeat(1, 24)))
    assert whole.sizes == [24]
    assert whole.notes["degenerate"] == "one coalition of all"
    assert shape_notes([np.array([0, 1]), np.array([2])], 3)["degenerate"] is None


def test_players_in_no_sample_are_left_alone() -> None:
    found = discover(HedonicPas(k=1, samples=1, refinements=0, min_size=2, max_size=2), SyntheticGame())
    assert found.notes["never_sampled"] >= 22
    assert found.sizes.count(1) >= 22


def test_a_method_sees_what_its_affinity_needs() -> None:
    assert HedonicPas.sees == HedonicPas().sees == {Capability.GRADIENTS}
    assert HedonicPas(affinity="pas-lens").sees == {Capability.LENS}
    assert HedonicTopCover().sees == {Capability.ACTIVATIONS, Capability.WEIGHTS}
    assert HedonicTopCover(affinity="pas").sees == {Capability.ABLATIONS}
