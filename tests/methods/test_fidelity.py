"""The fidelity table: perfect affinities have a correlation of 1, and rows without one have a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from coterie.methods.affinity import get_affinity
from coterie.methods.fidelity import fidelity
from coterie.tasks.game import Capability
from coterie.tasks.synthetic import SyntheticGame

QUERIES = np.repeat(np.arange(6), 5)


def test_rows_are_the_rank_correlations_and_their_intervals() -> None:
    game, other = SyntheticGame(n_players=12), SyntheticGame(n_players=12)
    other._hidden = other._hidden[torch.randperm(30, generator=torch.Generator().manual_seed(1))]  # the same inputs
    rows = {row.affinity: row for row in fidelity(game, other, QUERIES, budget=10_000, replicates=100)}
    exact, _ = get_affinity("pas").measure(game, 10_000)
    above = np.triu_indices(12, 1)
    for name in ("oca", "pas-lens", "pas-hessian", "pas-outer"):
        expected = spearmanr(get_affinity(name).measure(game, 10_000)[0][above], exact[above]).statistic
        assert rows[name].spearman == pytest.approx(expected, abs=1e-4)
        assert rows[name].low < rows[name].spearman < rows[name].high  # type: ignore[operator]
    assert rows["pas"].spearman == pytest.approx(1, abs=1e-3)
    assert rows["pas"].evaluations == 79
    assert rows["pas-hessian"].evaluations == 48
    assert rows["pas-hessian"].notes["rank"] == 12


def test_rows_without_a_correlation_have_a_reason() -> None:
    game = SyntheticGame(n_players=24, capabilities=frozenset(Capability) - {Capability.LENS})
    rows = {row.affinity: row for row in fidelity(game, game, QUERIES, budget=20, n_pairs=10, replicates=20)}
    assert rows["pas-lens"].reason == "needs lens"
    assert "expected a budget of 40" in (rows["pas-hessian"].reason or "")
    assert rows["pas"].spearman == pytest.approx(1)
    silent = SyntheticGame(activations=torch.zeros(30, 24))
    (row,) = fidelity(silent, game, QUERIES, budget=20, affinities=["oca"], n_pairs=10, replicates=5)
    assert (row.spearman, row.reason) == (None, "all pairs have the same value")
    with pytest.raises(ValueError, match="fidelity: expected at least two players, got 1; fix"):
        fidelity(SyntheticGame(n_players=1), SyntheticGame(n_players=1), QUERIES, budget=20)
