"""OCA against a naive loop, and its edge cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coterie.methods import affinity_oca
from coterie.methods.affinity_oca import oca


def naive(activations: np.ndarray, writes: np.ndarray) -> np.ndarray:
    n = len(writes)
    phi = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a, b, u, v = activations[:, i], activations[:, j], writes[i], writes[j]
            a, b = a - a.mean(), b - b.mean()
            scale = np.sqrt((a @ a) * (b @ b)), np.sqrt((u @ u) * (v @ v))
            if i != j and all(scale):
                phi[i, j] = (1 - abs(u @ v) / scale[1]) * (a @ b) / scale[0]
    return phi


@pytest.mark.parametrize("block_bytes", [1, 2**25], ids=["many blocks", "one block"])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_oca_equals_the_naive_loop(monkeypatch: pytest.MonkeyPatch, block_bytes: int, offset: float) -> None:
    monkeypatch.setattr(affinity_oca, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    activations = (rng.normal(size=(50, 5)) @ rng.normal(size=(5, 37)) + offset).astype(np.float32)
    activations[:, 3] = 0.1  # its mean in float64 is not 0.1 in float32
    writes = rng.normal(size=(37, 8)).astype(np.float32)
    writes[5] = 0
    writes[6] = -3 * writes[7]
    phi = oca(torch.from_numpy(activations), torch.from_numpy(writes))
    exact = activations.astype(np.float64)
    exact[:, 3] = 0
    np.testing.assert_allclose(phi, naive(exact, writes.astype(np.float64)), atol=1e-6)
    assert phi.dtype == np.float32
    assert np.array_equal(phi, phi.T)
    assert not np.diag(phi).any()
    assert not phi[3].any()
    assert not phi[5].any()
    assert phi[6, 7] == pytest.approx(0, abs=1e-6)
    assert np.abs(phi).max() <= 1


def test_copies_have_no_affinity_and_copies_that_write_apart_have_the_largest() -> None:
    wave = np.random.default_rng(0).normal(size=100)
    activations = np.stack([wave, 5 * wave, -wave], axis=1)
    same, apart = np.ones((3, 4)), np.eye(3, 4)
    np.testing.assert_allclose(oca(activations, same), 0, atol=1e-6)
    np.testing.assert_allclose(oca(activations, apart), [[0, 1, -1], [1, 0, -1], [-1, -1, 0]], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    values = np.ones((5000, 3), dtype=np.float32)
    values[4321, 2] = bad
    with pytest.raises(ValueError, match=r"activations: expected finite numbers, got .* in row 4321, column 2; fix"):
        oca(values, np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"write vectors: expected finite numbers, got .* in row 1, column 0; fix"):
        oca(np.ones((4, 2)), [[0.0], [bad]])


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"expected \(rows, players\) and \(players, d_model\), got \(4, 3\) and \(2, 5\)"
    ):
        oca(np.ones((4, 3)), np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"activations: expected a matrix with at least one row, got shape \(0, 3\)"):
        oca(np.ones((0, 3)), np.ones((3, 5)))


def test_one_player_or_one_row_has_no_affinity() -> None:
    assert oca(np.ones((4, 1)), np.ones((1, 2))).tolist() == [[0]]
    assert not oca(np.ones((1, 3)), np.eye(3)).any()
