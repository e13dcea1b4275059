"""The rerankers that people use, as tiny random stand-ins: our scores are the reference's, our ablations plain hooks'."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.errors import RerankerError
from coterie.tasks.game import Capability
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.checkpoint import describe
from coterie.tasks.rerankers.reranker import Reranker, RerankerSpec, load_reranker
from tests.tasks.rerankers.popular import GEMMA, MXBAI, POPULAR, QWEN3
from tests.tasks.tiny import WORDS, pairs

CLASSIFIERS = [name for name, kind in POPULAR.items() if kind.classifies]
SITES = {  # written out again: where each keeps the input of its down projection, and what leads to it
    "Bert": ("bert.encoder.layer.{}", "output.dense"),
    "Electra": ("electra.encoder.layer.{}", "output.dense"),
    "XLMRoberta": ("roberta.encoder.layer.{}", "output.dense"),
    "Roberta": ("roberta.encoder.layer.{}", "output.dense"),
    "DistilBert": ("distilbert.transformer.layer.{}", "ffn.lin2"),
    "DebertaV2": ("deberta.encoder.layer.{}", "output.dense"),
    "ModernBert": ("model.layers.{}", "mlp.Wo"),
    "Qwen3": ("model.layers.{}", "mlp.down_proj"),
    "Qwen2": ("model.layers.{}", "mlp.down_proj"),
    "Gemma": ("model.layers.{}", "mlp.down_proj"),
    "Gemma2": ("model.layers.{}", "mlp.down_proj"),
    "Llama": ("model.layers.{}", "mlp.down_proj"),
}
T5_SITES = [f"encoder.block.{i}.layer.1.DenseReluDense.wo" for i in range(3)] + [
    f"decoder.block.{i}.layer.2.DenseReluDense.wo" for i in range(2)
]


def long_pairs() -> list[Candidate]:
    """Pairs of which some have documents longer than every stand-in's template allows."""
    rows = pairs(2)
    return [*rows, *(Candidate(p.query_id, f"{p.document_id}+", p.query, " ".join(WORDS * 12), 0) for p in rows[::3])]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RerankerSpec]:
    """The specification of a stand-in, saved once."""
    specs: dict[str, RerankerSpec] = {}

    def of(name: str) -> RerankerSpec:
        if name not in specs:
            specs[name] = POPULAR[name].save(tmp_path_factory.mktemp(name.replace(".", "-")))
        return specs[name]

    return of


def raw(spec: RerankerSpec, kind: str, dtype: str = "float32") -> tuple[Any, Any]:
    """Model and tokenizer as anybody would load them, without coterie."""
    model = getattr(transformers, POPULAR[kind].model).from_pretrained(spec.base, dtype=getattr(torch, dtype)).eval()
    return model, transformers.AutoTokenizer.from_pretrained(spec.base)


def ids_of(tokenizer: Any, text: str, **options: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, **options)["input_ids"])


def qwen3_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As Qwen3-Reranker's model card does it: the middle is cut, the prompt around it kept."""
    before, after = ids_of(tokenizer, QWEN3[0]), ids_of(tokenizer, QWEN3[2])
    text = QWEN3[1].replace("{query}", pair.query).replace("{document}", pair.document)
    return before + ids_of(tokenizer, text, truncation=True, max_length=most - len(before) - len(after)) + after


def gemma_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As FlagEmbedding does it for bge-reranker-v2-gemma; its length leaves the prompt out, ours counts it."""
    sep, prompt = ids_of(tokenizer, "\n"), ids_of(tokenizer, GEMMA[-1])
    query = [tokenizer.bos_token_id, *ids_of(tokenizer, f"A: {pair.query}"), *sep]
    passage = ids_of(tokenizer, f"B: {pair.document}")
    return query + passage[: most - len(query) - len(sep) - len(prompt)] + sep + prompt


def mxbai_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As mxbai-rerank does it; its length leaves the prompt out, ours counts it."""
    before, sep = ids_of(tokenizer, MXBAI[0]), ids_of(tokenizer, "\n")
    query, passage = ids_of(tokenizer, f"query: {pair.query}"), ids_of(tokenizer, f"document: {pair.document}")
    after = sep + ids_of(tokenizer, MXBAI[5]) + ids_of(tokenizer, MXBAI[6])
    head = before + query + sep
    return head + passage[: most - len(head) - len(after)] + after


