"""What the methods on PAC-Top-Cover share: their parameters, and the notes on the result."""

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

Friends = Annotated[int, Field(ge=1, description="number of best friends that count")]

_MOST = 2**34  # samples per batch x players: an (epsilon, delta) that needs more is refused


def shape_notes(groups: Sequence[Indices], n_players: int) -> dict[str, Any]:
    """Summarise the sizes of a partition; `degenerate` names the two cases in which it is uninformative."""
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

    A player in no sample of a round has B_i = {i}: it wants nobody, so it leaves the game in that round, alone or with
    players that want it. The notes count such players (`never_sampled`, over all rounds).
    """

    k: Friends = 2
    samples: Annotated[int, Field(ge=1, description="coalitions drawn per batch and for the certificate")] = 1000
    refinements: Annotated[
        int, Field(ge=0, description="further batches per round that shrink B_i, the players that neuron i wants")
    ] = 1
    min_size: Annotated[int | None, Field(ge=1, description="smallest size of a sampled coalition; null: k + 1")] = None
    max_size: Annotated[
        int | None, Field(ge=1, description="largest size of a sampled coalition; null: all remaining neurons")
    ] = None
    epsilon: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="blocking rate to guarantee, with the paper's sample counts; null: no guarantee, `samples` per batch",
        ),
    ] = None
    delta: Annotated[float, Field(gt=0, lt=1, description="probability that the guarantee of epsilon fails")] = 0.05

    def partition(
        self, phi: Float[np.ndarray, "players players"], rng: np.random.Generator, **notes: Any
    ) -> Coalitions:
        """Partition the players of an affinity matrix: coalitions by mean utility of their members, singletons last.

        Raises `ValueError` if the sizes contradict each other or (epsilon, delta) needs too many samples.
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
                f"{self.name}: expected max_size >= {law.low}, the smallest size, got {law.high}; fix: max_size={law.low}"
            )
        return law

    def _paper_samples(self, n: int) -> int:
        samples = paper_samples(n, float(self.epsilon or 0), self.delta)
        if samples * n > _MOST:
            raise ValueError(
                f"{self.name}: expected at most {_MOST // n} samples per batch for {n} players, got {samples} from epsilon = "
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
