"""Multiperturbation Shapley-value analysis: a store of evidence, and estimators that read from it.

    evidence = Evidence(game, budget=1000)
    estimate = estimate_modes(evidence, "kriging", rng)
    estimate.modes          # [players, outputs]: the Shapley modes; columns sum to v(N) - v(empty)
    estimate.errors         # their standard errors, or None

Reference: Dixit, Fakhar, Hadaeghi, Mineault, Kording, Hilgetag (2025), arXiv 2506.19732.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from coterie.methods.msa.blocks import block_values, settle_top
from coterie.methods.msa.estimate import Estimate, contributing, is_additive
from coterie.methods.msa.evidence import Evidence, Pairs
from coterie.methods.msa.exact import evaluate_all, exact, exact_interactions
from coterie.methods.msa.kriging import kriging
from coterie.methods.msa.permutation import from_orders, permutation_sampling
from coterie.methods.msa.regression import odd_regression, regression_adjusted
from coterie.methods.msa.sampling import draw_pairs

if TYPE_CHECKING:
    import numpy as np

Estimator = Literal["kriging", "antithetic", "permutation", "regression", "msr", "blocks"]

__all__ = [
    "Estimate",
    "Estimator",
    "Evidence",
    "Pairs",
    "block_values",
    "contributing",
    "draw_pairs",
    "estimate_modes",
    "evaluate_all",
    "exact",
    "exact_interactions",
    "from_orders",
    "is_additive",
    "kriging",
    "odd_regression",
    "permutation_sampling",
    "regression_adjusted",
    "settle_top",
]


def estimate_modes(
    evidence: Evidence, estimator: Estimator, rng: np.random.Generator, precision: float | None = None
) -> Estimate:
    """Spend the rest of the budget of `evidence`, then estimate the Shapley modes from all that it holds.

    The estimator `blocks` is for games with far more players than evaluations. `precision` stops the permutation estimators
    early (see `permutation_sampling`); the others spend the whole budget. Raises `BudgetExceededError` if a permutation
    estimator cannot afford one sample.
    """
    if estimator in ("antithetic", "permutation"):
        return permutation_sampling(evidence, rng, antithetic=estimator == "antithetic", precision=precision)
    if estimator == "blocks":
        return block_values(evidence.game, evidence.left, rng)
    draw_pairs(evidence, evidence.left, rng)
    if estimator == "regression":
        return odd_regression(evidence)
    return kriging(evidence) if estimator == "kriging" else regression_adjusted(evidence, rng)
