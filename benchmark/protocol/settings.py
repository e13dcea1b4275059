"""The protocol's version and constants. They are part of every cell's identity."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from coterie.leaderboard.statistics.sizes import LARGEST_SHARE, SMALLEST, eligible_sizes

PROTOCOL = "coterie-2"


class Settings(BaseModel):
    """How much is evaluated. The defaults are those of the suite `quick`.

    The unit of cost is one ablation of the whole held-out set. A coalition costs one joint ablation, plus one for each of at
    most `pairs` pairs and `leave_one_outs` smaller sets; single effects, controls and random pairs are shared by all methods.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_coalitions: int = Field(default=8, ge=1, description="evaluated coalitions: the first K of an eligible size")
    smallest: int = Field(default=SMALLEST, ge=2, description="smallest eligible coalition")
    largest_share: float = Field(
        default=LARGEST_SHARE, gt=0, le=1, description="largest eligible coalition, as a share of the players"
    )
    pairs: int = Field(default=6, ge=1, description="pairs sampled per coalition")
    leave_one_outs: int = Field(default=2, ge=1, description="leave-one-out ablations sampled per coalition")
    controls: int = Field(default=20, ge=20, description="random sets per size, the control of coalitions of that size")
    control_pairs: int = Field(default=100, ge=20, description="random pairs, the control of pairwise synergy")
    curve_points: int = Field(default=8, ge=2, description="sizes at which the random nDCG curve is measured")
    curve_controls: int = Field(default=5, ge=2, description="random orders behind the random nDCG curve")
    optimism: bool = Field(
        default=True, description="also measure ndcg_drop and synergy_joint on the discovery queries"
    )
    reference_evaluations: int = Field(
        default=96, ge=0, description="evaluations of the reference utility (pas-hessian); 0 skips PAC stability"
    )
    pac_draws: int = Field(default=2000, ge=100, description="random coalitions drawn for PAC stability")
    resamples: int = Field(default=2000, ge=200, description="bootstrap resamples of the queries")
    seed: int = Field(default=0, description="seed of controls, sampled pairs and bootstrap; methods have their own")

    def eligible_sizes(self, n_players: int) -> range:
        """The sizes of coalitions that are evaluated in a game of this many players."""
        return eligible_sizes(n_players, self.smallest, self.largest_share)
