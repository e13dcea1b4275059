"""What an estimator returns: Shapley modes, their standard errors, and whether the game appears to be additive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

    from coterie.methods.msa.evidence import Evidence

_ROUNDING = 1e-6  # relative to the largest output: float32
_ADDITIVE = 1e-4  # relative to the largest total, as in coterie.tasks.game.refuse_additive


@dataclass(frozen=True)
class Estimate:
    """Estimated Shapley modes of all players."""

    modes: Float[np.ndarray, "players outputs"]
    """What each player contributes to each output; columns sum to v(N) - v(empty)."""
    errors: Float[np.ndarray, "players outputs"] | None
    """Standard errors of the modes; None if the estimator has none (a single permutation pair, an exact result)."""
    estimator: str
    """Name of the estimator."""
    evaluations: int
    """Distinct coalitions in the store."""

    @property
    def magnitudes(self) -> Float[np.ndarray, " players"]:
        """Root mean square of each player's mode over the outputs, in units of an output."""
        return np.sqrt(np.square(self.modes).mean(axis=1))

    @property
    def player_errors(self) -> Float[np.ndarray, " players"] | None:
        """Root mean square of each player's standard errors over the outputs."""
        return None if self.errors is None else np.sqrt(np.square(self.errors).mean(axis=1))

    def notes(self, evidence: Evidence) -> dict[str, Any]:
        """Return what a method reports, as JSON values. Standard errors are in units of the modes' root mean square."""
        errors, scale = self.player_errors, float(np.sqrt(np.square(self.modes).mean()))
        known = errors if scale > 0 else None
        return {
            "estimator": self.estimator,
            "evaluations": self.evaluations,
            "relative_standard_error_median": None if known is None else float(np.median(known)) / scale,
            "relative_standard_error_max": None if known is None else float(known.max()) / scale,
            "efficiency_gap": float(np.abs(self.modes.sum(axis=0) - evidence.total).max()),
            "additive": is_additive(evidence, self.modes),
        }


def contributing(estimate: Estimate, evidence: Evidence) -> Bool[np.ndarray, " players"]:
    """Return which players contribute to any output.

    A player whose mode is zero up to rounding does not. Nor does one whose mode is within twice its error of zero and that
    is known to change no output when it leaves N or joins the empty coalition: estimates of idle players are small, not zero.
    """
    values = np.abs(evidence.values([0, 1])).max()
    zero = estimate.magnitudes <= _ROUNDING * values
    errors = estimate.player_errors
    alone = np.eye(evidence.n_players, dtype=bool)
    if errors is None or evidence.new(np.concatenate([alone, ~alone])):
        return ~zero
    coming = evidence.values(evidence.evaluate(alone)) - evidence.values([0])
    leaving = evidence.values(evidence.evaluate(~alone)) - evidence.values([1])
    idle = np.maximum(np.abs(coming), np.abs(leaving)).max(axis=1) <= _ROUNDING * values
    return ~zero & ~(idle & (estimate.magnitudes <= 2 * errors))


def is_additive(evidence: Evidence, modes: Float[np.ndarray, "players outputs"]) -> bool:
    """Return whether v(S) = v(empty) + the sum of the modes of S for every coalition in the store: no player interacts.

    Then one permutation is exact and every interaction is zero. The answer is False for fewer than n + 2 known coalitions,
    because n + 1 of them (one permutation) always fit a sum.
    """
    if len(evidence) < evidence.n_players + 2 and not evidence.complete:
        return False
    empty, scale, worst = evidence.values([0])[0], float(np.abs(evidence.values([0, 1])).max()), 0.0
    for start in range(0, len(evidence), 1024):
        rows = slice(start, start + 1024)
        values = evidence.values(rows)
        scale = max(scale, float(np.abs(values - empty).max()))
        worst = max(worst, float(np.abs(values - empty - evidence.kept(rows) @ modes).max()))
    return worst <= _ADDITIVE * scale
