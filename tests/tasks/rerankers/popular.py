"""Stand-ins for popular rerankers: tiny random models with the same configuration, tokenizer and head classes.

Each is saved in the form in which its original is published.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from coterie.tasks.rerankers.spec import LabelsReadout, LogitReadout, RerankerSpec, ScoreReadout, Template, YesNoReadout
from tests.tasks.tiny import WORDS

TEXTS = [
    " ".join(WORDS),
    "query: document: relevance A: B: yes no true false 1 0 ? . \n",
    " ".join(reversed(WORDS)),
] * 3
TEXTS += ["no", "yes"] * 20
QWEN3 = (
    '<|im_start|>system\nJudge whether the Document meets the requirements based on the Query. Answer "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n",
    "<Instruct>: find\n<Query>: {query}\n<Document>: {document}",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
)
MXBAI = (
    "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n",
    "query: {query}",
    "\n",
    "document: {document}",
    "\n",
    "Judge the relevance (0 or 1).\nRelevance:",
    "<|im_end|>\n<|im_start|>assistant\n",
)
GEMMA = ("<bos>", "A: {query}", "\n", "B: {document}", "\n", "Does the passage answer the query, 'Yes' or 'No'?")

_SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_hidden_layers": 3}
_POSITIONS = {"max_position_embeddings": 128}
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "head_dim": 4, **_POSITIONS}
_T5_SIZES = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_heads": 4, "num_layers": 3, "num_decoder_layers": 2}
_DEBERTA = {
    **_SIZES,
    **_POSITIONS,
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 8,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pooler_hidden_size": 16,
    "pooler_hidden_act": "gelu",
}


def _wordpiece() -> Any:
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
    return transformers.BertTokenizer(vocab=trained.get_vocab())


def _bytes(kind: Any, special: list[str], first: bool = True) -> Any:
    """A byte-level BPE with its special tokens before or after the others."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special if first else [],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    state = json.loads(trained.to_str())["model"]
    vocabulary = {token: i for token, i in state["vocab"].items() if first or token not in special}
    for token in [] if first else special:
        vocabulary[token] = len(vocabulary)
    return kind(vocab=vocabulary, merges=[tuple(m) for m in state["merges"]])


def _unigram(kind: Any, special: list[str], **options: Any) -> Any:
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token=special[-1], show_progress=False),
    )
    vocabulary = [tuple(row) for row in json.loads(trained.to_str())["model"]["vocab"]]
    vocabulary += [(f"▁{word}", -5.0) for word in ("true", "false") if all(f"▁{word}" != v for v, _ in vocabulary)]
    return kind(vocab=vocabulary, **options)


def _sentencepiece_bpe(kind: Any, special: list[str]) -> Any:
    """SentencePiece's BPE as in the tokenizers of Gemma and Llama: spaces become marks, and text is not split into words."""
    trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    alphabet = [*(f"<0x{i:02X}>" for i in range(256)), "Yes", "▁Yes", "\n", "'"]
    trained.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=500, special_tokens=[*special, *alphabet], show_progress=False)
    )
    state = json.loads(trained.to_str())["model"]
    return kind(vocab=state["vocab"], merges=[tuple(m) for m in state["merges"]])


def _roberta() -> Any:
    return _bytes(transformers.RobertaTokenizer, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])


def _qwen() -> Any:
    tokenizer = _bytes(transformers.Qwen2Tokenizer, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], first=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def _modernbert() -> Any:
    from coterie.tasks.training.base import train_tokenizer

    return train_tokenizer(TEXTS, 400)


@dataclass(frozen=True)
class Popular:
    """One kind of reranker: how to make a tiny one, and how a task file reads it."""

    model: str
    """Model class of transformers."""

    config: dict[str, Any]
    """Fields of its configuration."""

    tokenizer: Callable[[], Any]
    """Trains a tokenizer of the right class."""

    readout: ScoreReadout = field(default_factory=LogitReadout)
    """Which output is the score."""

    template: Template = field(default_factory=lambda: Template(max_length=48))
    """How a pair becomes text."""

    labels: tuple[str, ...] = ("LABEL_0",)
    """Labels of a classifier."""

    @property
    def classifies(self) -> bool:
        """Whether sentence-transformers accepts it as a cross-encoder."""
        return "SequenceClassification" in self.model

    def save(self, folder: Path) -> RerankerSpec:
        """Save a random model in the form in which its original is published."""
        torch.manual_seed(0)
        tokenizer = self.tokenizer()
        kind = getattr(transformers, self.model)
        special = {
            name: value
            for name in ("pad_token_id", "bos_token_id", "eos_token_id")
            if (value := getattr(tokenizer, name)) is not None
        }
        labels = {"id2label": dict(enumerate(self.labels))} if self.classifies else {}
        config = kind.config_class(vocab_size=len(tokenizer), **{**special, **labels, **self.config})
        model = kind(config)
        for name, parameter in model.named_parameters():
            if "score" not in name or parameter.any():
                parameter.data.add_(torch.randn_like(parameter) * 0.15)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return RerankerSpec(base=str(folder), template=self.template, readout=self.readout)


