"""A Llama of two layers with planted weights, whose coalitions are known to persist, split, merge, vanish and emerge.

All neurons of a group of layer 0 fire alike and write to one coordinate, a different one per group; the groups of layer 1
read the coordinates of the groups that they come from. A group is recognised by the coordinate that it writes to.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from coterie.tasks.rerankers.spec import RerankerSpec
from tests.tasks.tiny import save_reranker

MEMBERS = 4  # neurons per group; 24 per layer, so 6 groups; the last of layer 0 fires but is in no coalition
# layer 1's groups, by the groups of layer 0 that they read
READS = {"a": ("a",), "b": ("b",), "b'": ("b",), "c": ("c", "c'"), "new": (), "rest": ()}
WRITES = ("a", "b", "c", "c'", "dead end", "rest")
EVENTS = {  # source -> target and event with thresholds of 0.6
    "a": ("a", "persist"),
    "b": ("b", "split"),
    "c": ("c", "merge"),
    "c'": ("c", "merge"),
    "dead end": (None, "vanish"),
}
ORIGINS = {"a": "persist", "b": "split", "b'": "split", "c": "merge", "new": "emerge"}

# a method that returns the groups, except the last: neurons that write to the same coordinate
METHOD = '''
from dataclasses import dataclass
from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions
from coterie.tasks.game import Capability

@dataclass(frozen=True)
class SameCoordinate(Method):
    """Neurons that write to the same coordinate."""
    name = "same-coordinate"
    sees = frozenset({Capability.WEIGHTS})
    reference = "a test"
    def discover(self, game, budget, rng):
        coordinate = game.write_vectors().abs().argmax(1).tolist()
        groups = [[i for i, c in enumerate(coordinate) if c == wanted] for wanted in range(5)]
        return Coalitions.of(game.n_players, groups)
'''


def save_planted(folder: Path) -> RerankerSpec:
    """Write it as a checkpoint under `folder`; weights that are not planted stay random."""
    spec = save_reranker(folder, adapter=False, layers=2)
    model = AutoModelForSequenceClassification.from_pretrained(spec.base)
    first, second = (layer.mlp for layer in model.model.layers)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        first.gate_proj.weight[:] = torch.randn(16, generator=generator)
        first.up_proj.weight[:] = torch.randn(16, generator=generator)
        for mlp in (first, second):
            mlp.down_proj.weight.zero_()
            for i in range(24):
                mlp.down_proj.weight[i // MEMBERS, i] = 1.0
        second.gate_proj.weight.zero_()
        second.up_proj.weight.zero_()
        for number, sources in enumerate(READS.values()):
            rows = slice(number * MEMBERS, (number + 1) * MEMBERS)
            for source in sources:
                second.gate_proj.weight[rows, WRITES.index(source)] = 0.7
                second.up_proj.weight[rows, WRITES.index(source)] = -0.4
    model.save_pretrained(spec.base)
    return spec
