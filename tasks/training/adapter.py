"""LoRA on the MLP modules and a one-logit head, fine-tuned for an objective on a base without a head."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from coterie.tasks.collections.candidates import BM25
from coterie.tasks.collections.types import Domain


@dataclass(frozen=True)
class AdapterRecipe:
    """Every constant of the fine-tuning."""

    rank: int = 8
    alpha: int = 16
    max_length: int = 72
    steps: int = 3000
    queries_a_step: int = 16
    hard_negatives: int = 4
    random_negatives: int = 1
    negatives_from_top: int = 20
    learning_rate: float = 3e-3
    seed: int = 0


def train_relevance(
    base: Path,
    domain: Domain,
    train_queries: list[str],
    recipe: AdapterRecipe,
    folder: Path,
    log: Callable[[str], None],
) -> None:
    """Listwise fine-tuning: softmax cross-entropy of the relevant document among BM25 hard and random negatives.

    Saves the adapter with its head under ``folder`` in hub layout; it names its base as ``../base``.
    """
    torch.manual_seed(recipe.seed)
    draw = np.random.default_rng(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=["gate_proj", "up_proj", "down_proj"],
        modules_to_save=["score"],
    )
    tuned = get_peft_model(model, lora)
    parameters = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1.0, (s + 1) / 50) * max(0.05, 1 - s / recipe.steps)
    )
    hard = _hard_negatives(domain, train_queries, recipe.negatives_from_top)
    documents = 1 + recipe.hard_negatives + recipe.random_negatives
    started, total = time.monotonic(), 0.0
    for step in range(1, recipe.steps + 1):
        firsts, seconds = _draw(domain, train_queries, hard, recipe, draw)
        batch = tokenizer(
            firsts,
            seconds,
            truncation="longest_first",
            max_length=recipe.max_length,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        scores = tuned(**batch).logits.view(recipe.queries_a_step, documents)
        loss = F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))  # the relevant one stands first
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        total += loss.item()
        if step % 100 == 0:
            log(f"relevance {step} loss {total / 100:.3f} {time.monotonic() - started:.0f}s")
            total = 0.0
    _save(tuned, folder)


def _draw(
    domain: Domain,
    train_queries: list[str],
    hard: dict[str, list[str]],
    recipe: AdapterRecipe,
    draw: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """Queries and documents of one step, pair by pair; of each query's documents the relevant one stands first."""
    firsts: list[str] = []
    seconds: list[str] = []
    for i in draw.choice(len(train_queries), recipe.queries_a_step, replace=False):
        query = train_queries[i]
        chosen = [query, *draw.choice(hard[query], recipe.hard_negatives, replace=False)]
        chosen += [train_queries[j] for j in draw.integers(len(train_queries), size=recipe.random_negatives)]
        firsts += [domain.queries[query]] * len(chosen)
        seconds += [domain.documents[d] for d in chosen]
    return firsts, seconds


def _hard_negatives(domain: Domain, query_ids: list[str], k: int) -> dict[str, list[str]]:
    """The best ``k`` of BM25 that are not relevant, among the training documents only."""
    train = Domain(domain.name, {}, {q: domain.documents[q] for q in query_ids}, {})
    bm25 = BM25(train)
    return {q: [d for d in bm25.top(domain.queries[q], k + 1) if d not in domain.qrels[q]][:k] for q in query_ids}


def _save(tuned: nn.Module, folder: Path) -> None:
    tuned.save_pretrained(folder)  # type: ignore[operator]
    config_path = folder / "adapter_config.json"
    config = json.loads(config_path.read_text())
    config["base_model_name_or_path"] = "../base"
    config["modules_to_save"] = sorted(set(config["modules_to_save"]))  # peft adds its own names for the head
    config_path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card; ours is written from measurements