def t5_inputs(tokenizer: Any, pair: Candidate, most: int) -> list[int]:
    """As pygaggle and its successors do it: the document is cut so that ``Relevant:`` and ``</s>`` stay."""
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
WORDS_READ = {
    "qwen3-reranker": ("yes", "no"),
    "mxbai-rerank-v2": ("1", "0"),
    "bge-reranker-v2-gemma": ("Yes", None),
    "gemma2-softcapped": ("Yes", "'"),
    "minicpm-style": ("▁Yes", None),
    "monot5": ("▁true", "▁false"),
    "t5-v1.1": ("▁true", "▁false"),
}


def reference_arguments(name: str, tokenizer: Any, pair: Candidate, spec: RerankerSpec) -> dict[str, Tensor]:
    """What the model is called with for one pair, by the reference's own way of writing it."""
    if name in INPUTS:
        ids = torch.tensor([INPUTS[name](tokenizer, pair, spec.template.max_length)])
        arguments = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return arguments if "5" not in name else {**arguments, "decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)}
    first, second = spec.template.fill(pair.query, pair.document)
    encoded = tokenizer(first, second, truncation="only_second", max_length=spec.template.max_length)
    if name == "rankllama" and len(tokenizer(first, second)["input_ids"]) > spec.template.max_length:
        end = tokenizer.convert_tokens_to_ids("</s>")  # the reference cuts it off, ours keeps it
        encoded["input_ids"][-1] = end
    return {key: torch.tensor([value]) for key, value in encoded.items()}


def reference_score(name: str, tokenizer: Any, logits: Tensor) -> Tensor:
    """The score from one pair's logits."""
    if name in WORDS_READ:
        yes, no = (None if word is None else tokenizer.convert_tokens_to_ids(word) for word in WORDS_READ[name])
        last = logits[0, -1]
        return last[yes] if no is None else last[yes] - last[no]
    if name == "nli-deberta-v3":
        return logits[0, 1] - logits[0, 0]
    return logits[0, 1] - logits[0, 0] if name == "two-logits" else logits[0, 0]


class Reference:
    """The reference's scores of some pairs, one at a time, without padding; the model may be changed between two calls."""

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


@pytest.mark.parametrize("name", POPULAR)
def test_scores_are_the_references(name: str, made: Callable[[str], RerankerSpec]) -> None:
    spec, rows = made(name), long_pairs()
    reranker = load_reranker(spec)
    got = reranker.score(rows)
    assert got.std() > 1e-3, "equal scores would say nothing"
    assert (got - Reference(name, spec, rows).scores()).abs().max() < 1e-5
    assert any(one.cut_document for one in reranker.inputs(rows)), "no document was cut"


@pytest.mark.parametrize("name", [n for n in CLASSIFIERS if len(POPULAR[n].labels) == 1 and n != "rankllama"])
def test_scores_are_those_of_sentence_transformers(name: str, made: Callable[[str], RerankerSpec]) -> None:
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
def test_what_surrounds_a_cut_document_stays(name: str, made: Callable[[str], RerankerSpec]) -> None:
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


@contextmanager
def ablated(model: Any, path: str, mask: Tensor, mean: Tensor | None) -> Iterator[None]:
    """The inputs of a down projection replaced, the obvious way."""

    def replace(_module: object, given: tuple[Tensor]) -> tuple[Tensor]:
        instead = torch.zeros_like(given[0]) if mean is None else mean.expand_as(given[0])
        return (torch.where(mask, instead, given[0]),)

    hook = model.get_submodule(path).register_forward_pre_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def site_of(name: str, layer: int) -> str:
    family = POPULAR[name].model.partition("For")[0]
    if family == "T5":
        return T5_SITES[layer]
    layers, down = SITES[family]
    return f"{layers.format(layer)}.{down}"


def masks_of(players: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(5, players, generator=generator) < 0.4
    masks[0], masks[1], masks[2] = False, True, torch.arange(players) == 3
    return masks


@pytest.mark.parametrize("intervention", ["zero", "mean"])
@pytest.mark.parametrize("name", POPULAR)
def test_ablations_are_those_of_plain_hooks(name: str, intervention: Any, made: Callable[[str], RerankerSpec]) -> None:
    spec, rows = made(name).model_copy(update={"dtype": "float64"}), long_pairs()
    reranker = load_reranker(spec)
    plain = Reference(name, spec, rows, "float64")
    for layer in range(len(reranker.layers)):
        engine = ReplayEngine(reranker, rows, layer, intervention)
        mean = None if intervention == "zero" else engine.mean_activations
        masks = masks_of(engine.n_players)
        expected = []
        for mask in masks:
            with ablated(plain.model, site_of(name, layer), mask, mean):
                expected.append(plain.scores())
        got, wanted = engine.outputs(masks), torch.stack(expected)
        assert (got[0] - got[1]).abs().max() > 1e-3, "the ablation must matter, or equality says nothing"
        assert (got - wanted).abs().max() <= 1e-6 * max(1.0, float(wanted.abs().max()))


LORA = {  # what LoRA tunes; by default the Llama family's modules
    **{f: ["intermediate.dense", "output.dense"] for f in ("Bert", "Electra", "XLMRoberta", "Roberta", "DebertaV2")},
    "DistilBert": ["lin1", "lin2"],
    "ModernBert": ["mlp.Wi", "mlp.Wo"],
    "T5": ["wi", "wi_0", "wi_1", "wo"],
}
TASK_TYPES = {"Seq": "SEQ_CLS", "Cau": "CAUSAL_LM", "Con": "SEQ_2_SEQ_LM"}


def with_adapter(name: str, spec: RerankerSpec, folder: Path) -> RerankerSpec:
    """The stand-in with a random LoRA adapter (and head, for a classifier) beside it."""
    kind = POPULAR[name].model
    family, _, head = kind.partition("For")
    model, _ = raw(spec, name)
    there = {n.rsplit(".", 1)[-1] for n, _ in model.named_modules()}
    targets = LORA.get(family, ["gate_proj", "up_proj", "down_proj"])
    tuned = get_peft_model(
        model,
        LoraConfig(
            task_type=TASK_TYPES[head[:3]], r=2, target_modules=[t for t in targets if t.rsplit(".", 1)[-1] in there]
        ),
    )
    torch.manual_seed(3)
    for parameter_name, parameter in tuned.named_parameters():
        if "lora_B" in parameter_name or "modules_to_save" in parameter_name:
            parameter.data.normal_(0, 0.3)
    tuned.save_pretrained(folder / "adapter")
    return spec.model_copy(update={"adapter": str(folder / "adapter"), "dtype": "float64"})


def mlp_of(path: str) -> tuple[str, bool]:
    """The module that makes the activations, from the path of the down projection; whether it ends before it."""
    if path.endswith("output.dense"):
        return path.replace("output.dense", "intermediate"), True
    return path.rpartition(".")[0], False


@contextmanager
def reverted(model: Any, base: Any, path: str, mask: Tensor) -> Iterator[None]:
    """The masked neurons as they were before LoRA, the obvious way."""
    mlp_path, ends_before = mlp_of(path)
    mlp, down, before = model.get_submodule(mlp_path), model.get_submodule(path), base.get_submodule(path)
    seen: dict[str, Tensor] = {}

    def replace(_module: object, given: tuple[Tensor], output: Tensor) -> Tensor:
        if ends_before:
            own = base.get_submodule(mlp_path)(seen["x"])
        else:
            hook = before.register_forward_pre_hook(lambda _m, a: seen.update(own=a[0]))
            base.get_submodule(mlp_path)(seen["x"])
            hook.remove()
            own = seen["own"]
        return output - (given[0] * mask) @ down.weight.T + (own * mask) @ before.weight.T

    hooks = [mlp.register_forward_pre_hook(lambda _m, a: seen.update(x=a[0])), down.register_forward_hook(replace)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("name", POPULAR)
def test_reverting_neurons_is_that_of_plain_hooks(
    name: str, made: Callable[[str], RerankerSpec], tmp_path: Path
) -> None:
    spec, rows = with_adapter(name, made(name), tmp_path), long_pairs()
    reranker = load_reranker(spec)
    base, _ = raw(spec, name, "float64")
    plain = Reference(name, spec, rows, "float64")
    plain.model = PeftModel.from_pretrained(plain.model, str(spec.adapter)).merge_and_unload()
    for layer in range(len(reranker.layers)):
        engine = ReplayEngine(reranker, rows, layer, "base")
        masks = masks_of(engine.n_players)
        expected = []
        for mask in masks:
            with reverted(plain.model, base, site_of(name, layer), mask):
                expected.append(plain.scores())
        got, wanted = engine.outputs(masks), torch.stack(expected)
        assert (got[0] - got[1]).abs().max() > 1e-4, "the reversion must matter, or equality says nothing"
        assert (got - wanted).abs().max() <= 1e-6 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("name", ["t5-v1.1", "gte-reranker-modernbert", "bge-reranker-v2-gemma", "nli-deberta-v3"])
def test_derivatives_are_those_of_the_amounts(name: str, made: Callable[[str], RerankerSpec]) -> None:
    """Gradient and Hessian product against central differences of ablations by amounts, taken along write vectors."""
    reranker = load_reranker(made(name).model_copy(update={"dtype": "float64"}))
    for layer in (0, len(reranker.layers) - 1):
        game = RerankerGame(reranker, pairs(2), layer)
        gradient = game.gradients().double()
        step, direction = 1e-4, torch.zeros(game.n_players)
        direction[::2] = 1.0
        ahead, behind = (game.gradients(sign * step * direction).double() for sign in (1, -1))
        product = game.hessian_products(direction[None])[0].double()
        assert (product - ((ahead - behind) / (2 * step)).mean(0)).abs().max() < 2e-3 * max(
            1.0, float(product.abs().max())
        )
        small = torch.full((game.n_players,), 0.05)
        moved = game.gradients(small).double()
        assert (moved - gradient).abs().max() > 0, "the amounts must matter"


def test_the_lens_of_a_language_model_is_its_closed_form(made: Callable[[str], RerankerSpec]) -> None:
    offered = set()
    for name in ("qwen3-reranker", "mxbai-rerank-v2", "bge-reranker-v2-gemma", "gemma2-softcapped", "monot5"):
        reranker = load_reranker(made(name).model_copy(update={"dtype": "float64"}))
        game = RerankerGame(reranker, pairs(2), len(reranker.layers) - 2, readout="lens")
        if Capability.LENS in game.capabilities:
            offered.add(name)
            mask = torch.arange(game.n_players) < 5
            torch.testing.assert_close(game.lens().scores(mask), game.ablate(mask[None])[0], rtol=1e-5, atol=1e-6)
    assert offered == {"qwen3-reranker", "mxbai-rerank-v2", "bge-reranker-v2-gemma", "monot5"}


def test_the_layers_of_an_encoder_decoder_are_numbered_through(made: Callable[[str], RerankerSpec]) -> None:
    spec = made("monot5")
    size = describe(spec)
    assert (size.layers, size.encoder_layers) == (5, 3)
    reranker = load_reranker(spec)
    in_decoder = RerankerGame(reranker, pairs(2), 4)
    assert in_decoder.token_ids() == [[0]] * in_decoder.n_outputs
    assert in_decoder.activations("tokens").shape == (in_decoder.n_outputs, in_decoder.n_players)
    in_encoder = RerankerGame(reranker, pairs(2), 2)
    assert [len(ids) for ids in in_encoder.token_ids()] == [len(ids) for ids in reranker.encode(pairs(2))]
    with pytest.raises(RerankerError, match="expected 'score' at a layer of the encoder, got 'lens'"):
        RerankerGame(reranker, pairs(2), 1, readout="lens")


@pytest.mark.parametrize(
    ("name", "readout", "says"),
    [
        ("two-logits", {"kind": "logit"}, r"one logit, got 2 labels \['not relevant', 'relevant'\].*kind: labels"),
        ("two-logits", {"kind": "labels", "positive": "relevent"}, "expected labels of .*, got 'relevent'"),
        ("two-logits", {"kind": "yes-no", "yes": "apple"}, "expected a language model for a readout of words"),
        ("qwen3-reranker", {"kind": "logit"}, "expected a classification head in the checkpoint, got a language model"),
        ("monot5", {"kind": "logit"}, "expected a classification head in the checkpoint, got a language model"),
    ],
)
def test_readouts_that_do_not_fit_are_refused_from_the_configuration(
    name: str, readout: dict[str, str], says: str, made: Callable[[str], RerankerSpec]
) -> None:
    spec = RerankerSpec.model_validate({**made(name).model_dump(), "readout": readout})
    for check in (describe, load_reranker):
        with pytest.raises(ValueError, match=says) as error:
            check(spec)
        assert "\n" not in str(error.value)


def test_a_word_that_is_no_token_is_refused(made: Callable[[str], RerankerSpec]) -> None:
    spec = RerankerSpec.model_validate(
        {**made("qwen3-reranker").model_dump(), "readout": {"kind": "yes-no", "yes": "certainly"}}
    )
    with pytest.raises(
        RerankerError, match="expected a token of the vocabulary, got 'certainly', which the tokenizer writes"
    ):
        load_reranker(spec)


def test_reading_half_of_a_reranker_is_not_another(made: Callable[[str], RerankerSpec]) -> None:
    """``yes`` alone, and ``yes`` less ``no``, are different scores of one model."""
    spec = made("qwen3-reranker")
    alone = RerankerSpec.model_validate({**spec.model_dump(), "readout": {"kind": "yes-no", "yes": "yes"}})
    rerankers: list[Reranker] = [load_reranker(one) for one in (spec, alone)]
    scores = [reranker.score(pairs()) for reranker in rerankers]
    assert (scores[0] - scores[1]).abs().max() > 1e-3


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
def test_white_space_and_accents_are_cut_without_a_gap(
    name: str, document: str, made: Callable[[str], RerankerSpec]
) -> None:
    from sentence_transformers import CrossEncoder

    spec, rows = made(name), [Candidate("q", "d", "apple delta", document, 0)]
    judge = CrossEncoder(
        spec.base, max_length=spec.template.max_length, device="cpu", activation_fn=torch.nn.Identity()
    )
    expected = torch.tensor(judge.predict([("apple delta", document)], show_progress_bar=False))
    assert (load_reranker(spec).score(rows) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["qwen3-reranker", "mxbai-rerank-v2", "bge-reranker-v2-gemma"])
def test_a_decoder_that_sees_both_ways_is_masked(name: str, tmp_path: Path) -> None:
    spec = POPULAR[name].save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "is_causal": False, "use_bidirectional_attention": True})
    )
    spec, rows = spec.model_copy(update={"dtype": "float64"}), long_pairs()
    reranker = load_reranker(spec)
    assert (reranker.score(rows) - Reference(name, spec, rows, "float64").scores()).abs().max() < 1e-6
    engine = ReplayEngine(reranker, rows, 1)
    one_by_one = [ReplayEngine(reranker, [row], 1).outputs(masks_of(engine.n_players)) for row in rows]
    assert (engine.outputs(masks_of(engine.n_players)) - torch.cat(one_by_one, 1)).abs().max() < 1e-6


