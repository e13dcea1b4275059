"""The references for the popular rerankers' stand-ins: how each model card scores a pair."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor

from coterie.tasks.collections.types import Candidate
from coterie.tasks.rerankers.spec import RerankerSpec
from tests.tasks.rerankers.popular import GEMMA, MXBAI, POPULAR, QWEN3
from tests.tasks.tiny import WORDS, pairs


def long_pairs() -> list[Candidate]:
    """Pairs, some with documents longer than the template of any stand-in allows."""
    rows = pairs(2)
    return [*rows, *(Candidate(p.query_id, f"{p.document_id}+", p.query, " ".join(WORDS * 12), 0) for p in rows[::3])]


def raw(spec: RerankerSpec, kind: str, dtype: str = "float32") -> tuple[Any, Any]:
    """Model and tokenizer, loaded without coterie."""
    model = getattr(transformers, POPULAR[kind].model).from_pretrained(spec.base, dtype=getattr(torch, dtype)).eval()
    return model, transformers.AutoTokenizer.from_pretrained(spec.base)


def ids_of(tokenizer: Any, text: str, **options: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, **options)["input_ids"])


def qwen3_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As in Qwen3-Reranker's model card: the middle is truncated, the prompt around it kept."""
    before, after = ids_of(tokenizer, QWEN3[0]), ids_of(tokenizer, QWEN3[2])
    text = QWEN3[1].replace("{query}", pair.query).replace("{document}", pair.document)
    return before + ids_of(tokenizer, text, truncation=True, max_length=most - len(before) - len(after)) + after


def gemma_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As FlagEmbedding does for bge-reranker-v2-gemma, whose maximum length excludes the prompt; ours includes it."""
    sep, prompt = ids_of(tokenizer, "\n"), ids_of(tokenizer, GEMMA[-1])
    query = [tokenizer.bos_token_id, *ids_of(tokenizer, f"A: {pair.query}"), *sep]
    passage = ids_of(tokenizer, f"B: {pair.document}")
    return query + passage[: most - len(query) - len(sep) - len(prompt)] + sep + prompt


def mxbai_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As mxbai-rerank does, whose maximum length excludes the prompt; ours includes it."""
    before, sep = ids_of(tokenizer, MXBAI[0]), ids_of(tokenizer, "\n")
    query, passage = ids_of(tokenizer, f"query: {pair.query}"), ids_of(tokenizer, f"document: {pair.document}")
    after = sep + ids_of(tokenizer, MXBAI[5]) + ids_of(tokenizer, MXBAI[6])
    head = before + query + sep
    return head + passage[: most - len(head) - len(after)] + after


def t5_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As pygaggle and its successors do: the document is truncated so that `Relevant:` and `</s>` stay."""
    whole = f"Query: {pair.query} Document: {pair.document} Relevant:"
    tokens = list(tokenizer(whole)["input_ids"])
    after = list(tokenizer(" Relevant:")["input_ids"])
    assert tokens[-len(after) :] == after
    return tokens if len(tokens) <= most else tokens[: most - len(after)] + after


INPUTS = {
    "qwen3-reranker": qwen3_inputs,
    "mxbai-rerank-v2": mxbai_inputs,
    "bge-reranker-v2-gemma": gemma_inputs,
    "gemma2-softcapped": gemma_inputs,
    "minicpm-style": gemma_inputs,
    "monot5": t5_inputs,
    "t5-v1.1": t5_inputs,
}
TOKENS_READ = {
    "qwen3-reranker": ("yes", "no"),
    "mxbai-rerank-v2": ("1", "0"),
    "bge-reranker-v2-gemma": ("Yes", None),
    "gemma2-softcapped": ("Yes", "'"),
    "minicpm-style": ("▁Yes", None),
    "monot5": ("▁true", "▁false"),
    "t5-v1.1": ("▁true", "▁false"),
}


def reference_arguments(name: str, tokenizer: Any, pair: Candidate, spec: RerankerSpec) -> dict[str, Tensor]:
    """The arguments that the reference passes to the model for one pair."""
    if name in INPUTS:
        ids = torch.tensor([INPUTS[name](tokenizer, pair, spec.template.max_length)])
        arguments = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return arguments if "5" not in name else {**arguments, "decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)}
    first, second = spec.template.fill(pair.query, pair.document)
    encoded = tokenizer(first, second, truncation="only_second", max_length=spec.template.max_length)
    if name == "rankllama" and len(tokenizer(first, second)["input_ids"]) > spec.template.max_length:
        end = tokenizer.convert_tokens_to_ids("</s>")  # the reference truncates the end token, ours keeps it
        encoded["input_ids"][-1] = end
    return {key: torch.tensor([value]) for key, value in encoded.items()}


def reference_score(name: str, tokenizer: Any, logits: Tensor) -> Tensor:
    """The score from one pair's logits."""
    if name in TOKENS_READ:
        yes, no = (None if word is None else tokenizer.convert_tokens_to_ids(word) for word in TOKENS_READ[name])
        last = logits[0, -1]
        return last[yes] if no is None else last[yes] - last[no]
    if name == "nli-deberta-v3":
        return logits[0, 1] - logits[0, 0]
    return logits[0, 1] - logits[0, 0] if name == "two-logits" else logits[0, 0]


class Reference:
    """The reference's scores, pair by pair without padding; the model may be changed between calls."""

    def __init__(self, name: str, spec: RerankerSpec, rows: list[Candidate], dtype: str = "float32") -> None:
        self.model, self._tokenizer = raw(spec, name, dtype)
        self._name = name
        self._arguments = [reference_arguments(name, self._tokenizer, pair, spec) for pair in rows]

    @torch.no_grad()
    def scores(self) -> Tensor:
        return torch.stack(
            [
                reference_score(self._name, self._tokenizer, self.model(**arguments).logits)
                for arguments in self._arguments
            ]
        )
