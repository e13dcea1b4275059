"""Tiny checkpoints in hub layout, with random weights, for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, LlamaConfig, MistralConfig, Qwen2Config

from coterie.tasks.collections.types import Candidate
from coterie.tasks.reranker import RerankerSpec, Template
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
CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}


def pairs(n_queries: int = 4, depth: int = 3, seed: int = 0) -> list[Candidate]:
    """Random texts of different lengths; the first candidate of a query is the relevant one."""
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
    """Write a random base (and adapter with head) under ``folder`` and return the specification that loads it."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer([" ".join(WORDS)] * 4, 400)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}
    model_config = CONFIGS[model_type](
        vocab_size=len(tokenizer), num_hidden_layers=layers, num_labels=1, pad_token_id=0, **{**sizes, **config}
    )
    model = AutoModelForSequenceClassification.from_config(model_config)
    for parameter in model.parameters():  # away from the near-zero start, so that layers matter
        parameter.data.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    if adapter:
        lora = LoraConfig(
            task_type="SEQ_CLS", r=2, target_modules=["gate_proj", "up_proj", "down_proj"], modules_to_save=["score"]
        )
        tuned = get_peft_model(model, lora)
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name or "score" in name:
                parameter.data.normal_(0, 0.3)
        tuned.save_pretrained(folder / "adapter")
    return RerankerSpec(
        base=str(folder / "base"),
        adapter=str(folder / "adapter") if adapter else None,
        template=Template(max_length=32),
    )
