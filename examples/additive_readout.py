"""Show on a bundled reranker that a readout without the final norm has no synergy.

The public evaluation of Hedonic Neurons (arXiv 2509.23684) applies only the classifier's head to the residual stream h after
a layer: `s = w . h`. Ablating neurons subtracts the sum of their contributions `a_j u_j` from h, so s is a sum over neurons, and
every synergy `psi_ij = f({i,j}) - f({i}) - f({j})` is zero. Any other value that a program prints is rounding. At the logit lens
(final norm, then head) and at the model's own score, the same pairs do have synergies.

    python examples/additive_readout.py [TASK] [--pairs 200]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import AdditiveReadoutError
from coterie.tasks.game import Capability, Game, Meter, refuse_additive
from coterie.tasks.registry import get_reranker_spec
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.spec import RerankerSpec


class HeadAlone(Game):
    """The readout `w . h_layer` at the last token, without the final norm."""

    def __init__(self, game: RerankerGame, head: Tensor) -> None:
        self._stream, self._head = game.lens(), head
        self.n_players, self.n_outputs = game.n_players, game.n_outputs
        self.capabilities, self.meter = frozenset({Capability.ABLATIONS}), Meter()

    def _ablate(self, masks: Tensor) -> Tensor:
        stream = self._stream
        hidden = (
            stream.residual - sum(z[:, mask] @ w[mask] for z, w in zip(stream.taken, stream.writes, strict=True))
            for mask in masks
        )
        return torch.stack([h @ self._head for h in hidden])


@dataclass(frozen=True)
class Row:
    """Means over the pairs of neurons, in the readout's own unit."""

    readout: str
    """Name of the readout."""
    dtype: str
    """Precision of the network."""
    single: float
    """Mean |f({i})|."""
    synergy: float
    """Mean |psi|."""
    refused: bool
    """Whether coterie refuses the readout as additive."""

    @property
    def ratio(self) -> float:
        """Synergy as a share of the single effects."""
        return self.synergy / self.single


def measure(game: Game, neurons: np.ndarray) -> tuple[float, float]:
    """Mean |f({i})| and mean |psi| over pairs of neurons, shape (pairs, 2). f is the mean drop of the output."""
    groups = [(), *((int(i),) for i in neurons.flat), *(tuple(map(int, pair)) for pair in neurons)]
    outputs = game.ablate(game.masks(groups)).double().numpy()
    effects = (outputs[0] - outputs[1:]).mean(1)
    single, joint = effects[: neurons.size].reshape(-1, 2), effects[neurons.size :]
    return float(np.abs(single).mean()), float(np.abs(joint - single.sum(1)).mean())


def rows(reranker: RerankerSpec, layer: int, texts: list[Candidate], pairs: int, seed: int = 0) -> Iterator[Row]:
    """The three readouts in both precisions, on the same random pairs of neurons."""
    dtypes: tuple[Literal["float64", "float32"], ...] = ("float64", "float32")
    for dtype in dtypes:
        loaded = load_reranker(reranker.model_copy(update={"dtype": dtype}))
        lens, score = (RerankerGame(loaded, texts, SiteSpec(layer, readout=readout)) for readout in ("lens", "score"))
        draw = np.random.default_rng(seed)
        neurons = np.array([draw.choice(score.n_players, 2, replace=False) for _ in range(pairs)])
        head = loaded.model.get_parameter("score.weight").detach()[0]
        games: dict[str, Game] = {"head alone, no norm": HeadAlone(lens, head), "lens": lens, "score": score}
        for name, game in games.items():
            yield Row(name, dtype, *measure(game, neurons), refused=is_refused(game))


def is_refused(game: Game) -> bool:
    """Whether coterie's own check refuses the readout."""
    try:
        refuse_additive(game)
    except AdditiveReadoutError:
        return True
    return False


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", nargs="?", default="pydoc-llama/relevance")
    parser.add_argument("--pairs", type=int, default=200, help="random pairs of neurons")
    arguments = parser.parse_args()
    spec = get_reranker_spec(arguments.task)
    texts = plan_reranker_task(spec).pairs["heldout"]
    table = Table("readout", "precision", box=None, pad_edge=False)
    for heading in ("mean |f({i})|", "mean |psi|", "ratio"):
        table.add_column(heading, justify="right")
    table.add_column("refuse_additive")
    for row in rows(spec.reranker, spec.layer, texts, arguments.pairs):
        numbers = [f"{value:.1e}" for value in (row.single, row.synergy, row.ratio)]
        table.add_row(row.readout, row.dtype, *numbers, "refused" if row.refused else "passes")
    console = Console(width=100, highlight=False)
    console.print(table)
    console.print(
        f"{spec.name}, layer {spec.layer}: {arguments.pairs} random pairs of neurons, {len(texts)} held-out pairs."
    )


if __name__ == "__main__":
    main()
