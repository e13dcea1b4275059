"""Which state a training run keeps, and what it reports, when it resumes, is interrupted, diverges or starts warm."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from coterie.tasks.errors import TrainingError
from coterie.tasks.registry import list_tasks, read_task_file
from coterie.tasks.task_spec import RerankerTaskSpec
from coterie.tasks.training.adapter import AdapterTraining
from coterie.tasks.training.data import training_data
from coterie.tasks.training.spec import TrainingSpec
from coterie.tasks.training.state import CHECKPOINT
from tests.tasks.tiny import edit_json, save_reranker
from tests.tasks.training.test_training import data_of, loaded

WEIGHTS = "adapter_model.safetensors"


def started(
    folder: Path, objective: str = "relevance", out: str = "out", model_type: str = "llama", **training: object
) -> AdapterTraining:
    spec, data, recipe = data_of(folder, objective, **training)
    if model_type != "llama":
        spec = save_reranker(folder / model_type, model_type, adapter=False)
    source = training_data(loaded(data), data, objective, recipe)  # type: ignore[arg-type]
    return AdapterTraining(spec, source, recipe, folder / out)


def nothing(_line: str) -> None: ...


@pytest.mark.parametrize(
    ("recipe", "parameters", "rate", "warmup"),
    [
        ({"base": {}}, 1_300_000, 3e-3, 50),
        ({"base": {}, "steps": 20}, 1_300_000, 3e-3, 50),
        ({}, 1_300_000, 3e-3, 150),
        ({}, 22_000_000, 3e-4, 150),
        ({}, 7_000_000_000, 1e-4, 150),
        ({"steps": 5}, 22_000_000, 3e-4, 1),
        ({"learning_rate": 1e-5, "warmup": 0}, 7_000_000_000, 1e-5, 0),
    ],
)
def test_default_learning_rate_depends_on_the_base(
    recipe: dict[str, object], parameters: int, rate: float, warmup: int
) -> None:
    spec = TrainingSpec.model_validate(recipe)
    assert (spec.resolved(parameters).learning_rate, spec.resolved(parameters).warmup) == (rate, warmup)
    assert spec.rate_line(parameters).startswith(f"learning rate {rate:g}, linear warm-up over {warmup} steps")


def test_bundled_recipes_are_unchanged() -> None:
    n_recipes = 0
    for path in list_tasks().values():
        spec = read_task_file(path)
        if not isinstance(spec, RerankerTaskSpec) or spec.training is None:
            continue
        n_recipes += 1
        recipe = spec.training.resolved(1_300_000).model_dump()
        fixed = {"learning_rate": 3e-3, "warmup": 50, "rank": 8, "alpha": 16, "queries_a_step": 16, "accumulate": 1}
        fixed |= {"hard_negatives": 4, "random_negatives": 1, "negatives_from_top": 20, "seed": 0, "targets": ()}
        fixed |= {"precision": "float32", "dev_queries": 100, "patience": 4, "card_queries": 150, "init_adapter": None}
        assert {name: recipe[name] for name in fixed} == fixed
        written = yaml.safe_load(path.read_text())["training"]
        assert (recipe["steps"], recipe["evaluate_every"]) == (written.get("steps", 1500), written["evaluate_every"])
    assert n_recipes == 9


@pytest.mark.parametrize("objective", ["relevance", "cqtr"])
def test_training_at_chance_warns_and_saves_the_untuned_state(objective: str, tmp_path: Path) -> None:
    training = started(tmp_path, objective, steps=6, learning_rate=1e-12)
    before, lines = training._state(), []
    training.run(lines.append)
    chance = f"chance is {math.log(4):.3f} (ln of 4 documents)" if objective == "relevance" else "(variance of the"
    at_chance = [line for line in lines if chance in line]
    assert [line.split(" the loss")[0] for line in at_chance] == ["warning: at step 4", "warning: at step 6"]
    never = [
        line for line in lines if "never exceeded the untuned model's" in line and "untuned model is saved" in line
    ]
    assert "fix: wait for the end, or try another training.learning_rate" in at_chance[0]
    assert len(never) == 1
    assert all("fix: try a larger training.learning_rate (now 1e-12)" in line for line in (at_chance[1], *never))
    saved = load_file(tmp_path / "out" / WEIGHTS)
    assert saved.keys() == before.keys()
    assert all(torch.allclose(saved[name], before[name], atol=1e-6) for name in before)


def test_only_training_at_chance_causes_a_warning(tmp_path: Path) -> None:
    training = started(tmp_path)
    training._at.last_chance = math.log(4)
    for loss, at_chance in ((1.0, False), (0.9 * math.log(4), False), (math.log(4), True), (9.0, True)):
        training._at.last_loss = loss
        assert training._is_at_chance() == at_chance


@pytest.mark.parametrize(("ndcg", "fix"), [(0.3, "a smaller"), (0.4, "a larger"), (0.5, "a larger")])
def test_final_warnings_agree_on_the_learning_rate(ndcg: float, fix: str, tmp_path: Path) -> None:
    """A training run that ends worse than it began took too large steps; one that hardly moved, too small ones."""
    training, lines = started(tmp_path), []
    training._at.last_chance = training._at.last_loss = math.log(4)
    training._at.untuned_ndcg, training._at.last_ndcg = 0.4, ndcg
    training._conclude(lines.append)
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert all(f"fix: try {fix} training.learning_rate" in line for line in warnings)


def test_training_again_over_an_earlier_card_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """peft loads an existing README.md, and huggingface_hub warns that ours has no metadata block."""
    monkeypatch.setattr("huggingface_hub.repocard.logger.warning", pytest.fail)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("# the card of an earlier adapter\n")
    training = started(tmp_path)
    training.run(nothing)
    assert not (tmp_path / "out" / "README.md").exists()


def test_untuned_quality_is_measured_first(tmp_path: Path) -> None:
    training, lines = started(tmp_path), []
    expected = training._evaluate()
    training.run(lines.append)
    assert f"relevance 0/4 dev nDCG@10 {expected:.3f} (untuned)" in lines
    assert lines[-1].endswith(f"(untuned {expected:.3f})")


def test_diverging_training_ends_with_one_line(tmp_path: Path) -> None:
    training = started(tmp_path, learning_rate=1e30, warmup=0)
    with pytest.raises(
        TrainingError, match=r"expected finite numbers, got .*nothing is saved.*fix: a smaller"
    ) as error:
        training.run(nothing)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / WEIGHTS).exists()
    assert not (tmp_path / "out" / CHECKPOINT).exists(), "it would lead to the same failure"


def test_best_state_before_a_nan_loss_is_saved(tmp_path: Path) -> None:
    training = started(tmp_path, steps=8)
    training._at.untuned_ndcg, training._at.best_ndcg = 0.0, 0.0  # so that the first evaluation is the best
    step = training._step

    def breaks() -> float:
        if training._at.step == 3:
            for parameter in training._parameters:
                parameter.data.fill_(torch.nan)
        return step()

    training._step = breaks  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"got a loss of nan at step 4; the best state .* at step 2\) is saved in"):
        training.run(nothing)
    assert all(v.isfinite().all() for v in load_file(tmp_path / "out" / WEIGHTS).values())


def test_base_with_infinite_scores_is_refused(tmp_path: Path) -> None:
    training = started(tmp_path)
    next(p for n, p in training._tuned.named_parameters() if "norm" in n).data.fill_(torch.inf)
    with pytest.raises(TrainingError, match="expected finite scores from the untuned model"):
        training.run(nothing)


def losses_of(training: AdapterTraining) -> list[float]:
    """A list that collects the loss of every step."""
    losses: list[float] = []
    step = training._step

    def kept() -> float:
        losses.append(step())
        return losses[-1]

    training._step = kept  # type: ignore[method-assign]
    return losses


def interrupt_at(step: int) -> Callable[[int, int, str], None]:
    return lambda at, _steps, _text: signal.raise_signal(signal.SIGINT) if at == step else None


@pytest.mark.parametrize("model_type", ["llama", "bert"])
def test_interrupted_training_has_the_losses_of_an_uninterrupted_one(model_type: str, tmp_path: Path) -> None:
    """BERT has dropout, which uses torch's random generator; step 3 is between evaluations."""
    whole = started(tmp_path, out="whole", model_type=model_type, steps=8)
    expected = losses_of(whole)
    whole.run(nothing)

    first = started(tmp_path, model_type=model_type, steps=8)
    losses = losses_of(first)
    with pytest.raises(KeyboardInterrupt):
        first.run(nothing, interrupt_at(3))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(losses) == 3
    torch.rand(7)  # as in another process, the random generator is in another state

    second, lines = started(tmp_path, model_type=model_type, steps=8), []
    rest = losses_of(second)
    second.run(lines.append)
    assert "resumed at step 3" in lines
    assert losses + rest == pytest.approx(expected, abs=1e-6)
    assert second._at.best_ndcg == pytest.approx(whole._at.best_ndcg)
    assert second._at.last_loss == pytest.approx(whole._at.last_loss, abs=1e-6)
    states = [load_file(tmp_path / out / WEIGHTS) for out in ("whole", "out")]
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in states[0])


