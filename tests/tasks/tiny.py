"""Tiny checkpoints in hub layout, with random weights, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForSequenceClassification

from coterie.tasks.collections.types import Candidate
from coterie.tasks.rerankers.spec import RerankerSpec, Template
from coterie.tasks.training.base import train_tokenizer

WORDS = [
    "apple",
    "brick",
    "cloud",
    "delta",
    "eagle",
    "flame",
    "grape",
    "honey",
    "iron",
    "juice",
    "kite",
    "lemon",
    "mango",
    "night",
    "ocean",
    "pearl",
]
_SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4}
_GROUPED = {**_SIZES, "num_key_value_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _GROUPED,
    "mistral": _GROUPED,
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 4},
    "phi3": {**_GROUPED, "bos_token_id": 1, "eos_token_id": 2},
    "gemma": {**_GROUPED, "head_dim": 4},
    "gemma2": {**_GROUPED, "head_dim": 4, "sliding_window": 8},
    "gemma3_text": {**_GROUPED, "head_dim": 4, "sliding_window": 8, "layer_types": None},
    "mixtral": {**_GROUPED, "num_local_experts": 3, "num_experts_per_tok": 2},
    "gpt_neox": _SIZES,
    "gpt2": {"n_embd": 16, "n_inner": 24, "n_head": 4},
    "opt": {"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 24, "num_attention_heads": 4},
    "opt-post-norm": {
        "hidden_size": 16,
        "word_embed_proj_dim": 8,
        "ffn_dim": 24,
        "num_attention_heads": 4,
        "do_layer_norm_before": False,
    },
    "bert": _SIZES,
    "modernbert": {**_SIZES, "global_attn_every_n_layers": 2, "local_attention": 8},
}
LORA = {  # modules with LoRA, if they differ from those of the Llama family
    "gpt_neox": ["mlp.dense_h_to_4h", "mlp.dense_4h_to_h"],
    "gpt2": ["mlp.c_fc", "mlp.c_proj"],
    "opt": ["fc1", "fc2"],
    "bert": ["intermediate.dense", "output.dense"],
    "modernbert": ["mlp.Wi", "mlp.Wo"],
    "phi3": ["gate_up_proj", "down_proj"],
    "mixtral": ["q_proj", "v_proj"],
}


def edit_json(path: Path, **changes: Any) -> None:
    """Change some fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def masks_of(players: int, count: int = 9) -> torch.Tensor:
    """Masks [count, players]: nothing, everything, player 3, and random ones."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(count, players, generator=generator) < 0.4
    masks[0], masks[1], masks[2] = False, True, torch.arange(players) == 3
    return masks


def pairs(n_queries: int = 4, depth: int = 3, seed: int = 0) -> list[Candidate]:
    """Random texts of different lengths; the first candidate of each query is relevant."""
    generator = torch.Generator().manual_seed(seed)

    def text(low: int, high: int) -> str:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return " ".join(WORDS[int(i)] for i in torch.randint(len(WORDS), (length,), generator=generator))

    rows = []
    for q in range(n_queries):
        query = text(2, 6)
        rows += [Candidate(f"q{q}", f"q{q}d{d}", query, text(3, 15), int(d == 0)) for d in range(depth)]
    return rows


def save_reranker(
    folder: Path, model_type: str = "llama", adapter: bool = True, layers: int = 3, **config: int
) -> RerankerSpec:
    """Save a random base (and an adapter with a head) in `folder`, and return the specification that loads it."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer([" ".join(WORDS)] * 4, 400)
    kind = model_type.partition("-")[0]
    model_config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        num_hidden_layers=layers,
        num_labels=1,
        pad_token_id=0,
        **{**CONFIGS[model_type], **config},
    )
    model = AutoModelForSequenceClassification.from_config(model_config)
    for parameter in model.parameters():  # larger than the initial values, so that layers matter
        parameter.data.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    if adapter:
        head = "classifier" if kind in ("bert", "modernbert") else "score"
        targets = LORA.get(kind, ["gate_proj", "up_proj", "down_proj"])
        lora = LoraConfig(
            task_type="SEQ_CLS", r=2, target_modules=targets, modules_to_save=[head], fan_in_fan_out=kind == "gpt2"
        )
        tuned = get_peft_model(model, lora)
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name or head in name:
                parameter.data.normal_(0, 0.3)
        tuned.save_pretrained(folder / "adapter")
    return RerankerSpec(
        base=str(folder / "base"),
        adapter=str(folder / "adapter") if adapter else None,
        template=Template(max_length=32),
    )


def save_collection(folder: Path, n_queries: int, n_documents: int, words: int, seed: int) -> None:
    """A BEIR folder of random documents; query i is the first three words of document i, its only relevant document."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    documents = {f"d{i}": " ".join(generator.choice(WORDS, words)) for i in range(n_documents)}
    queries = {f"q{i}": " ".join(documents[f"d{i}"].split()[:3]) for i in range(n_queries)}
    for name, texts in (("corpus", documents), ("queries", queries)):
        rows = (json.dumps({"_id": i, "text": t}) + "\n" for i, t in texts.items())
        (folder / f"{name}.jsonl").write_text("".join(rows))
    (folder / "qrels.trec").write_text("".join(f"q{i} 0 d{i} 1\n" for i in range(n_queries)))
