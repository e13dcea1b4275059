"""What the methods on PAC-Top-Cover share: their parameters, and the notes on what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions
from coterie.methods.hedonic import Preferences, by_strength
from coterie.methods.pac import SizeLaw, certificate, pac_top_cover, paper_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from jaxtyping import Float

    from coterie.methods.hedonic import Indices

_MOST = 2**34  # samples a batch x players: above, (epsilon, delta) is refused


def shape_notes(groups: Sequence[Indices], n_players: int) -> dict[str, Any]:
    """Sizes of a partition in short, and whether it says anything: ``degenerate`` names the two cases where it does not."""
    sizes = [len(group) for group in groups]
    degenerate = "all singletons" if max(sizes) == 1 else "one coalition of all" if len(sizes) == 1 else None
    return {
        "largest_share": max(sizes) / n_players,
        "singleton_share": sizes.count(1) / n_players,
        "degenerate": degenerate,
    }


@dataclass(frozen=True)
class PacTopCoverMethod(Method):
    """A partition by PAC-Top-Cover on coalitions drawn from D: a size, then a uniform subset of that size.

    A player in no sample of a round has B_i = {i}: nobody else can hold it, and it leaves the game as a coalition of its
    own in that round (or with those who want it). The notes count such players (``never_sampled``, over all rounds).
    """

    k: Annotated[int, Field(ge=1, description="friends that a neuron counts")] = 2
    samples: Annotated[int, Field(ge=1, description="coalitions drawn in each batch, and for the certificate")] = 1000
    refinements: Annotated[int, Field(ge=0, description="further batches a round that cut B_i down")] = 1
    min_size: Annotated[int | None, Field(ge=1, description="least size that D draws; null: k + 1")] = None
    max_size: Annotated[int | None, Field(ge=1, description="largest size that D draws; null: all that remain")] = None
    epsilon: Annotated[
        float | None,
        Field(gt=0, lt=1, description="blocking rate to guarantee; sample counts are then the paper's; null: as given"),
    ] = None
    delta: Annotated[float, Field(gt=0, lt=1, description="probability that the guarantee fails, with epsilon")] = 0.05

    def partition(
        self, phi: Float[np.ndarray, "players players"], rng: np.random.Generator, **notes: Any
    ) -> Coalitions:
        """Coalitions on an affinity matrix, by mean member utility, singletons last.

        Raises ``ValueError`` on sizes that exclude each other and where (epsilon, delta) asks for too many samples.
        """
        n = len(phi)
        k = min(self.k, max(1, n - 1))
        law = self._law(k)
        samples = self.samples if self.epsilon is None else self._paper_samples(n)
        refinements = self.refinements if self.epsilon is None else None
        preferences = Preferences.of(phi)
        groups, tally = pac_top_cover(preferences, k, law, samples, refinements, rng, self.epsilon is not None)
        proof = certificate(preferences, groups, k, law, self.samples, rng)
        return Coalitions.of(
            n,
            by_strength(preferences, groups, k),
            **asdict(tally),
            **shape_notes(groups, n),
            certificate={**proof, "guarantee": self._guarantee(proof["upper_95"])},
            **notes,
        )

    def contradiction(self) -> str | None:
        least, of = (self.k + 1, "k + 1") if self.min_size is None else (self.min_size, "min_size")
        if self.max_size is None or self.max_size >= least:
            return None
        return f"expected max_size of at least {of}, {least}, got {self.max_size}; fix: max_size={least}"

    def _law(self, k: int) -> SizeLaw:
        law = SizeLaw(k + 1 if self.min_size is None else self.min_size, self.max_size)
        if law.high is not None and law.high < law.low:
            raise ValueError(
                f"{self.name}: expected max_size >= {law.low}, the least size, got {law.high}; fix: raise it"
            )
        return law

    def _paper_samples(self, n: int) -> int:
        samples = paper_samples(n, float(self.epsilon or 0), self.delta)
        if samples * n > _MOST:
            raise ValueError(
                f"{self.name}: expected at most {_MOST // n} samples a batch for {n} players, got {samples} from epsilon = "
                f"{self.epsilon}, delta = {self.delta}; fix: leave epsilon out and read the measured rate in the certificate"
            )
        return samples

    def _guarantee(self, upper: float) -> str:
        measured = f"measured on fresh draws: with confidence 95 %, at most {upper:.2g} of D blocks this partition"
        if self.epsilon is None:
            return measured
        return (
            f"by theorem: with probability {1 - self.delta:g}, at most {self.epsilon:g} of D blocks (Sliwinski & Zick 2017); "
            + measured
        )
