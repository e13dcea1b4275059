"""A real transformer with planted groups: a Llama of two layers, its weights written down, not trained.

The residual stream has a constant coordinate, far larger than all others, so that every RMS norm divides by nearly the same
number; coordinates for the factors, one a group and one an additive player; a copy of these for their means over the
text; a coordinate of its own for each player; and the score's. A word is a random sign on every factor.

- Layer 0, attention: no queries and keys, so it is uniform; the factors' means over the tokens so far, t_g, are added.
- Layer 0, MLP, the site: the gate reads the constant; neuron i of group g fires a_i = l_i (1 + b t_g), and adds
  x_i = a_i / l_i to its own coordinate. Members fire together and write apart.
- Layer 1, attention: off. MLP: two neurons a group, ``silu(u) u + silu(-u) (-u) = u^2`` with ``u_g = sum over g of x_i - m``
  for m members: all in place, u_g = m b t_g; with r removed, u_g falls by r (1 + b t_g).
- The score falls with the sum of u_g^2, in proportion, up to the norms.

So f(A) = const * sum over g of [r^2 (1 + v) - 2 m r v], r = |A in g|, v = b^2 E[t_g^2]: psi > 0 inside a group, the same for
all its pairs as by the rule ``graded`` of :mod:`coterie.tasks.planted.game`, and about 0 across. All live players add a little to
the score by themselves, from player to player another amount, so that single effects do not tell groups apart; additive
players do nothing else; dead ones neither read nor write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from coterie.tasks.collections.types import Candidate
from coterie.tasks.planted.game import Layout, Planting
from coterie.tasks.rerankers.reranker import Reranker, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORDS = 64
_SPECIAL = ("<pad>", "<unk>", "<s>", "<sep>", "</s>")
_CONSTANT = 40.0  # the constant coordinate, against 1 of a player and of a word's factor
_SWING = 1.5  # b: a mean of 20 words deviates by 0.22, so a factor of about 0.33
_CURVATURE = 0.05  # how much of a u^2 goes to the score's coordinate
_OWN = (0.05, 0.25)  # what a player adds to the score's coordinate by itself


def planted_reranker(planting: Planting, device: str = "cpu") -> Reranker:
    """The reranker of a planting; players of layer 0 are numbered as in :class:`Layout`.

    Raises ``ValueError`` on a planting that it does not make: the rule is ``graded``, the decoys additive and dead.
    """
    made = planting.model_copy(update={"sizes": (), "additive": 0, "dead": 0, "seed": 0})
    if made != Planting(sizes=()):
        raise ValueError(
            f"a planted reranker has sizes, additive, dead and seed; got {planting.model_dump(exclude_defaults=True)}; "
            f"fix: leave the others out, or plant a game (inside: game)"
        )
    from transformers import LlamaConfig, LlamaForSequenceClassification

    layout = Layout.of(planting)
    grouped = {i for group in layout.truth for i in group}
    alone = [i for i in range(layout.n_players) if i not in grouped and i not in layout.dead]
    n_factors = len(layout.truth) + len(alone)
    width = 2 + 2 * n_factors + layout.n_players
    width += width % 2  # rotary embeddings ask for pairs of coordinates
    config = LlamaConfig(
        vocab_size=len(_SPECIAL) + WORDS,
        hidden_size=width,
        intermediate_size=layout.n_players,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        num_labels=1,
        pad_token_id=0,
        max_position_embeddings=256,
    )
    with torch.random.fork_rng(devices=[]):  # the random start is thrown away, the global random state is not touched
        model = LlamaForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data = torch.ones_like(parameter) if parameter.ndim == 1 else torch.zeros_like(parameter)
    _write(model, layout, alone, n_factors, np.random.default_rng([planting.seed, 3]))
    return Reranker(model.to(device), _tokenizer(), Template(max_length=128), {})


def planted_pairs(n_queries: int, depth: int, split: int, seed: int = 0) -> list[Candidate]:
    """Queries of 4 and documents of 16 random words; every pair has grade 0, nothing is relevant here."""
    rng = np.random.default_rng([seed, 4, split])

    def text(length: int) -> str:
        return " ".join(f"w{word}" for word in rng.integers(WORDS, size=length))

    queries = [(f"q{split}-{i}", text(4)) for i in range(n_queries)]
    return [Candidate(q, f"{q}-{j}", query, text(16), 0) for q, query in queries for j in range(depth)]


def _write(model: Any, layout: Layout, alone: Sequence[int], n_factors: int, rng: np.random.Generator) -> None:
    """All weights that are not 0. Coordinates: constant, score, factors, their means, players."""
    constant, score, players = 0, 1, 2 + 2 * n_factors
    factors, means = slice(2, 2 + n_factors), slice(2 + n_factors, players)
    width, first, second = model.config.hidden_size, model.model.layers[0], model.model.layers[1]
    norm = (_CONSTANT**2 + n_factors) ** 0.5 / width**0.5  # what RMS norms divide by, nearly, everywhere

    embedding = torch.zeros(len(_SPECIAL) + WORDS, width)
    embedding[: len(_SPECIAL), constant] = (_CONSTANT**2 + n_factors) ** 0.5
    embedding[len(_SPECIAL) :, constant] = _CONSTANT
    embedding[len(_SPECIAL) :, factors] = torch.from_numpy(rng.choice([-1.0, 1.0], (WORDS, n_factors))).float()
    model.model.embed_tokens.weight.data = embedding

    first.self_attn.v_proj.weight.data[factors, factors] = norm * torch.eye(n_factors)
    first.self_attn.o_proj.weight.data[means, factors] = torch.eye(n_factors)

    reading = width**-0.5  # the constant over what the norm divides by is the root of the width: reads it as 1
    gate, up, down = (getattr(first.mlp, f"{part}_proj").weight.data for part in ("gate", "up", "down"))
    open_gate = 20.0  # silu(20) = 20 to eight digits
    for factor, members in enumerate([*layout.truth, *((i,) for i in alone)]):
        for i in members:
            load = float(rng.uniform(0.5, 2.0))
            gate[i, constant] = open_gate * reading
            up[i, constant] = load / open_gate * reading
            up[i, 2 + n_factors + factor] = load / open_gate * _SWING * norm
            down[score, i] = float(rng.uniform(*_OWN)) / load
            if factor < len(layout.truth):
                down[players + i, i] = 1 / load

    for number, group in enumerate(layout.truth):
        for row, sign in ((2 * number, 1.0), (2 * number + 1, -1.0)):
            for part in (second.mlp.gate_proj.weight.data, second.mlp.up_proj.weight.data):
                part[row, [players + i for i in group]] = sign * norm
                part[row, constant] = -sign * len(group) * reading
            second.mlp.down_proj.weight.data[score, row] = -_CURVATURE
    model.score.weight.data[0, score] = norm


def _tokenizer() -> PreTrainedTokenizerBase:
    """One token a word; a pair is ``<s> query <sep> document </s>``, padded on the right."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate([*_SPECIAL, *(f"w{i}" for i in range(WORDS))])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A <sep> $B </s>",
        special_tokens=[(token, vocabulary[token]) for token in ("<s>", "<sep>", "</s>")],
    )
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", padding_side="right")