def test_broken_checkpoint_is_reported_in_one_line(tmp_path: Path) -> None:
    training = started(tmp_path)
    training._save_checkpoint()
    path = tmp_path / "out" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(
        TrainingError, match=r"checkpoint.pt: expected a checkpoint of a training run, got: .*fix: delete it"
    ):
        training.run(nothing)


def test_checkpoint_of_another_base_is_refused(tmp_path: Path) -> None:
    started(tmp_path)._save_checkpoint()
    path = tmp_path / "base" / "model.safetensors"
    save_file({name: value * 1.1 for name, value in load_file(path).items()}, path, metadata={"format": "pt"})
    spec, data, recipe = data_of(tmp_path / "other")
    spec = spec.model_copy(update={"base": str(tmp_path / "base")})
    changed = AdapterTraining(spec, training_data(loaded(data), data, "relevance", recipe), recipe, tmp_path / "out")
    with pytest.raises(TrainingError, match="got one with a different specification, base"):
        changed.run(nothing)


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    """An adapter trained for two steps."""
    training = started(tmp_path, out="tuned", steps=2, learning_rate=1e-2)
    training._at.untuned_ndcg, training._at.best_ndcg = 0.0, 0.0
    training.run(nothing)
    (tmp_path / "tuned" / CHECKPOINT).unlink()
    return tmp_path / "tuned"


