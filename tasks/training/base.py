"""Train a tiny base model from scratch: token matching by curriculum, then language modelling on the training texts.

With ranking losses only, a model of this size stays at chance: it must first learn to detect that a token of the document
occurs in the query. Stage `matching` teaches that on random tokens, from 1 query and 6 document tokens up to 12 and 56. Its
targets are binary for each document token (does it occur in the query?), and, at the last token, the share of query tokens
that occur in the document. Stage `text` continues with real pairs of the training split, next-token prediction and the same
binary targets. The two small heads for these targets are discarded, so the saved base has no head, like those on the hub.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from coterie.tasks.atomic import replacing_files
from coterie.tasks.training.spec import BaseRecipe

Progress = Callable[[int, int, str], None]  # steps done, steps in all, current activity
PAD, BOS, EOS, SEP = 0, 1, 2, 3
_LAST = "tokenizer.json"  # the file of a base that is put in place after all others
_SPECIAL = ["<pad>", "<s>", "</s>", "<sep>"]

SHAPES: dict[str, dict[str, object]] = {  # what distinguishes the families, as in their published models
    "llama": {"intermediate_size": 352},
    "mistral": {"intermediate_size": 352, "num_key_value_heads": 2},
    "gpt_neox": {"intermediate_size": 512},
}


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A lower-casing byte-level BPE that encodes a pair as `<s> query <sep> document </s>` and pads on the right."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=_SPECIAL, initial_alphabet=alphabet)
    )
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A <sep> $B </s>",
        special_tokens=[("<s>", BOS), ("</s>", EOS), ("<sep>", SEP)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        sep_token="<sep>",
        padding_side="right",
    )


def new_base(recipe: BaseRecipe) -> PreTrainedModel:
    """A randomly initialised causal language model of the recipe's family and size, with tied embeddings."""
    torch.manual_seed(recipe.seed)
    config = AutoConfig.for_model(
        recipe.model_type,
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=512,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        tie_word_embeddings=True,
        **SHAPES[recipe.model_type],
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model


def matching_batch(
    rows: int, query_tokens: int, document_tokens: int, vocabulary: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Random pairs and their targets.

    Returns token ids [rows, 3 + q + d], the share of query tokens that occur in the document [rows], and whether each
    document token occurs in the query [rows, d].
    """
    lowest = 300  # above the special tokens and single bytes
    query = torch.randint(lowest, vocabulary, (rows, query_tokens), generator=generator)
    document = torch.randint(lowest, vocabulary, (rows, document_tokens), generator=generator)
    planted = torch.randint(0, query_tokens + 1, (rows, 1), generator=generator)
    places = torch.rand(rows, document_tokens, generator=generator).argsort(1)[:, :query_tokens]
    chosen = query.gather(1, torch.rand(rows, query_tokens, generator=generator).argsort(1))
    keep = torch.arange(query_tokens)[None] < planted
    document.scatter_(1, places, torch.where(keep, chosen, document.gather(1, places)))
    found = (document[:, :, None] == query[:, None]).any(-1).float()
    share = (query[:, :, None] == document[:, None]).any(-1).float().mean(1)
    ends = [torch.full((rows, 1), token) for token in (BOS, SEP, EOS)]
    return torch.cat([ends[0], query, ends[1], document, ends[2]], 1), share, found


class _Heads(nn.Module):
    """Heads for the two training targets; they are not saved."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.share = nn.Linear(hidden, 1)
        self.found = nn.Linear(hidden, 1)


def train_base(
    recipe: BaseRecipe,
    pairs: list[tuple[str, str]],
    folder: Path,
    log: Callable[[str], None] = print,
    progress: Progress = lambda _step, _steps, _text: None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Train tokenizer and base on (query, document) pairs, and save both in `folder` in hub layout (float16)."""
    tokenizer = train_tokenizer([f"{q} {d}" for q, d in pairs], recipe.vocabulary)
    model = new_base(recipe)
    heads = _Heads(recipe.hidden)
    _matching_stage(model, heads, recipe, log, progress)
    _text_stage(model, heads, tokenizer, pairs, recipe, log, progress)
    with replacing_files(folder, last=_LAST) as temporary:
        model.half().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return model, tokenizer


def has_base(folder: Path) -> bool:
    """Whether this folder holds a complete base."""
    return (folder / _LAST).is_file()


def _matching_stage(
    model: PreTrainedModel, heads: _Heads, recipe: BaseRecipe, log: Callable[[str], None], progress: Progress
) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)
    step_with = _optimizer(model, heads, recipe, recipe.matching_steps)
    draw = np.random.default_rng(recipe.seed)
    query_limit, document_limit, started = 1, 6, time.monotonic()
    error = variance = 0.0
    for step in range(1, recipe.matching_steps + 1):
        q = int(draw.integers(1, query_limit + 1))
        d = int(draw.integers(max(query_limit, document_limit // 2), document_limit + 1))
        rows = max(32, recipe.tokens_a_step // (q + d + 3))
        ids, share, found = matching_batch(rows, q, d, recipe.vocabulary, generator)
        hidden = model.base_model(input_ids=ids).last_hidden_state
        share_loss = F.mse_loss(heads.share(hidden[:, -1])[:, 0], share)
        found_loss = F.binary_cross_entropy_with_logits(heads.found(hidden[:, 2 + q : -1])[..., 0], found)
        step_with(share_loss + found_loss)
        error, variance = error + share_loss.item(), variance + share.var(unbiased=False).item()
        progress(step, recipe.matching_steps, f"base, matching: loss {share_loss.item() + found_loss.item():.3f}")
        if step % 50 == 0:
            r2 = 1 - error / variance
            if step % 250 == 0:
                log(
                    f"matching {step} q<={query_limit} d<={document_limit} R2 {r2:.3f} {time.monotonic() - started:.0f}s"
                )
            if r2 > 0.75:
                query_limit, document_limit = min(12, query_limit + 1), min(56, int(document_limit * 1.6))
            error = variance = 0.0


def _text_stage(
    model: PreTrainedModel,
    heads: _Heads,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[tuple[str, str]],
    recipe: BaseRecipe,
    log: Callable[[str], None],
    progress: Progress,
) -> None:
    draw = np.random.default_rng(recipe.seed + 1)
    step_with = _optimizer(model, heads, recipe, recipe.text_steps)
    rows, started, losses = recipe.tokens_a_step // recipe.max_length, time.monotonic(), np.zeros(2)
    for step in range(1, recipe.text_steps + 1):
        picked = draw.integers(len(pairs), size=rows)
        other = np.where(draw.random(rows) < 0.5, picked, draw.integers(len(pairs), size=rows))
        batch = tokenizer(
            [pairs[i][0] for i in picked],
            [pairs[j][1] for j in other],
            truncation="longest_first",
            max_length=recipe.max_length,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        ids = batch["input_ids"]
        hidden = model.base_model(**batch).last_hidden_state
        real = batch["attention_mask"].bool()
        language_loss = F.cross_entropy(
            model.get_output_embeddings()(hidden[:, :-1][real[:, 1:]]), ids[:, 1:][real[:, 1:]]
        )
        found_loss = _found_loss(heads, hidden, ids)
        step_with(0.3 * language_loss + found_loss)
        losses += (language_loss.item(), found_loss.item())
        progress(step, recipe.text_steps, f"base, text: language loss {language_loss.item():.3f}")
        if step % 250 == 0:
            log(
                f"text {step} language {losses[0] / 250:.3f} found {losses[1] / 250:.3f} {time.monotonic() - started:.0f}s"
            )
            losses[:] = 0


def _found_loss(heads: _Heads, hidden: Tensor, ids: Tensor) -> Tensor:
    """Binary cross-entropy of 'this document token occurs in the query' over the document tokens of real pairs."""
    after_separator = (ids == SEP).cumsum(1) > 0
    in_document = after_separator & (ids > SEP)
    in_query = ~after_separator & (ids > SEP)
    found = ((ids[:, :, None] == ids[:, None]) & in_query[:, None]).any(-1).float()
    return F.binary_cross_entropy_with_logits(heads.found(hidden)[..., 0][in_document], found[in_document])


def _optimizer(model: PreTrainedModel, heads: _Heads, recipe: BaseRecipe, steps: int) -> Callable[[Tensor], None]:
    """AdamW with warm-up and linear decay to a tenth; returns a function that takes one step to reduce a loss."""
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1.0, (s + 1) / 200) * max(0.1, 1 - max(0.0, s / steps - 0.5) * 2)
    )

    def step_with(loss: Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()

    return step_with