def test_positions_that_change_with_the_longest_of_a_batch_are_not_reached(tmp_path: Path) -> None:
    from coterie.tasks.rerankers.checkpoint import most_tokens

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
def test_a_checkpoint_without_its_vocabulary(name: str, tmp_path: Path) -> None:
    spec = POPULAR[name].save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(RerankerError, match=r"expected a tokenizer .*, got none: every word would be unknown"):
        load_reranker(spec)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")  # there, and not the model's
    with pytest.raises(RerankerError):
        load_reranker(spec)


def test_a_convolution_after_the_first_layer_is_not_skipped(tmp_path: Path) -> None:
    kind = replace(POPULAR["mxbai-rerank-v1"], config={**POPULAR["mxbai-rerank-v1"].config, "conv_kernel_size": 3})
    for dtype in ("float64", "bfloat16"):
        reranker = load_reranker(kind.save(tmp_path / dtype).model_copy(update={"dtype": dtype}))
        with pytest.raises(RerankerError, match=r"expected a layer that the next one follows, got 0"):
            ReplayEngine(reranker, pairs(), 0)
        ReplayEngine(reranker, pairs(), 1)


def test_tokens_that_the_model_has_no_number_for(made: Callable[[str], RerankerSpec], tmp_path: Path) -> None:
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
def test_every_decoder_reads_words(model_type: str, tmp_path: Path) -> None:
    from tests.tasks.tiny import CONFIGS

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
    assert (ReplayEngine(reranker, pairs(), 1).scores - torch.stack(expected)).abs().max() < 1e-6
