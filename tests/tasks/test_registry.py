"""The registry: bundled tasks load, and invalid names, selectors and files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.tasks import registry
from coterie.tasks.errors import TaskFileError, UnknownTaskError
from coterie.tasks.planted.task import PlantedSpec
from coterie.tasks.registry import get_task_spec, list_tasks
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tasks.task_spec import RerankerTaskSpec


def test_bundled_tasks_are_found_and_named_after_their_folder() -> None:
    assert "pydoc-llama/relevance" in list_tasks()
    for name in list_tasks():
        spec = get_task_spec(name)
        assert spec.name == name
        if name.startswith("pydoc-"):
            assert Path(spec.reranker.base).is_dir()
            assert Path(spec.reranker.adapter).is_dir()
        elif not isinstance(spec, PlantedSpec):  # on the hub: the paper's rerankers and the popular ones
            assert spec.reranker.base.count("/") == 1
            if name not in (spec.reranker.base, spec.reranker.adapter):
                assert str(spec.reranker.adapter).startswith("AnonymousForReview2/")
                assert spec.layers == tuple(range(7, 15))


def test_bundled_tasks_cover_all_families_and_objectives() -> None:
    objectives = ("relevance", "cqtr", "mean-tf-l")
    expected = [f"{f}/{o}" for f in ("pydoc-llama", "pydoc-mistral", "pydoc-pythia") for o in objectives]
    expected += [f"{f}/{o}" for f in ("llama-3.1-8b", "mistral-7b", "pythia-6.9b") for o in objectives]
    for name in expected:
        assert get_task_spec(name).objective == name.split("/")[1]


def test_bundled_weights_stay_small() -> None:
    files = [path for path in registry.BUNDLED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20e6
    assert not [
        path for path in files if path.suffix in (".bin", ".pt", ".pkl", ".ckpt") and path.name != "checkpoint.pt"
    ]


def test_selector_changes_parameters_and_name() -> None:
    queries = get_task_spec("pydoc-llama/relevance[queries=40]").data.queries
    assert (queries.discovery, queries.heldout, queries.transfer) == (40, 40, 14)  # three domains share 40
    assert (
        get_task_spec("pydoc-llama/relevance[queries=1000]").data.queries
        == get_task_spec("pydoc-llama/relevance").data.queries
    )
    with pytest.raises(UnknownTaskError, match="queries: expected a whole number of at least 2, got 'few'"):
        get_task_spec("pydoc-llama/relevance[queries=few]")
    spec = get_task_spec("pydoc-llama/relevance[readout=lens,layer=1]")
    assert (spec.layer, spec.readout) == (1, "lens")
    assert spec.name == "pydoc-llama/relevance[layer=1,readout=lens]"


@pytest.mark.parametrize(
    ("own", "fewer"),
    [
        ("48", 3),
        ("2", 2),
        ("all", "at most 3"),
        ("at most 2", "at most 2"),
        ("{pandas: 2, mlflow: all}", {"pandas": 2, "mlflow": "at most 3"}),
    ],
)
def test_selector_limits_the_queries_of_every_domain(own: str, fewer: object, tmp_path: Path) -> None:
    domains = ", ".join(f"{{collection: pydoc, domain: {name}}}" for name in ("pandas", "mlflow"))
    (tmp_path / "task.yaml").write_text(
        "name: a/b\nsummary: x\nlayer: 1\nreranker: {base: x}\ndata:\n  source: {collection: pydoc, domain: deep-learning}\n"
        f"  transfer: [{domains}]\n  queries: {{transfer: {own}}}\n"
    )
    spec = get_task_spec(f"{tmp_path / 'task.yaml'}[queries=5]")
    assert isinstance(spec, RerankerTaskSpec)
    assert spec.data.queries.transfer == fewer


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("pydoc-llama/relevance[depth=1]", "expected name.parameter=value"),
        ("pydoc-llama/relevance[layer=1", "expected name.parameter=value"),
        ("pydoc-llama/relevance[layer=minus]", "layer: expected a whole number of at least 0, got 'minus'"),
        ("planted/backup[layer=1]", "expected a reranker's task, got a planted one.*; fix: planted/backup$"),
        ("pydoc-llama/relevance[]", "expected name.parameter=value"),
        ("pydoc-llama/relevance[layer=1,]", "expected name.parameter=value"),
        ("pydoc-llama/relevance[players=All Of Them]", "expected name.parameter=value.*got 'players=All Of Them'"),
        ("pydoc-llama/relevance[layer=1,layer=2]", "layer: expected once, got twice"),
        ("pydoc-llama/relevance[layer=1.0]", "layer: expected a whole number of at least 0, got '1.0'"),
        ("pydoc-llama/relevance[layer=true]", "layer: expected a whole number of at least 0, got 'true'"),
        ("pydoc-llama/relevance[queries=1]", "queries: expected a whole number of at least 2, got '1'"),
    ],
)
def test_invalid_selector_is_refused(selector: str, expected: str) -> None:
    with pytest.raises(UnknownTaskError, match=expected):
        get_task_spec(selector)


def test_unknown_task_suggests_similar_names() -> None:
    with pytest.raises(UnknownTaskError, match="did you mean 'pydoc-llama/relevance"):
        get_task_spec("pydoc-lama/relevance")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "cannot be read as YAML"),
        ("- a list", r"task.yaml: expected a mapping with name, summary, reranker, \.\.\., got a list"),
        ("", r"task.yaml: expected a mapping with name, summary, reranker, \.\.\., got nothing"),
        ("reranker: 5", r"task.yaml:1: reranker: expected a mapping, got 5"),
        ("name: a/b\nlayerz: 2", "layerz: unknown field"),
        ("layer: minus one", "layer: expected a whole number"),
        ("name: a\n\nlayer: -1", r"task.yaml:3: layer: .*greater than or equal to 0, got -1"),
        (
            "data:\n  source: {collection: beir, path: x}\n  transfer:\n    - {collection: beir, path: y}\n    - path: z\n",
            r"task.yaml:5: data.transfer.1: Unable to extract tag",
        ),
        (
            "data:\n  source:\n    collection: beir\n    paths: x\n",
            r"task.yaml:4: data.source.paths: unknown field",
        ),
        ("data:\n  source:\n    collection: bier\n", r"task.yaml:2: data.source: .*'bier'"),
        ("name: a", "summary: required, and missing"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
    ],
)
def test_invalid_task_file_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(TaskFileError, match=expected) as error:
        get_task_spec(str(path))
    assert str(path) in str(error.value)


def test_missing_task_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="cannot be read: No such file"):
        get_task_spec(str(tmp_path / "none.yaml"))


def test_fewer_queries_cause_no_warning_about_the_texts(pydoc_domains: object) -> None:
    plan = plan_reranker_task(get_task_spec("pydoc-llama/relevance[queries=5]"))
    assert {split: len({p.query_id for p in rows}) for split, rows in plan.pairs.items()} == {
        "discovery": 5,
        "heldout": 5,
        "pandas": 2,
        "mlflow": 2,
        "scientific": 2,
    }
    assert not [w for w in plan.warnings if "texts differ" in w]


def test_yes_and_no_are_text_in_a_task_file(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    text = (
        "name: my/task\nsummary: Mine.\nlayer: 1\n"
        "reranker:\n  base: Qwen/Qwen3-Reranker-0.6B\n  readout: {kind: yes-no, yes: yes, no: no}\n"
        "data: {source: {collection: pydoc, domain: pandas}, source_trained: true}\n"
    )
    path.write_text(text)
    spec = get_task_spec(str(path))
    assert spec.reranker.readout.model_dump() == {"kind": "yes-no", "yes": "yes", "no": "no"}
    assert spec.data.source_trained is True
    path.write_text(text.replace("true", "yes"))
    with pytest.raises(TaskFileError, match=r"task.yaml:7: data.source_trained: .*, got 'yes'"):
        get_task_spec(str(path))


@pytest.mark.parametrize(
    "broken",
    [
        "summary: 2020-13-41",
        "layer: !!int abc",
        f"layer: {'9' * 5000}",
        "name: " + "[" * 3000 + "]" * 3000,
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{n}: &{n} [{','.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True)),
        "layers: [-1]",
        "reranker: {base: '', adapter: x}",
        "reranker: {base: b, template: {second: '{document} { query }'}}",
        "reranker: {base: b, template: {second: '{document} {my-doc}'}}",
        "training: {seed: -1}",
        "training: {learning_rate: true}",
        "training: {learning_rate: .inf}",
        "training: {base: {heads: 3}}",
        "training: {base: {hidden: 0}}",
        "training: {rank: 100000000}",
        "planting: {sizes: [1000000000]}",
        "planting: {noise: .inf}",
    ],
)
def test_broken_task_file_is_refused_in_one_line(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(broken)
    with pytest.raises(TaskFileError) as error:
        get_task_spec(str(path))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 3000
    field = broken.partition(":")[0]
    if not broken.startswith(("summary", "name", "a:", "layer:")):
        assert f"{path}:1: {field}" in str(error.value)
