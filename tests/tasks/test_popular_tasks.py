"""The registered tasks of popular rerankers: each is read like its tiny stand-in, and fits the published model."""

from __future__ import annotations

import re
import socket
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import transformers
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.tasks.collections.types import Candidate
from coterie.tasks.registry import get_task_spec, list_tasks
from coterie.tasks.rerankers.encoder import Encoder, accepted_by
from coterie.tasks.rerankers.spec import Template, YesNoReadout
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.tiny import WORDS

STAND_INS = {
    "cross-encoder/ms-marco-MiniLM-L6-v2": "ms-marco-minilm",
    "cross-encoder/ms-marco-MiniLM-L12-v2": "ms-marco-minilm",
    "cross-encoder/ms-marco-TinyBERT-L2-v2": "ms-marco-minilm",
    "cross-encoder/ms-marco-electra-base": "ms-marco-electra",
    "BAAI/bge-reranker-v2-m3": "bge-reranker-v2-m3",
    "BAAI/bge-reranker-base": "bge-reranker-v2-m3",
    "BAAI/bge-reranker-large": "bge-reranker-v2-m3",
    "cross-encoder/stsb-roberta-base": "stsb-roberta",
    "cross-encoder/stsb-distilroberta-base": "stsb-roberta",
    "vocab-transformers/cross_encoder-msmarco-distilbert-word2vec256k": "distilbert",
    "mixedbread-ai/mxbai-rerank-xsmall-v1": "mxbai-rerank-v1",
    "mixedbread-ai/mxbai-rerank-base-v1": "mxbai-rerank-v1",
    "cross-encoder/nli-deberta-v3-base": "nli-deberta-v3",
    "Alibaba-NLP/gte-reranker-modernbert-base": "gte-reranker-modernbert",
    "Qwen/Qwen3-Reranker-0.6B": "qwen3-reranker",
    "Qwen/Qwen3-Reranker-4B": "qwen3-reranker",
    "Qwen/Qwen3-Reranker-8B": "qwen3-reranker",
    "mixedbread-ai/mxbai-rerank-base-v2": "mxbai-rerank-v2",
    "mixedbread-ai/mxbai-rerank-large-v2": "mxbai-rerank-v2",
    "BAAI/bge-reranker-v2-gemma": "bge-reranker-v2-gemma",
    "castorini/monot5-base-msmarco": "monot5",
    "castorini/rankllama-v1-7b-lora-passage": "rankllama",
}
PUBLISHED = {  # number of layers and of positions (None: relative) in each config.json on the hub
    "cross-encoder/ms-marco-MiniLM-L6-v2": (6, 512),
    "cross-encoder/ms-marco-MiniLM-L12-v2": (12, 512),
    "cross-encoder/ms-marco-TinyBERT-L2-v2": (2, 512),
    "cross-encoder/ms-marco-electra-base": (12, 512),
    "BAAI/bge-reranker-v2-m3": (24, 8192),
    "BAAI/bge-reranker-base": (12, 512),
    "BAAI/bge-reranker-large": (24, 512),
    "cross-encoder/stsb-roberta-base": (12, 512),
    "cross-encoder/stsb-distilroberta-base": (6, 512),
    "vocab-transformers/cross_encoder-msmarco-distilbert-word2vec256k": (6, 512),
    "mixedbread-ai/mxbai-rerank-xsmall-v1": (12, None),
    "mixedbread-ai/mxbai-rerank-base-v1": (12, None),
    "cross-encoder/nli-deberta-v3-base": (12, None),
    "Alibaba-NLP/gte-reranker-modernbert-base": (22, 8192),
    "Qwen/Qwen3-Reranker-0.6B": (28, 40960),
    "Qwen/Qwen3-Reranker-4B": (36, 40960),
    "Qwen/Qwen3-Reranker-8B": (36, 40960),
    "mixedbread-ai/mxbai-rerank-base-v2": (24, 32768),
    "mixedbread-ai/mxbai-rerank-large-v2": (28, 32768),
    "BAAI/bge-reranker-v2-gemma": (18, 8192),
    "castorini/monot5-base-msmarco": (24, None),  # 12 of the encoder, 12 of the decoder
    "castorini/rankllama-v1-7b-lora-passage": (32, 4096),
}
PROMPTS = {  # the text around query and document in the model cards
    "Qwen/Qwen3-Reranker-0.6B": (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: Given a web search query, '
        "retrieve relevant passages that answer the query\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    ),
    "mixedbread-ai/mxbai-rerank-base-v2": (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nquery: {query}\ndocument: {document}\nYou are a search relevance expert who evaluates how well "
        "documents match search queries. For each query-document pair, carefully analyze the semantic relationship between "
        "them, then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
    "BAAI/bge-reranker-v2-gemma": (
        "<bos>A: {query}\nB: {document}\nGiven a query A and a passage B, determine whether the passage contains an answer to "
        "the query by providing a prediction of either 'Yes' or 'No'."
    ),
    "castorini/monot5-base-msmarco": "Query: {query} Document: {document} Relevant:",
    "castorini/rankllama-v1-7b-lora-passage": "query: {query}document: {document}",
}


def spec_of(name: str) -> RerankerTaskSpec:
    spec = get_task_spec(name)
    assert isinstance(spec, RerankerTaskSpec)
    return spec


def test_each_popular_task_has_a_stand_in_and_its_name_on_the_hub() -> None:
    specs = [spec for name in list_tasks() if isinstance(spec := get_task_spec(name), RerankerTaskSpec)]
    popular = {spec.name for spec in specs if spec.name in (spec.reranker.base, spec.reranker.adapter)}
    assert popular == set(STAND_INS) == set(PUBLISHED)
    others = {spec.name for spec in specs} - popular
    assert {name.partition("/")[0] for name in others} == {
        *("pydoc-llama", "pydoc-mistral", "pydoc-pythia", "llama-3.1-8b", "mistral-7b", "pythia-6.9b")
    }


def fields_of(template: Template) -> list[list[str]]:
    """The fields in each segment."""
    return [re.findall(r"\{(query|document)\}", segment) for segment in template.segments]


@pytest.mark.parametrize("name", STAND_INS)
def test_popular_task_reads_pairs_like_its_stand_in(name: str) -> None:
    spec, stand_in = spec_of(name), POPULAR[STAND_INS[name]]
    assert spec.name == list_tasks()[name].parent.relative_to(list_tasks()[name].parents[2]).as_posix() == name
    assert spec.reranker.readout == stand_in.readout
    assert bool(spec.reranker.template.pieces) == bool(stand_in.template.pieces)
    assert fields_of(spec.reranker.template) == fields_of(stand_in.template)
    assert spec.intervention == ("zero" if spec.reranker.adapter is None else "base")
    assert re.search(r"\d [MB] parameters.* Needs the hub(,| and) MS MARCO", spec.summary), spec.summary


@pytest.mark.parametrize("name", STAND_INS)
def test_popular_task_fits_the_published_model(name: str) -> None:
    spec, (layers, positions) = spec_of(name), PUBLISHED[name]
    assert {spec.layer, *spec.layers} <= set(range(layers))
    assert spec.layer in spec.layers
    if isinstance(spec.reranker.readout, YesNoReadout):
        assert layers / 2 < spec.layer < layers - 1
    elif spec.reranker.adapter is None:
        assert spec.layer == layers - 2
    assert 256 <= spec.reranker.template.max_length <= (positions or 512)


@pytest.mark.parametrize("name", STAND_INS)
def test_prompt_is_that_of_the_model_card(name: str) -> None:
    family = {STAND_INS[one]: prompt for one, prompt in PROMPTS.items()}
    expected = family.get(STAND_INS[name], "{query}{document}")
    assert "".join(spec_of(name).reranker.template.segments) == expected


@pytest.mark.parametrize("name", STAND_INS)
def test_truncation_keeps_the_prompt_of_a_popular_template(name: str) -> None:
    stand_in = POPULAR[STAND_INS[name]]
    tokenizer: Any = stand_in.tokenizer()
    template = spec_of(name).reranker.template
    accepted = accepted_by(getattr(transformers, stand_in.model))
    pair, long = (Candidate("q", "d", "apple brick", text, 0) for text in ("cedar delta", " ".join(WORDS * 9)))
    (whole,) = Encoder(tokenizer, template.model_copy(update={"max_length": 100_000}), accepted).encode([pair])
    most = len(whole.ids) + 7
    (cut,) = Encoder(tokenizer, template.model_copy(update={"max_length": most}), accepted).encode([long])
    assert len(cut.ids) == most
    assert cut.cut_document > 0
    assert cut.cut_query == 0
    assert all(len(values) == most for values in cut.extras.values())
    if template.pieces:
        around = [piece.replace("{query}", pair.query) for piece in template.pieces]
        parts = [
            list(tokenizer(piece.partition("{document}")[0], add_special_tokens=False)["input_ids"]) for piece in around
        ]
        place = next(i for i, piece in enumerate(template.pieces) if "{document}" in piece)
        before, after = list(chain(*parts[:place])), list(chain(*parts[place + 1 :]))
        assert cut.ids[: len(before)] == before
        assert cut.ids[-len(after) :] == after
        return
    if not template.second:  # T5: the text after the document, and the end token
        after = list(tokenizer(" Relevant:")["input_ids"])
        assert cut.ids[-len(after) :] == after == whole.ids[-len(after) :]
        return
    first, second = template.fill(long.query, long.document)
    reference = tokenizer(first, second, truncation="only_second", max_length=most)
    assert cut.ids == list(reference["input_ids"])


@pytest.mark.parametrize("name", STAND_INS)
def test_info_reports_an_unavailable_reranker_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is tried once: with retries this took half a minute."""
    attempts = []

    def nowhere(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        attempts.append(address)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "create_connection", nowhere)
    monkeypatch.setattr("time.sleep", lambda _seconds: pytest.fail("it waits for a retry"))
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    found = CliRunner().invoke(app, ["info", name])
    assert found.exit_code == 0, found.output
    (line,) = [line for line in found.output.splitlines() if line.startswith("  not available")]
    base = spec_of(name).reranker.base
    assert f"{base}: expected a folder, or a hub id in the cache or on a reachable hub, got neither" in line
    assert f"fix: on a machine with a network, hf download {base}" in line
    assert found.output.splitlines()[-1] == line, "everything after it needs the reranker"
    assert len(attempts) == 1


def test_tasks_are_listed_by_kind_with_their_whole_names() -> None:
    found = CliRunner().invoke(app, ["ls", "tasks"], env={"COLUMNS": "80"})
    assert found.exit_code == 0
    lines = found.output.splitlines()
    kinds = ["Planted", "Bundled", "Paper", "Popular"]
    assert [line.partition(":")[0] for line in lines if line.partition(":")[0] in kinds] == kinds
    assert "…" not in found.output, "something is truncated"
    assert max(map(len, lines)) <= 80
    place = {name: next(i for i, line in enumerate(lines) if line.split()[:1] == [name]) for name in list_tasks()}
    start = next(i for i, line in enumerate(lines) if line.startswith("Popular"))
    assert {name for name, i in place.items() if i > start} == set(STAND_INS)
    assert lines[place["BAAI/bge-reranker-base"] + 1].strip() == (
        "layer 10: XLM-RoBERTa, 278 M parameters. Needs the hub and MS MARCO."
    )
