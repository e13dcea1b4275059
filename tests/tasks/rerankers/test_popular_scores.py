"""Scores of the stand-ins of popular rerankers equal those of their references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.configuration import most_tokens
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.rerankers.size import describe
from coterie.tasks.rerankers.spec import RerankerSpec
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.rerankers.references import Reference, long_pairs
from tests.tasks.tiny import CONFIGS, WORDS, pairs

CLASSIFIERS = [name for name, kind in POPULAR.items() if kind.classifies]


@pytest.mark.parametrize("name", POPULAR)
def test_scores_equal_the_reference(name: str, made: Callable[[str], RerankerSpec]) -> None:
    spec, rows = made(name), long_pairs()
    reranker = load_reranker(spec)
    got = reranker.score(rows)
    assert got.std() > 1e-3, "equal scores would prove nothing"
    assert (got - Reference(name, spec, rows).scores()).abs().max() < 1e-5
    assert any(one.cut_document for one in reranker.inputs(rows)), "no document was truncated"


@pytest.mark.parametrize("name", [n for n in CLASSIFIERS if len(POPULAR[n].labels) == 1 and n != "rankllama"])
def test_scores_equal_those_of_sentence_transformers(name: str, made: Callable[[str], RerankerSpec]) -> None:
    from sentence_transformers import CrossEncoder

    spec, rows = made(name), long_pairs()
    judge = CrossEncoder(
        spec.base, max_length=spec.template.max_length, device="cpu", activation_fn=torch.nn.Identity()
    )
    expected = torch.tensor(judge.predict([(p.query, p.document) for p in rows], show_progress_bar=False))
    assert (load_reranker(spec).score(rows) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["ms-marco-minilm", "ms-marco-electra", "two-logits"])
def test_segment_ids_reach_the_model(name: str, made: Callable[[str], RerankerSpec]) -> None:
    reranker = load_reranker(made(name))
    (inputs,) = reranker.inputs(pairs(1, 1))
    types = inputs.extras["token_type_ids"]
    assert set(types) == {0, 1}
    arguments, _ = reranker.batch([inputs])
    with torch.no_grad():
        without = reranker.model(
            **{**arguments, "token_type_ids": torch.zeros_like(arguments["token_type_ids"])}
        ).logits
        whole = reranker.model(**arguments).logits
    assert (without - whole).abs().max() > 1e-3


@pytest.mark.parametrize("name", POPULAR)
def test_truncation_keeps_what_surrounds_the_document(name: str, made: Callable[[str], RerankerSpec]) -> None:
    reranker = load_reranker(made(name))
    pair = pairs(1, 1)[0]
    short, long = reranker.inputs([pair, Candidate("q", "d", pair.query, " ".join(WORDS * 30), 0)])
    assert len(long.ids) == reranker.template.max_length
    assert long.cut_document > 0
    assert long.cut_query == 0
    after = 1 if not reranker.template.pieces else 4
    assert long.ids[-after:] == short.ids[-after:], "the end of the template was cut off"
    (both,) = reranker.inputs([Candidate("q", "d", " ".join(WORDS * 30), "apple brick", 0)])
    assert both.cut_query > 0
    assert len(both.ids) == reranker.template.max_length
    assert both.ids[-after:] == short.ids[-after:]


@pytest.mark.parametrize(
    "document",
    [
        "apple  brick   cloud " * 20,
        "café apple " * 30,
        "apple \N{ROCKET} brick \N{ROCKET}" * 20,
        "  apple\n\nbrick\t" * 20,
    ],
)
@pytest.mark.parametrize("name", ["stsb-roberta", "bge-reranker-v2-m3", "ms-marco-minilm", "modernbert-cls"])
def test_white_space_accents_and_emoji_are_truncated_without_gaps(
    name: str, document: str, made: Callable[[str], RerankerSpec]
) -> None:
    from sentence_transformers import CrossEncoder

    spec, rows = made(name), [Candidate("q", "d", "apple delta", document, 0)]
    judge = CrossEncoder(
        spec.base, max_length=spec.template.max_length, device="cpu", activation_fn=torch.nn.Identity()
    )
    expected = torch.tensor(judge.predict([("apple delta", document)], show_progress_bar=False))
    assert (load_reranker(spec).score(rows) - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("name", "readout", "says"),
    [
        ("two-logits", {"kind": "logit"}, r"one logit, got 2 labels \['not relevant', 'relevant'\].*kind: labels"),
        ("two-logits", {"kind": "labels", "positive": "relevent"}, "expected one of the labels .*, got 'relevent'"),
        ("two-logits", {"kind": "yes-no", "yes": "apple"}, "expected a language model for readout yes-no"),
        ("qwen3-reranker", {"kind": "logit"}, "expected a classification head in the checkpoint, got a language model"),
        ("monot5", {"kind": "logit"}, "expected a classification head in the checkpoint, got a language model"),
    ],
)
def test_unsuitable_readout_is_refused_from_the_configuration(
    name: str, readout: dict[str, str], says: str, made: Callable[[str], RerankerSpec]
) -> None:
    spec = RerankerSpec.model_validate({**made(name).model_dump(), "readout": readout})
    for check in (describe, load_reranker):
        with pytest.raises(ValueError, match=says) as error:
            check(spec)
        assert "\n" not in str(error.value)


def test_readout_of_an_unknown_token_is_refused(made: Callable[[str], RerankerSpec]) -> None:
    spec = RerankerSpec.model_validate(
        {**made("qwen3-reranker").model_dump(), "readout": {"kind": "yes-no", "yes": "certainly"}}
    )
    with pytest.raises(
        RerankerError, match="expected a token of the vocabulary, got 'certainly', which the tokenizer writes"
    ):
        load_reranker(spec)


def test_yes_alone_differs_from_yes_minus_no(made: Callable[[str], RerankerSpec]) -> None:
    spec = made("qwen3-reranker")
    alone = RerankerSpec.model_validate({**spec.model_dump(), "readout": {"kind": "yes-no", "yes": "yes"}})
    rerankers: list[Reranker] = [load_reranker(one) for one in (spec, alone)]
    scores = [reranker.score(pairs()) for reranker in rerankers]
    assert (scores[0] - scores[1]).abs().max() > 1e-3


def test_longrope_is_limited_to_lengths_at_which_pairs_do_not_affect_each_other(tmp_path: Path) -> None:
    rope = {"type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 3.0]}
    config = transformers.Phi3Config(
        hidden_size=16,
        num_attention_heads=4,
        max_position_embeddings=128,
        original_max_position_embeddings=32,
        pad_token_id=0,
        rope_scaling=rope,
    )
    assert most_tokens(config) == 32


@pytest.mark.parametrize("name", ["ms-marco-minilm", "bge-reranker-v2-m3", "nli-deberta-v3", "rankllama", "monot5"])
def test_missing_or_foreign_vocabulary_is_refused(name: str, tmp_path: Path) -> None:
    spec = POPULAR[name].save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(RerankerError, match=r"expected a tokenizer .*, got none: every word would be unknown"):
        load_reranker(spec)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")  # exists, but is not the model's
    with pytest.raises(RerankerError):
        load_reranker(spec)


def test_token_without_embedding_is_refused(made: Callable[[str], RerankerSpec], tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(spec.base)
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(spec.base)
    reranker = load_reranker(spec)
    assert reranker.score(pairs()).std() > 1e-3
    with pytest.raises(RerankerError, match=r"query 'q', document 'd': expected token ids below .* \('zebra'\)"):
        reranker.score([Candidate("q", "d", "apple", "a zebra", 0)])
    with pytest.raises(RerankerError, match="half of a surrogate pair"):
        load_reranker(made("ms-marco-minilm")).score([Candidate("q", "d", "apple", "a \ud83d b", 0)])


@pytest.mark.parametrize("model_type", ["gpt_neox", "gpt2", "opt", "mistral", "phi3", "gemma3_text"])
def test_every_decoder_supports_the_yes_no_readout(model_type: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = POPULAR["modernbert-cls"].tokenizer()
    sizes = {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    config = transformers.AutoConfig.for_model(model_type, **{**sizes, **CONFIGS[model_type]})
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    readout = {"kind": "yes-no", "yes": "Ġapple", "no": "Ġbrick"}
    spec = RerankerSpec.model_validate({"base": str(tmp_path), "readout": readout, "dtype": "float64"})
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    yes, no = (tokenizer.convert_tokens_to_ids(word) for word in ("Ġapple", "Ġbrick"))
    expected = []
    for pair in pairs():
        ids = torch.tensor([tokenizer(pair.query, pair.document)["input_ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1]
        expected.append(logits[yes] - logits[no])
    reranker = load_reranker(spec)
    assert (reranker.score(pairs()) - torch.stack(expected)).abs().max() < 1e-6
    assert (ReplayEngine(reranker, pairs(), SiteSpec(1)).scores - torch.stack(expected)).abs().max() < 1e-6
