"""MSA's second setting: the experts of a mixture as players. Does each serve one domain, or all of them?

A tiny Mixtral-style reranker (two layers of eight experts, two experts per token) learns to score a summary's own docstring
higher than one of another domain, on three domains of the collection pydoc together. The players are the eight experts of its
first layer, and the outputs are the scores of held-out query-document pairs. All 2^8 coalitions are evaluated, so the Shapley
modes are exact. Shapley values are linear in the game, so the modes of the right pair minus those of the wrong one are
contributions to the margin.

    python examples/msa_moe.py FOLDER      # writes FOLDER/msa_moe.png and prints the figures
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import MixtralConfig, MixtralForSequenceClassification

from coterie.methods.msa import Evidence, evaluate_all, exact
from coterie.tasks.collections.pydoc import load_pydoc
from coterie.tasks.module_game import Experts, ModuleGame

DOMAINS = ("pandas", "mlflow", "scientific")
VOCABULARY, QUERY, DOCUMENT = 2048, 10, 26  # number of hashed words; words kept of each query and document
PAD, SEPARATOR, BATCH = 0, 1, 32


def words(text: str, most: int) -> list[int]:
    return [2 + zlib.crc32(word.encode()) % (VOCABULARY - 2) for word in re.findall(r"[a-z]+", text.lower())[:most]]


def tokens(texts: list[tuple[str, str]]) -> Tensor:
    """Token ids of query, separator and document, padded on the right, shape (pairs, length)."""
    rows = [[*words(query, QUERY), SEPARATOR, *words(document, DOCUMENT)] for query, document in texts]
    return torch.tensor([row + [PAD] * (QUERY + DOCUMENT + 1 - len(row)) for row in rows])


def texts(per_domain: int) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Summaries with their docstrings, and the domain of each pair."""
    domains = load_pydoc()
    pairs, labels = [], []
    for number, name in enumerate(DOMAINS):
        domain = domains[name]
        for query_id in list(domain.queries)[:per_domain]:
            document_id = next(iter(domain.qrels[query_id]))
            pairs.append((domain.queries[query_id], domain.documents[document_id]))
            labels.append(number)
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[i] for i in order], np.array(labels)[order]


def with_wrong_documents(pairs: list[tuple[str, str]], domain: np.ndarray, rows: np.ndarray, seed: int) -> Tensor:
    """Tokens of these pairs, followed by the same queries with a random document of another domain each."""
    rng = np.random.default_rng(seed)
    others = [int(rng.choice(np.flatnonzero(domain != domain[i]))) for i in rows]
    return tokens([pairs[i] for i in rows] + [(pairs[i][0], pairs[j][1]) for i, j in zip(rows, others, strict=True)])


def train(pairs: list[tuple[str, str]], domain: np.ndarray, steps: int) -> MixtralForSequenceClassification:
    """Train on the softplus of the score difference, so that right documents score higher than wrong ones."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    config = MixtralConfig(
        vocab_size=VOCABULARY, hidden_size=48, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, num_local_experts=8, num_experts_per_tok=2, num_labels=1, pad_token_id=PAD,
        initializer_range=0.1,  # so that different tokens start with different experts
    )  # fmt: skip
    model = MixtralForSequenceClassification(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        rows = rng.integers(len(pairs), size=BATCH)
        scores = model(input_ids=with_wrong_documents(pairs, domain, rows, step)).logits[:, 0]
        loss = F.softplus(scores[BATCH:] - scores[:BATCH]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def run(folder: Path, quick: bool = False) -> dict[str, float]:
    """Train, analyse and draw. `quick` is a reduced version for the tests."""
    per_domain, steps, n_queries = (40, 2, 6) if quick else (700, 300, 120)
    pairs, domain = texts(per_domain)
    model = train(pairs[n_queries:], domain[n_queries:], steps)
    ids, labels = with_wrong_documents(pairs, domain, np.arange(n_queries), seed=0), domain[:n_queries]
    game = ModuleGame(model, {"input_ids": ids}, Experts("model.layers.0.mlp.experts", 8), lambda out: out.logits[:, 0])
    evidence = Evidence(game)
    evaluate_all(evidence)
    estimate = exact(evidence)
    margins = estimate.modes[:, :n_queries] - estimate.modes[:, n_queries:]
    by_domain = np.stack([margins[:, labels == d].mean(axis=1) for d in range(len(DOMAINS))], axis=1)
    scores, size = evidence.values([1])[0], np.abs(margins).mean(axis=1)
    draw(folder / "msa_moe.png", margins, labels, by_domain)
    between = np.square(by_domain - by_domain.mean(axis=1, keepdims=True)).sum()
    return {
        "share of held-out documents that score higher than one of another domain": float(
            (scores[:n_queries] > scores[n_queries:]).mean()
        ),
        "share of the largest expert": float(size.max() / size.sum()),
        "domain-specific share of the experts' mean contributions": float(between / np.square(by_domain).sum()),
        "largest error of efficiency": estimate.notes(evidence)["efficiency_gap"],
    }


def draw(path: Path, modes: np.ndarray, labels: np.ndarray, by_domain: np.ndarray) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(13, 4), layout="constrained", width_ratios=[2, 1])
    order, limit = np.argsort(labels, kind="stable"), np.abs(modes).max()
    image = axes[0].imshow(
        modes[:, order], cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    ends = np.cumsum(np.bincount(labels, minlength=len(DOMAINS)))
    for end in ends[:-1]:
        axes[0].axvline(end - 0.5, color="black", linewidth=1)
    axes[0].set(xticks=ends - np.bincount(labels, minlength=len(DOMAINS)) / 2 - 0.5, xticklabels=DOMAINS)
    axes[0].set(
        ylabel="expert",
        xlabel="held-out queries, by domain",
        title="Shapley modes of the experts: right minus wrong document",
    )
    figure.colorbar(image, ax=axes[0], label="contribution to the margin")
    place = np.arange(len(modes))
    for number, name in enumerate(DOMAINS):
        axes[1].bar(place + 0.27 * (number - 1), by_domain[:, number], width=0.27, label=name)
    axes[1].axhline(0, color="black", linewidth=0.8)
    axes[1].set(xlabel="expert", ylabel="mean contribution to the margin", title="By domain", xticks=place)
    axes[1].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    for figure, value in run(Path(sys.argv[1] if len(sys.argv) > 1 else ".")).items():
        print(f"{figure}: {value:.3g}")  # noqa: T201