POPULAR: dict[str, Popular] = {
    "ms-marco-minilm": Popular("BertForSequenceClassification", {**_SIZES, **_POSITIONS}, _wordpiece),
    "ms-marco-electra": Popular(
        "ElectraForSequenceClassification", {**_SIZES, **_POSITIONS, "embedding_size": 8}, _wordpiece
    ),
    "bge-reranker-v2-m3": Popular(
        "XLMRobertaForSequenceClassification",
        {**_SIZES, "max_position_embeddings": 130, "type_vocab_size": 1},
        lambda: _unigram(transformers.XLMRobertaTokenizer, ["<s>", "<pad>", "</s>", "<unk>"]),
    ),
    "stsb-roberta": Popular(
        "RobertaForSequenceClassification",
        {**_SIZES, "max_position_embeddings": 130, "type_vocab_size": 1},
        _roberta,
    ),
    "distilbert": Popular(
        "DistilBertForSequenceClassification",
        {"dim": 16, "hidden_dim": 24, "n_heads": 4, "n_layers": 3, **_POSITIONS},
        _wordpiece,
    ),
    "mxbai-rerank-v1": Popular(
        "DebertaV2ForSequenceClassification",
        _DEBERTA,
        lambda: _unigram(transformers.DebertaV2Tokenizer, ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], unk_id=3),
    ),
    "nli-deberta-v3": Popular(
        "DebertaV2ForSequenceClassification",
        _DEBERTA,
        lambda: _unigram(transformers.DebertaV2Tokenizer, ["[PAD]", "[CLS]", "[SEP]", "[UNK]"], unk_id=3),
        readout=LabelsReadout(kind="labels", positive="entailment", negative="contradiction"),
        labels=("contradiction", "entailment", "neutral"),
    ),
    "two-logits": Popular(
        "BertForSequenceClassification",
        {**_SIZES, **_POSITIONS},
        _wordpiece,
        readout=LabelsReadout(kind="labels", positive="relevant", negative="not relevant"),
        labels=("not relevant", "relevant"),
    ),
    "gte-reranker-modernbert": Popular(
        "ModernBertForSequenceClassification",
        {**_SIZES, **_POSITIONS, "classifier_pooling": "mean", "global_attn_every_n_layers": 2, "local_attention": 8},
        _modernbert,
    ),
    "modernbert-cls": Popular(
        "ModernBertForSequenceClassification",
        {**_SIZES, **_POSITIONS, "classifier_pooling": "cls", "global_attn_every_n_layers": 2, "local_attention": 8},
        _modernbert,
    ),
    "qwen3-reranker": Popular(
        "Qwen3ForCausalLM",
        {**_GROUPED, "tie_word_embeddings": True, "max_position_embeddings": 256},
        _qwen,
        readout=YesNoReadout(kind="yes-no", yes="yes", no="no"),
        template=Template(pieces=QWEN3, max_length=190),
    ),
    "mxbai-rerank-v2": Popular(
        "Qwen2ForCausalLM",
        {**_GROUPED, "max_position_embeddings": 256},
        _qwen,
        readout=YesNoReadout(kind="yes-no", yes="1", no="0"),
        template=Template(pieces=MXBAI, max_length=140),
    ),
    "bge-reranker-v2-gemma": Popular(
        "GemmaForCausalLM",
        {**_GROUPED, "max_position_embeddings": 256},
        lambda: _sentencepiece_bpe(transformers.GemmaTokenizer, ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]),
        readout=YesNoReadout(kind="yes-no", yes="Yes"),
        template=Template(pieces=GEMMA, max_length=110),
    ),
    "gemma2-softcapped": Popular(
        "Gemma2ForCausalLM",
        {**_GROUPED, "max_position_embeddings": 256, "final_logit_softcapping": 2.0, "sliding_window": 16},
        lambda: _sentencepiece_bpe(transformers.GemmaTokenizer, ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]),
        readout=YesNoReadout(kind="yes-no", yes="Yes", no="'"),
        template=Template(pieces=GEMMA, max_length=110),
    ),
    "minicpm-style": Popular(
        "LlamaForCausalLM",
        {**_GROUPED, "max_position_embeddings": 256},
        lambda: _sentencepiece_bpe(transformers.LlamaTokenizer, ["<unk>", "<s>", "</s>"]),
        readout=YesNoReadout(kind="yes-no", yes="▁Yes"),
        template=Template(pieces=("<s>", *GEMMA[1:]), max_length=120),
    ),
    "monot5": Popular(
        "T5ForConditionalGeneration",
        {**_T5_SIZES, "feed_forward_proj": "relu", "decoder_start_token_id": 0},
        lambda: _unigram(transformers.T5Tokenizer, ["<pad>", "</s>", "<unk>"], extra_ids=0),
        readout=YesNoReadout(kind="yes-no", yes="▁true", no="▁false"),
        template=Template(first="Query: {query} Document: {document} Relevant:", second="", max_length=48),
    ),
    "t5-v1.1": Popular(
        "T5ForConditionalGeneration",
        {**_T5_SIZES, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "tie_word_embeddings": False},
        lambda: _unigram(transformers.T5Tokenizer, ["<pad>", "</s>", "<unk>"], extra_ids=0),
        readout=YesNoReadout(kind="yes-no", yes="▁true", no="▁false"),
        template=Template(first="Query: {query} Document: {document} Relevant:", second="", max_length=48),
    ),
    "rankllama": Popular(
        "LlamaForSequenceClassification",
        _GROUPED,
        lambda: _sentencepiece_bpe(transformers.LlamaTokenizer, ["<unk>", "<s>", "</s>"]),
        template=Template(first="query: {query}", second="document: {document}</s>", max_length=80),
    ),
}