def test_warm_start_begins_with_the_weights_of_the_adapter(tuned: Path, tmp_path: Path) -> None:
    given = load_file(tuned / WEIGHTS)
    training, lines = started(tmp_path, init_adapter=str(tuned)), []
    state = training._state()
    assert state.keys() == given.keys()
    assert all(torch.equal(state[name], given[name]) for name in given)
    assert not all(torch.equal(value, given[name]) for name, value in started(tmp_path)._state().items())
    training.run(lines.append)
    assert training._at.step == 4


def test_warm_start_identifies_the_checkpoint(tuned: Path, tmp_path: Path) -> None:
    started(tmp_path, init_adapter=str(tuned))._save_checkpoint()
    started(tmp_path, init_adapter=str(tuned)).run(nothing)
    started(tmp_path, init_adapter=str(tuned))._save_checkpoint()
    with pytest.raises(TrainingError, match="warm start"):
        started(tmp_path).run(nothing)


def config_with(folder: Path, **changes: object) -> None:
    edit_json(folder / "adapter_config.json", **changes)


def weights_with(folder: Path, change: Callable[[dict[str, torch.Tensor], str], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights, next(name for name in weights if "lora_A" in name))
    save_file(weights, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: config_with(f, r=4), r"r \(training.rank\): expected 2, as in this task, got 4"),
        (lambda f: config_with(f, lora_alpha=1), r"lora_alpha \(training.alpha\): expected 16, .*got 1"),
        (lambda f: config_with(f, peft_type="IA3"), "peft_type: expected LORA, .*got IA3"),
        (lambda f: config_with(f, use_rslora=True), "use_rslora: expected False"),
        (
            lambda f: config_with(f, base_model_name_or_path="me/other"),
            "expected an adapter of the base .*got one of me/",
        ),
        (
            lambda f: weights_with(f, lambda w, n: w.pop(n)),
            r"exactly the 1\d tensors .*got 1 missing, first base_model",
        ),
        (lambda f: weights_with(f, lambda w, n: w.update({"x": w[n].clone()})), "got 1 superfluous, first x"),
        (
            lambda f: weights_with(f, lambda w, n: w.update({n: w[n][:1].clone()})),
            r"expected shape \[2, 24\], got \[1, 24\]",
        ),
        (lambda f: weights_with(f, lambda w, n: w[n].fill_(torch.nan)), "expected finite values, got NaN"),
        (lambda f: (f / WEIGHTS).unlink(), f"expected {WEIGHTS}"),
        (lambda f: (f / WEIGHTS).write_bytes(b"no"), f"expected adapter_config.json and {WEIGHTS}, got"),
    ],
)
def test_warm_start_from_an_unsuitable_adapter_is_refused(
    damage: Callable[[Path], object], says: str, tuned: Path, tmp_path: Path
) -> None:
    damage(tuned)
    with pytest.raises(TrainingError, match=rf"^training.init_adapter: .*{says}.*fix: ") as error:
        started(tmp_path, init_adapter=str(tuned))
    assert "\n" not in str(error.value)
