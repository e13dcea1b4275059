"""Hostile input and secrets: nothing is unpickled, no secret leaks, and any text passes through unchanged."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from coterie.leaderboard import Board, compile_board, print_board, render_html, render_json, render_markdown
from coterie.tracking import mlflow_fields as fields
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.record import Record
from coterie.tracking.scores_plot import scores_svg
from coterie.tracking.store import RecordStore
from coterie.tracking.uris import without_secrets
from tests.records import METRICS, MadeUpMethod, make_record

ROOT = Path(__file__).parents[1]
FOLDERS = ("tasks", "tracking", "methods", "leaderboard", "benchmark")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
ALLOWED = {"methods/registry.py": {"exec"}}  # `coterie run --include FILE.py` runs the user's own file
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "jsonpickle"}
UNSAFE_CALLS = {
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "joblib.load",
    "pd.read_pickle",
    "pandas.read_pickle",
}

NASTY = [
    "'; DROP TABLE runs; --",
    '"quoted"',
    "line\nbreak\r\n\ttab",
    "../../etc/passwd",
    "C:\\windows\\..",
    "x" * 10_000,
    "🦊 ünï 漢字 \u202e",
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "{{ 7*7 }} {% raw %}",
    "\x1b[31mred\x07\x00",
    "[bold]markup[/bold] [link=x]",
    "| a | `b` | **c**",
    "%s %(name)s ${HOME}",
]
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # the nasty texts are already short
texts = st.sampled_from(NASTY) | st.text(max_size=80) | st.lists(st.sampled_from(NASTY), max_size=3).map(" ".join)
parameters = st.dictionaries(texts, texts | st.integers(-(2**53), 2**53) | st.lists(texts, max_size=2), max_size=4)


def names(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The name of every imported module and every called function, with its node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module), node
        elif isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_unpickled_evaluated_or_loaded_unsafely(path: Path) -> None:
    for name, node in names(ast.parse(path.read_text("utf8"))):
        assert name.split(".")[0] not in UNSAFE_MODULES, f"line {node.lineno}"  # type: ignore[attr-defined]
        allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), set())
        assert name not in (UNSAFE_CALLS | {"eval", "exec"}) - allowed, f"line {node.lineno}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call):
            given_ = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert given_.get("allow_pickle", "False") == "False"
            assert given_.get("trust_remote_code", "False") == "False"
            assert name != "torch.load" or given_.get("weights_only") == "True"


def test_the_check_detects_unsafe_loading() -> None:
    found = {name for name, _ in names(ast.parse("import pickle\nfrom dill import loads\nyaml.load(x)\neval('1')"))}
    assert {"pickle", "dill", "yaml.load", "eval"} <= found


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda p: p.name)
def test_server_examples_bind_to_loopback(path: Path) -> None:
    for line in path.read_text("utf8").splitlines():
        assert "0.0.0.0" not in line  # noqa: S104
        if re.search(r"\bmlflow server\b.*--", line):
            assert "--host 127.0.0.1" in line, line


def hostile(text: str, values: dict[str, Any]) -> Record:
    """A record with `text` in every free-text field."""
    record = make_record(MadeUpMethod("evil", parameters=values), metrics=METRICS[:1])
    assert record.coalitions is not None
    scores = [m.model_copy(update={"unit": text, "meaning": text}) for m in record.scores]
    return record.model_copy(
        update={
            "scores": scores,
            "method": record.method.model_copy(
                update={"selector": text, "reference": text, "summary": text, "sees": [text]}
            ),
            "task": record.task.model_copy(update={"architecture": text, "reranker": text, "warnings": [text]}),
            "coalitions": record.coalitions.model_copy(update={"notes": {text: text, "curves": {text: [[1, 2.0]]}}}),
            "environment": record.environment.model_copy(update={"git_hash": text, "device": text}),
        }
    )


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracker(f"sqlite:///{folder}/mlflow.db", folder, "hostile").open()


@settings(
    max_examples=25,
    phases=NO_SHRINKING,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=texts, values=parameters)
def test_any_text_passes_through_store_and_mlflow_unchanged(
    tracker: Tracker, tmp_path_factory: pytest.TempPathFactory, text: str, values: dict[str, Any]
) -> None:
    record = hostile(text, values)
    store = RecordStore(tmp_path_factory.mktemp("out"))
    path = store.write(record)
    assert path.resolve().is_relative_to(store.root.resolve())
    assert store.find(record.identity) == record
    run_id = tracker.log(record, is_new=True)
    assert run_id is not None
    run = tracker.client.get_run(run_id)
    expected = fields.parameters(record)
    assert run.data.params == expected
    assert {name for name in values if fields.usable_key(f"method.{name}")} == {
        name.removeprefix("method.") for name in expected if name.startswith("method.")
    }
    folder = Path(tracker.client.download_artifacts(run_id, "").removeprefix("file://"))
    assert Record.from_json((folder / "record.json").read_bytes()) == record
    assert {file.name for file in folder.iterdir()} == {"record.json", "coalitions.json", "scores.svg"}


class Tags(HTMLParser):
    """The elements of a page, with the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attributes))))


@settings(max_examples=40, deadline=None, phases=NO_SHRINKING)
@given(text=texts, values=parameters)
def test_any_text_appears_on_the_boards_as_plain_text(text: str, values: dict[str, Any]) -> None:
    record, plain = hostile(f"x{text}", values), hostile("plain", values)  # an empty text would have no element
    board, usual = compile_board([record]), compile_board([plain])
    assert Tags(render_html(board)).found == Tags(render_html(usual)).found
    assert Tags(scores_svg(record)).found == Tags(scores_svg(plain)).found
    assert Board.model_validate_json(render_json(board)) == board
    assert json.loads(render_json(board))["entries"][0]["parameters"] == json.loads(json.dumps(values))
    markdown = re.sub(r"`[^`\n]*`", "", render_markdown(board))  # code spans show their text literally
    assert "<script" not in markdown
    assert "<img" not in markdown
    printed = StringIO()
    print_board(board, Console(file=printed, width=100, color_system=None))
    assert all(c.isprintable() or c == "\n" for c in printed.getvalue())


def test_secrets_in_error_messages_are_masked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmn")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:hunter22@host")
    error = "401 for hf_abcdefghijklmn at postgresql://eve:sesame99@db/x, hunter22"
    record = make_record("m", status="failed", reason=error)
    record = Record.model_validate(record.model_dump() | {"trace": error})
    path = RecordStore(tmp_path).write(record)
    for secret in ("hf_abcdefghijklmn", "sesame99", "hunter22"):
        assert secret not in path.read_text()
        assert secret not in json.dumps(fields.tags(record))
    assert record.reason == "401 for *** at postgresql://eve:***@db/x, ***"
    assert Record.from_json(record.to_json()) == record


def test_short_values_and_ordinary_variables_are_not_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "on")
    monkeypatch.setenv("USER_NAME", "somebody")
    assert without_secrets("somebody turned it on") == "somebody turned it on"


def test_the_environment_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    from coterie.benchmark.runner.environment import environment

    monkeypatch.setitem(os.environ, "COTERIE_TEST_CANARY", "canary-value-123")
    environment.cache_clear()
    assert "canary-value-123" not in environment("cpu").model_dump_json()
