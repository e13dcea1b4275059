"""A transformer with planted groups: a Llama of two layers whose weights are written down instead of trained.

The residual stream has one constant coordinate, far larger than all others, so that every RMS norm divides by nearly the
same number; one coordinate per factor, where each group and each additive player has a factor; a copy of these for the
factors' means over the text; one coordinate per player; and one for the score. A word is a random sign on every factor.

- Layer 0, attention: without queries and keys it is uniform, and adds the means t_g of the factors over the tokens so far.
- Layer 0, MLP, the site: the gate reads the constant; neuron i of group g has the activation a_i = l_i (1 + b t_g) and adds
  x_i = a_i / l_i to its coordinate. Members fire together and write apart.
- Layer 1, attention: off. MLP: two neurons per group compute `silu(u) u + silu(-u) (-u) = u^2` with
  `u_g = sum over g of x_i - m` for m members: u_g = m b t_g if nothing is ablated; removing r members lowers it by
  r (1 + b t_g).
- The score falls in proportion to the sum of u_g^2, up to the norms.

So f(A) = const * sum over g of [r^2 (1 + v) - 2 m r v], with r = |A in g| and v = b^2 E[t_g^2]: inside a group psi > 0, equal
for all pairs as for the rule `graded` of `coterie.tasks.planted.game`, and across groups psi is about 0. In addition, every
live player adds a small amount to the score that differs between players, so that single effects do not reveal the groups;
additive players do nothing else; dead ones neither read nor write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from coterie.tasks.collections.types import Candidate
from coterie.tasks.planted.game import Layout, Planting
from coterie.tasks.rerankers.reranker import Reranker
from coterie.tasks.rerankers.spec import Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORDS = 64
_SPECIAL = ("<pad>", "<unk>", "<s>", "<sep>", "</s>")
_CONSTANT = 40.0  # value of the constant coordinate; those of players and of a word's factors are about 1
_SWING = 1.5  # b: a mean over 20 signs deviates by 0.22, so b t_g deviates by about 0.33
_CURVATURE = 0.05  # share of u^2 that is subtracted from the score's coordinate
_OWN = (0.05, 0.25)  # range of a player's own addition to the score's coordinate


def planted_reranker(planting: Planting, device: str = "cpu") -> Reranker:
    """Build the reranker of a planting; the players of layer 0 are numbered as in `Layout`.

    Raises `ValueError` for a planting with a rule other than `graded`, or with decoys other than additive and dead ones.
    """
    unsupported = planting.model_copy(update={"sizes": (), "additive": 0, "dead": 0, "seed": 0})
    if unsupported != Planting(sizes=()):
        raise ValueError(
            f"planting: expected only sizes, additive, dead and seed for a planted reranker, got "
            f"{planting.model_dump(exclude_defaults=True)}; fix: leave the others out, or plant a game (inside: game)"
        )
    from transformers import LlamaConfig, LlamaForSequenceClassification

    layout = Layout.of(planting)
    grouped = {i for group in layout.truth for i in group}
    single = [i for i in range(layout.n_players) if i not in grouped and i not in layout.dead]
    n_factors = len(layout.truth) + len(single)
    width = 2 + 2 * n_factors + layout.n_players
    width += width % 2  # rotary embeddings need pairs of coordinates
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
    with torch.random.fork_rng(devices=[]):  # keeps the global random state; the random weights are replaced below
        model = LlamaForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data = torch.ones_like(parameter) if parameter.ndim == 1 else torch.zeros_like(parameter)
    _write(model, layout, single, n_factors, np.random.default_rng([planting.seed, 3]))
    return Reranker(model.to(device), _tokenizer(), Template(max_length=128), {})


def planted_pairs(n_queries: int, depth: int, split: int, seed: int = 0) -> list[Candidate]:
    """Queries of 4 and documents of 16 random words; all pairs have grade 0, because nothing is relevant."""
    rng = np.random.default_rng([seed, 4, split])

    def text(length: int) -> str:
        return " ".join(f"w{word}" for word in rng.integers(WORDS, size=length))

    queries = [(f"q{split}-{i}", text(4)) for i in range(n_queries)]
    return [Candidate(q, f"{q}-{j}", query, text(16), 0) for q, query in queries for j in range(depth)]


def _write(model: Any, layout: Layout, single: Sequence[int], n_factors: int, rng: np.random.Generator) -> None:
    """Set all weights that are not 0. Coordinates are, in order: constant, score, factors, their means, players."""
    constant, score, players = 0, 1, 2 + 2 * n_factors
    factors, means = slice(2, 2 + n_factors), slice(2 + n_factors, players)
    width, first, second = model.config.hidden_size, model.model.layers[0], model.model.layers[1]
    norm = (_CONSTANT**2 + n_factors) ** 0.5 / width**0.5  # nearly what every RMS norm divides by

    embedding = torch.zeros(len(_SPECIAL) + WORDS, width)
    embedding[: len(_SPECIAL), constant] = (_CONSTANT**2 + n_factors) ** 0.5
    embedding[len(_SPECIAL) :, constant] = _CONSTANT
    embedding[len(_SPECIAL) :, factors] = torch.from_numpy(rng.choice([-1.0, 1.0], (WORDS, n_factors))).float()
    model.model.embed_tokens.weight.data = embedding

    first.self_attn.v_proj.weight.data[factors, factors] = norm * torch.eye(n_factors)
    first.self_attn.o_proj.weight.data[means, factors] = torch.eye(n_factors)

    reading = width**-0.5  # reads the normed constant, which is the root of the width, as 1
    gate, up, down = (getattr(first.mlp, f"{part}_proj").weight.data for part in ("gate", "up", "down"))
    open_gate = 20.0  # silu(20) = 20 to eight digits
    for factor, members in enumerate([*layout.truth, *((i,) for i in single)]):
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
    """One token per word; a pair is `<s> query <sep> document </s>`, padded on the right."""
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
