"""What a reranker reads of a task's pairs: tokens are part of the fingerprint, and truncation is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coterie.tasks.collections.data_spec import DataSpec, QueryCounts
from coterie.tasks.collections.types import Candidate
from coterie.tasks.errors import RerankerError
from coterie.tasks.reranker_task import RerankerTaskPlan, plan_reranker_task
from coterie.tasks.rerankers.configuration import most_tokens
from coterie.tasks.rerankers.inputs import Cut, inputs_of
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.size import describe
from coterie.tasks.rerankers.spec import RerankerSpec, Template
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.tiny import WORDS, pairs, save_collection


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))


def plan(spec: RerankerSpec, folder: Path) -> RerankerTaskPlan:
    """A task of this reranker on a small collection."""
    if not folder.exists():
        save_collection(folder, n_queries=12, n_documents=40, words=30, seed=0)
    data = DataSpec.model_validate(
        {
            "source": {"collection": "beir", "path": str(folder)},
            "candidates": 4,
            "queries": QueryCounts(discovery=5, heldout=5),
        }
    )
    return plan_reranker_task(RerankerTaskSpec(name="a/task", summary="", reranker=spec, layer=1, data=data))


def as_vocabulary(base: Path) -> None:
    """Convert the tokenizer to the form of older checkpoints: `vocab.txt` instead of `tokenizer.json`."""
    state = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
    (base / "vocab.txt").write_text("\n".join(sorted(state, key=lambda token: int(state[token]))) + "\n")
    (base / "tokenizer.json").unlink()


def swap_words(base: Path) -> None:
    lines = (base / "vocab.txt").read_text().split("\n")
    first, second = lines.index("apple"), lines.index("brick")
    lines[first], lines[second] = lines[second], lines[first]
    (base / "vocab.txt").write_text("\n".join(lines))


def another_separator(base: Path) -> None:
    path = base / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sep_token": "apple"}))


def test_vocabulary_in_any_file_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "base")
    as_vocabulary(tmp_path / "base")
    before, scores = plan(spec, tmp_path / "data"), load_reranker(spec).score(pairs())
    assert plan(spec, tmp_path / "data").fingerprint == before.fingerprint
    swap_words(tmp_path / "base")
    after = plan(spec, tmp_path / "data")
    assert (load_reranker(spec).score(pairs()) - scores).abs().max() > 1e-4
    assert after.fingerprint != before.fingerprint
    assert after.weights_hash == before.weights_hash


@pytest.mark.parametrize("change", [another_separator])
def test_setting_that_changes_a_token_changes_the_fingerprint(change: Callable[[Path], None], tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "base")
    as_vocabulary(tmp_path / "base")
    before = plan(spec, tmp_path / "data").fingerprint
    change(tmp_path / "base")
    assert plan(spec, tmp_path / "data").fingerprint != before


def test_setting_that_changes_no_token_keeps_the_fingerprint(tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "base")
    before = plan(spec, tmp_path / "data").fingerprint
    path = tmp_path / "base" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": "{{ messages }}"}))
    (tmp_path / "base" / "README.md").write_text("A card.")
    assert plan(spec, tmp_path / "data").fingerprint == before


def test_segment_ids_are_in_the_digest(tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "base")
    rows = {"heldout": pairs()}
    before = inputs_of(spec, rows).digest
    path = tmp_path / "base" / "tokenizer_config.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "model_input_names": ["input_ids", "attention_mask"]}))
    assert inputs_of(spec, rows).digest != before, "the model no longer gets segment ids"


def test_truncated_texts_are_counted(tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "base")
    long, short = " ".join(WORDS * 5), "apple brick"
    rows = [Candidate("q", f"d{i}", short, long if i < 2 else short, 0) for i in range(4)]
    rows.append(Candidate("q2", "d9", long, short, 0))
    found = inputs_of(spec, {"heldout": rows, "other": rows[2:4]})
    assert found.cut == {"heldout": Cut(5, 3, 1), "other": Cut(2, 0, 0)}
    assert found.truncation("heldout", 48) == (
        "60.0% of the documents and 20.0% of the queries are truncated to fit 48 tokens"
    )
    assert found.truncation("other", 48) is None


def test_template_longer_than_max_length_is_refused(tmp_path: Path) -> None:
    spec = POPULAR["qwen3-reranker"].save(tmp_path / "base")
    spec = spec.model_copy(update={"template": spec.template.model_copy(update={"max_length": 16})})
    with pytest.raises(RerankerError, match=r"expected more than the \d+ tokens of the template itself, got 16"):
        load_reranker(spec).score([Candidate("q", "d", "apple", "brick", 0)])


@pytest.mark.parametrize("name", [n for n in POPULAR if n not in ("monot5", "t5-v1.1")])
def test_max_length_beyond_the_positions_is_refused(name: str, tmp_path: Path) -> None:
    spec = POPULAR[name].save(tmp_path)
    from transformers import AutoConfig

    most = most_tokens(AutoConfig.from_pretrained(spec.base))
    relative = name in ("mxbai-rerank-v1", "nli-deberta-v3")
    assert (most is None) == relative
    if most is None:
        return

    def with_length(length: int) -> RerankerSpec:
        return spec.model_copy(update={"template": spec.template.model_copy(update={"max_length": length})})

    with pytest.raises(
        RerankerError, match=f"max_length: expected at most {most}, the positions of this model, got {most + 1}"
    ):
        describe(with_length(most + 1))
    describe(with_length(most))
    long = [Candidate("q", "d", "apple brick", " ".join(WORDS * 40), 0)]
    reranker = load_reranker(with_length(most))
    assert len(reranker.encode(long)[0]) == most
    assert reranker.score(long).isfinite().all(), "the last position works"


@pytest.mark.parametrize("place", ["/nowhere/adapter", "./adapter"])
def test_error_for_a_missing_adapter_suggests_training(place: str, tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "base").model_copy(update={"adapter": place})
    with pytest.raises(
        RerankerError, match=r"expected a folder with adapter_config.json, got none; fix: .*coterie train"
    ):
        describe(spec)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RerankerError, match=r"expected an adapter .*, got an empty folder; fix: coterie train"):
        describe(spec.model_copy(update={"adapter": str(tmp_path / "empty")}))


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ({"first": "{query}", "second": "no field"}, r"expected \{query\} and, once, \{document\}, got \['query'\]"),
        ({"first": "text", "second": "{document}"}, r"expected \{query\} and"),
        ({"first": "{query}", "second": "{document} {document}"}, r"and, once, \{document\}"),
        ({"first": "{query} {passage}"}, r"expected only the fields \{query\} and \{document\}, got \{passage\}"),
        ({"first": "{}", "second": ""}, "got neither"),
        (
            {"pieces": ["{query}", "{document}"], "first": "q: {query}"},
            "expected first and second, or pieces, got both",
        ),
        ({"max_length": True}, "max_length"),
    ],
)
def test_invalid_template_is_refused(template: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Template.model_validate(template)


def test_template_survives_serialisation() -> None:
    for template in (Template(), Template(pieces=("{query}", "\n", "{document}")), POPULAR["qwen3-reranker"].template):
        assert Template.model_validate(template.model_dump(mode="json")) == template
        assert Template.model_validate_json(template.model_dump_json()) == template


@pytest.mark.parametrize("foreign", ["{}", "null", "[]", "{", '{"digest": 3, "cut": {}}', '{"pairs": {}, "qrels": 1}'])
def test_foreign_cache_file_is_replaced(foreign: str, tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "base")
    before = plan(spec, tmp_path / "data")
    files = [path for kind in ("data", "inputs") for path in (tmp_path / "cache" / kind).glob("*.json")]
    kept = [path.read_text() for path in files]
    assert len(files) == 2
    for path in files:
        path.write_text(foreign)
    assert plan(spec, tmp_path / "data").fingerprint == before.fingerprint
    assert [path.read_text() for path in files] == kept, "they are written again"
