"""Every affinity against brute-force ablation or its formula in loops, their registry, and what a method based on one sees."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.methods import arrays
from coterie.methods.affinity import AFFINITIES, AffinityMethod, AffinityName, AffinitySees, get_affinity
from coterie.methods.affinity_lens import pas_lens
from coterie.methods.base import MethodError
from coterie.methods.coalitions import Coalitions
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability, Game
from coterie.tasks.lens import Lens
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.synthetic import SyntheticGame
from tests.tasks.tiny import pairs, save_reranker

AMPLE = 10_000


def brute_force(game: Game) -> np.ndarray:
    """The synergy psi by its definition."""
    n = game.n_players
    sets = [(), *((i,) for i in range(n)), *combinations(range(n), 2)]
    outputs = dict(zip(sets, game.ablate(game.masks(sets)).double().mean(1).tolist(), strict=True))
    psi = np.zeros((n, n))
    for i, j in combinations(range(n), 2):
        effect = {players: outputs[()] - outputs[players] for players in ((i,), (j,), (i, j))}
        psi[i, j] = psi[j, i] = effect[i, j] - effect[i,] - effect[j,]
    return psi


def compute(name: str, game: Game, budget: int = AMPLE) -> np.ndarray:
    return get_affinity(name).measure(game.restricted_to(get_affinity(name).sees, budget), budget)[0]


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Reranker:
    spec = save_reranker(tmp_path_factory.mktemp("tiny"))
    return load_reranker(spec.model_copy(update={"dtype": "float64"}))


@pytest.mark.parametrize("name", AFFINITIES)
def test_an_affinity_is_a_symmetric_float32_matrix_with_zero_diagonal(name: str) -> None:
    game = SyntheticGame()
    phi = compute(name, game)
    assert (phi.dtype, phi.shape) == (np.float32, (24, 24))
    assert np.array_equal(phi, phi.T)
    assert not np.diag(phi).any()
    assert np.abs(phi).max() > 0
    assert np.array_equal(phi, compute(name, SyntheticGame()))


@pytest.mark.parametrize("name", AFFINITIES)
def test_renumbering_the_players_renumbers_the_affinity(name: str) -> None:
    game, order = SyntheticGame(), torch.randperm(24, generator=torch.Generator().manual_seed(1))
    moved = SyntheticGame(activations=game._hidden[:, order], write_vectors=game._out[order])
    phi = compute(name, game)
    np.testing.assert_allclose(compute(name, moved), phi[np.ix_(order, order)], atol=1e-5 * np.abs(phi).max())


@pytest.mark.parametrize("name", AFFINITIES)
@pytest.mark.parametrize("n_players", [1, 2])
def test_games_of_one_and_two_players_have_affinities(name: str, n_players: int) -> None:
    assert compute(name, SyntheticGame(n_players=n_players)).shape == (n_players, n_players)


@pytest.mark.parametrize("name", AFFINITIES)
def test_values_that_are_not_finite_are_refused(name: str) -> None:
    game = SyntheticGame(activations=torch.full((30, 24), torch.nan))
    with pytest.raises(ValueError, match=r"expected finite numbers, got nan .*; fix"):
        compute(name, game)


def test_pas_is_the_definition_and_refuses_a_budget_that_is_too_small() -> None:
    game = SyntheticGame(n_players=9)
    needed = 9 * 8 // 2 + 9 + 1
    np.testing.assert_allclose(compute("pas", game, budget=needed), brute_force(game), atol=1e-6)
    poor = game.restricted_to({Capability.ABLATIONS}, needed - 1)
    with pytest.raises(BudgetExceededError, match=r"expected a budget of 46 .* got 45; fix: --budget 46"):
        get_affinity("pas").measure(poor, needed - 1)
    assert poor.meter.total == 0


@pytest.mark.parametrize("tile", [7, 256])
@pytest.mark.parametrize(("layer", "intervention"), [(0, "zero"), (1, "mean"), (1, "base")])
def test_lens_forms_equal_brute_force_at_the_lens_readout(
    monkeypatch: pytest.MonkeyPatch, reranker: Reranker, layer: int, intervention: str, tile: int
) -> None:
    monkeypatch.setattr("coterie.methods.affinity_lens._TILE", tile)
    monkeypatch.setattr("coterie.methods.affinity_lens._BLOCK", tile)
    game = RerankerGame(reranker, pairs(), SiteSpec(layer, intervention, "lens"))
    exact = brute_force(game)
    np.testing.assert_allclose(compute("pas-lens", game), exact, atol=2e-6 * np.abs(exact).max())
    second = compute("pas-lens-hessian", game)
    np.testing.assert_allclose(second, compute("pas-hessian", game), atol=1e-5 * np.abs(second).max())


class Quadratic(SyntheticGame):
    """A game without synergies above the second order."""

    def _relaxed(self, amounts: torch.Tensor) -> torch.Tensor:
        return ((self._hidden * (1 - amounts)) @ self._out).square() @ self._head

    def _ablate(self, masks: torch.Tensor) -> torch.Tensor:
        return torch.stack([self._relaxed(mask.float()) for mask in masks])


@settings(max_examples=25, deadline=None)
@given(
    parts=st.integers(1, 2),
    n_players=st.integers(2, 6),
    d_model=st.integers(2, 9),
    n_outputs=st.integers(1, 5),
    double=st.booleans(),
    seed=st.integers(0, 999),
)
def test_the_lens_form_equals_the_definition_for_any_shape(
    parts: int, n_players: int, d_model: int, n_outputs: int, double: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        values = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return values if double else values.float()

    lens = Lens(
        5 * random(n_outputs, d_model),
        random(parts, n_outputs, n_players),
        random(parts, n_players, d_model),
        random(d_model),
        1e-5,
    )

    def effect(*group: int) -> float:
        mask = torch.zeros(n_players, dtype=torch.bool)
        nothing = lens.scores(mask)
        mask[list(group)] = True
        return float((nothing - lens.scores(mask)).double().mean())

    psi = pas_lens(lens)
    scale = max(1e-3, max(abs(effect(i)) for i in range(n_players)))
    for i in range(n_players):
        for j in range(i):
            expected = effect(i, j) - effect(i) - effect(j)
            assert psi[i, j] == pytest.approx(expected, abs=2e-5 * scale)


def test_a_quadratic_readout_has_no_synergy_beyond_the_second_order() -> None:
    game = Quadratic(n_players=10)
    exact = brute_force(game)
    np.testing.assert_allclose(compute("pas-hessian", game), exact, atol=1e-5 * np.abs(exact).max())


def test_a_sketch_of_the_hessian_reports_its_rank_and_error(reranker: Reranker) -> None:
    game = RerankerGame(reranker, pairs(), SiteSpec(0))
    exact, notes = get_affinity("pas-hessian").measure(game, 4 * 24)
    assert notes == {"rank": 24, "relative_error": 0.0}
    errors = []
    for rank in (1, 3, 7):
        budget = 4 * (2 * rank + 8)
        handed = game.restricted_to({Capability.GRADIENTS}, budget)
        sketch, notes = get_affinity("pas-hessian").measure(handed, budget)
        true_error = np.linalg.norm(sketch - exact) / np.linalg.norm(exact)
        assert (notes["rank"], handed.meter.total) == (rank, budget)
        assert notes["relative_error"] == pytest.approx(true_error, rel=0.8, abs=0.02)
        errors.append(true_error)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.3
    with pytest.raises(BudgetExceededError, match=r"expected a budget of 40 evaluations or more, got 39; fix"):
        get_affinity("pas-hessian").measure(game, 39)


def test_pas_outer_is_minus_the_mean_product_of_first_order_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_BLOCK", 5)
    game = SyntheticGame(n_players=12)
    first = -game.gradients().double().numpy()
    expected = np.array([[-(first[:, i] * first[:, j]).mean() if i != j else 0 for j in range(12)] for i in range(12)])
    np.testing.assert_allclose(compute("pas-outer", game), expected, atol=1e-6)


def test_the_registry_and_the_type_of_the_parameter_name_the_same_affinities() -> None:
    assert tuple(AFFINITIES) == get_args(AffinityName)
    with pytest.raises(MethodError, match="unknown affinity 'pas-lenz'; did you mean 'pas-lens'"):
        get_affinity("pas-lenz")


@dataclass(frozen=True)
class Strongest(AffinityMethod):
    """The strongest pair."""

    name = "strongest"
    sees = AffinitySees(Capability.WEIGHTS)
    reference = "nobody"

    affinity: AffinityName = "pas-lens"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        phi, notes = get_affinity(self.affinity).measure(game, budget)
        return Coalitions.of(game.n_players, [np.unravel_index(int(phi.argmax()), phi.shape)], **notes)


def test_a_method_sees_what_its_affinity_sees() -> None:
    assert Strongest.sees == Strongest().sees == {Capability.WEIGHTS, Capability.LENS}
    outer = Strongest.build({"affinity": "pas-outer"})
    assert outer.sees == {Capability.WEIGHTS, Capability.GRADIENTS}
    blind = SyntheticGame(capabilities=frozenset({Capability.WEIGHTS}))
    assert outer.skip_reason(blind) == "strongest[affinity=pas-outer] needs gradients; the game offers weights"
    assert outer.skip_reason(SyntheticGame()) is None
    with pytest.raises(MethodError, match=r"strongest\[affinity\]: expected 'oca'"):
        Strongest.build({"affinity": "nope"})
