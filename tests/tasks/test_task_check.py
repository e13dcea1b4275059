"""A task that does not fit its reranker is refused with its line in the file, before any weights are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from coterie.tasks.errors import TaskFileError
from coterie.tasks.registry import get_task_spec
from coterie.tasks.rerankers.size import describe
from coterie.tasks.task_check import check_site, with_one_count
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.tiny import save_reranker

DATA = {"source": {"collection": "pydoc", "domain": "pandas"}}


def check(folder: Path, model_type: str, selector: str = "", **fields: object) -> None:
    tiny = save_reranker(folder, model_type, adapter=False, layers=2)
    values = {"name": "a/b", "summary": "", "reranker": {"base": tiny.base}, "layer": 1, "data": DATA, **fields}
    (folder / "task.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    spec = get_task_spec(f"{folder / 'task.yaml'}{selector}")
    assert isinstance(spec, RerankerTaskSpec)
    check_site(spec, describe(spec.reranker))


@pytest.mark.parametrize(
    ("model_type", "fields", "expected"),
    [
        (
            "bert",
            {"layer": 99},
            r"task.yaml:5: layer: expected 0 to 1 \(.*a bert, has 2 layers\), got 99; fix: layer: 1",
        ),
        ("bert", {"layers": [0, 2]}, r"task.yaml:12: layers.1: expected 0 to 1 .* got 2"),
        (
            "bert",
            {"players": "heads"},
            r"task.yaml:10: players: expected 'neurons' for this reranker \(bert\), got 'heads'",
        ),
        ("bert", {"players": "experts"}, "players: expected 'neurons'"),
        (
            "mixtral",
            {"players": "neurons"},
            "players: expected 'experts' or 'expert:0' to 'expert:2' .*fix: players: experts",
        ),
        ("mixtral", {"players": "expert:3"}, "players: expected 'experts' or 'expert:0' to 'expert:2'"),
        ("mixtral", {"players": "expert:-1"}, "players: expected 'experts'"),
    ],
)
def test_impossible_site_is_refused_with_its_line(
    model_type: str, fields: dict[str, object], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(TaskFileError, match=expected):
        check(tmp_path, model_type, **fields)


@pytest.mark.parametrize("players", ["experts", "expert:2"])
def test_experts_of_a_mixture_are_players(players: str, tmp_path: Path) -> None:
    check(tmp_path, "mixtral", players=players)


def test_error_names_the_selector_that_changed_a_field(tmp_path: Path) -> None:
    check(tmp_path, "bert", "[layer=0]", layer=99)
    with pytest.raises(TaskFileError, match=r"task '.*task.yaml\[layer=7\]': layer: expected 0 to 1 .* got 7"):
        check(tmp_path, "bert", "[layer=7]")
    with pytest.raises(TaskFileError, match=r"task.yaml:10: players: expected 'neurons'"):
        check(tmp_path, "bert", "[layer=0]", players="heads")


@pytest.mark.parametrize("model_type", ["bert", "mixtral"])
def test_check_agrees_with_the_site_of_a_loaded_reranker(model_type: str, tmp_path: Path) -> None:
    from coterie.tasks.rerankers.reranker import load_reranker
    from coterie.tasks.rerankers.site import Site

    tiny = save_reranker(tmp_path, model_type, adapter=False, layers=2)
    reranker, size = load_reranker(tiny), describe(tiny)
    for players in ("neurons", "experts", "expert:0", "expert:2", "expert:3", "expert:", "expert", "other"):
        spec = RerankerTaskSpec.model_validate(
            {"name": "a/b", "summary": "", "reranker": tiny, "layer": 0, "players": players, "data": DATA}
        )
        checks = partial(check_site, spec, size), partial(Site, reranker.row, reranker.layers[0], players)
        assert raises(checks[0]) == raises(checks[1]), players


def raises(check: Callable[[], object]) -> bool:
    try:
        check()
    except ValueError:
        return True
    return False


def test_one_count_for_all_domains_yields_at_least_as_many_pairs() -> None:
    transfer = [{**DATA["source"], "name": name} for name in ("one", "two")]
    queries = {"discovery": 3, "heldout": 3, "transfer": {"one": 5, "two": 8}}
    spec = RerankerTaskSpec.model_validate(
        {
            "name": "a/b",
            "summary": "",
            "reranker": {"base": "x"},
            "layer": 0,
            "data": {**DATA, "transfer": transfer, "queries": queries},
        }
    )
    counted = with_one_count(spec, spec.data.most_queries())
    assert counted.data.queries.transfer == 7
    assert counted.data.most_pairs() - spec.data.most_pairs() == spec.data.candidates
