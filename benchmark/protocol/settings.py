"""The protocol's version and constants. They are part of every cell's identity."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL = "coterie-2"


class Settings(BaseModel):
    """How much is evaluated. The defaults are those of the suite ``quick``.

    The unit of cost is one ablation of the whole held-out set. A coalition costs one joint ablation, at most ``pairs``
    pairs and ``leave_one_outs`` more; single effects, controls and the random pairs are shared by all methods.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_coalitions: int = Field(default=8, ge=1, description="evaluated coalitions: the first K that are eligible")
    smallest: int = Field(default=2, ge=2, description="smallest eligible coalition")
    largest_share: float = Field(default=1 / 8, gt=0, le=1, description="largest eligible coalition, as a share of n")
    pairs: int = Field(default=6, ge=1, description="sampled pairs a coalition")
    leave_one_outs: int = Field(default=2, ge=1, description="sampled leave-one-out ablations a coalition")
    controls: int = Field(default=20, ge=20, description="size-matched random sets a coalition")
    control_pairs: int = Field(default=100, ge=20, description="random pairs, the control of Pair for every size")
    curve_points: int = Field(default=8, ge=2, description="sizes at which random's nDCG curve is measured")
    curve_controls: int = Field(default=5, ge=2, description="random orders behind random's nDCG curve")
    optimism: bool = Field(default=True, description="measure nDCG and synergy_joint on the discovery queries too")
    reference_evaluations: int = Field(
        default=96, ge=0, description="evaluations of the reference utility (pas-hessian); 0: no PAC stability"
    )
    pac_draws: int = Field(default=2000, ge=100, description="coalitions drawn from D for PAC stability")
    resamples: int = Field(default=2000, ge=200, description="bootstrap resamples of the queries")
    seed: int = Field(default=0, description="seed of controls, sampled pairs and bootstrap; not the methods' seed")
