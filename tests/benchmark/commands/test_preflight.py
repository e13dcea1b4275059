"""What makes a run refused or warned about before any work, in one line."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from coterie.benchmark.cli import main as cli
from coterie.benchmark.commands.planning import build_grid
from coterie.benchmark.commands.preflight import checked_plan, read_tasks, unranked
from coterie.benchmark.commands.run_options import RunOptions
from coterie.benchmark.errors import UsageError
from coterie.benchmark.runner import worker
from coterie.tasks import kinds
from coterie.tasks import reranker_task as task_module
from coterie.tasks.errors import DoesNotFitError
from coterie.tasks.kinds import plan_task
from coterie.tasks.registry import get_task_spec
from coterie.tasks.reranker_task import RerankerTaskPlan
from tests.tasks.tiny import save_collection, save_reranker


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))


def one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as exit_:
        cli.app(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error
    return error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seeds", "1000000000"], "--seeds: expected 1 to 1,000 (each is a cell"),
        (["-j", "1000000"], "-j: expected 1 to "),
        (["--budget", "1000000000000"], "--budget: expected 1 to 1,000,000,000"),
        (["--budgets", "1e3,1e300"], "--budget: expected 1 to 1,000,000,000"),
        (["--budgets", ",".join(map(str, range(1, 200)))], "--budgets: expected 1 to 100"),
        (
            ["--seeds", "1000", "--budgets", ",".join(map(str, range(1, 101)))],
            "expected at most 100,000 cells (tasks x methods x budgets x seeds; each takes at least seconds), got 300,000",
        ),
        (
            ["-m", "random[min_size=6,max_size=3]"],
            "random: expected max_size of at least min_size, 6, got 3; fix: max_size=6",
        ),
        (["-m", "hedonic-pas[min_size=6,max_size=3]"], "hedonic-pas: expected max_size of at least min_size, 6, got 3"),
        (
            ["-m", "hedonic-oca[k=4,max_size=4]"],
            "hedonic-oca: expected max_size of at least k + 1, 5, got 4; fix: max_size=5",
        ),
        (["-m", "random[min_size=2,min_size=3]"], "min_size: expected once, got twice"),
        (["-t", "pydoc-llama/relevance[layer=2,layer=1]"], "layer: expected once, got twice"),
        (["-t", "pydoc-llama/relevance[layer=true]"], "layer: expected a whole number of at least 0, got 'true'"),
        (["-t", "pydoc-llama/relevance[layer=99]"], "relevance[layer=99]': layer: expected 0 to 3"),
        (["-t", "pydoc-llama/relevance[players=experts]"], "players: expected 'neurons' for this reranker (llama)"),
    ],
)
def test_mistakes_are_reported_before_any_work(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    started = time.process_time()
    assert says in one_line(["run", *arguments, "--output-folder", str(tmp_path / "out")], capsys)
    assert time.process_time() - started < 20
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("amount", [{"seeds": 0}, {"seeds": -1}, {"budgets": (0,)}, {"n_jobs": 0}])
def test_amounts_in_options_made_by_python_are_checked(amount: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected 1 to"):
        build_grid(RunOptions(**amount))


def planted(path: Path, name: str, seed: int = 0, queries: int = 40) -> str:
    path.write_text(f"name: {name}\nsummary: x\nplanting: {{seed: {seed}}}\nqueries: {queries}\n")
    return str(path)


def test_two_tasks_with_the_same_name_are_refused_with_both_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one, two = planted(tmp_path / "one.yaml", "my/task"), planted(tmp_path / "two.yaml", "my/task", seed=1)
    error = one_line(["run", "-t", one, "-t", two, "-m", "random"], capsys)
    assert f"got 'my/task' from {one} and from {two}; fix: another name" in error
    again = planted(tmp_path / "three.yaml", "planted/backup", seed=1)
    error = one_line(["run", "-t", "planted/backup", "-t", again, "-m", "random"], capsys)
    assert f"got 'planted/backup' from planted/backup and from {again}" in error
    upper = planted(tmp_path / "four.yaml", "My/Task", seed=2)
    with pytest.raises(UsageError, match=r"'My/Task' from .*one.yaml and from .*four.yaml"):
        read_tasks([one, upper])


def test_a_task_named_twice_runs_once(tmp_path: Path) -> None:
    one, copy = planted(tmp_path / "one.yaml", "my/task"), planted(tmp_path / "copy.yaml", "my/task")
    assert [spec.name for spec in read_tasks([one, one, copy, "planted/backup"])] == ["my/task", "planted/backup"]
    assert (
        len(read_tasks(["pydoc-llama/relevance[layer=1,queries=4]", "pydoc-llama/relevance[queries=4,layer=1]"])) == 1
    )


def reranker_task(folder: Path, queries: dict[str, Any], domains: int = 2) -> Any:
    """A task over collections of 30 queries, read from its file."""
    tiny = save_reranker(folder, "bert", adapter=False, layers=2)
    names = ["own", "first", "second"][: domains + 1]
    for seed, name in enumerate(names):
        save_collection(folder / name, n_queries=30, n_documents=40, words=9, seed=seed)
    source, *transfer = [{"collection": "beir", "path": name} for name in names]
    values = {
        "name": "a/b",
        "summary": "",
        "reranker": {"base": tiny.base, "template": {"max_length": 32}},
        "layer": 0,
        "data": {"source": source, "transfer": transfer, "candidates": 4, "queries": queries},
    }
    (folder / "task.yaml").write_text(yaml.safe_dump(values))
    return get_task_spec(str(folder / "task.yaml"))


@pytest.mark.parametrize(
    ("heldout", "transfer", "says"),
    [
        (9, 5, "heldout has 9: results"),
        (10, 5, None),
        (10, 4, "transfer has 8 in all its domains: results"),
        (3, {"first": 2, "second": "at most 3"}, "heldout has 3 and transfer has 5 in all its domains"),
        (10, "all", None),
        (10, "at most 50", None),
    ],
)
def test_too_few_queries_for_a_ranking_are_reported_before_the_run(
    heldout: int, transfer: Any, says: str | None, tmp_path: Path
) -> None:
    spec = reranker_task(tmp_path, {"discovery": 3, "heldout": heldout, "transfer": transfer})
    line = unranked(plan_task(spec))
    if says is None:
        assert line is None
    else:
        assert line is not None
        assert line.startswith("a/b: expected at least 10 queries for a ranking, ")
        assert says in line


def test_the_warning_agrees_with_the_board(tmp_path: Path) -> None:
    """Below the number in the warning, the board ranks nothing; from that number on, it does."""
    from coterie.leaderboard import compile_board
    from tests.records import MadeUpMethod, make_record

    for count in (9, 10):
        methods = (MadeUpMethod("one"), MadeUpMethod("two"))
        board = compile_board([make_record(method, n_queries=count) for method in methods])
        heldout = [metric for metric in board.tasks[0].ranked if metric.domain == "heldout"]
        warned = unranked(plan_task(get_task_spec(planted(tmp_path / "task.yaml", "a/b", queries=count)))) is not None
        assert warned == all(metric.note for metric in heldout)


def test_run_and_info_print_the_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = planted(tmp_path / "task.yaml", "my/task", queries=4)
    arguments = ["run", "-t", path, "-m", "random", "--seeds", "1", "--executor", "inline"]
    for quiet in ([], ["--quiet"], ["--explain"]):
        with pytest.raises(SystemExit):
            cli.app([*arguments, *quiet, "--output-folder", str(tmp_path / f"out{len(quiet)}")])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: my/task: ")]
        assert len(lines) == 1
        assert "heldout has 4" in lines[0]
    with pytest.raises(SystemExit):
        cli.app(["info", path])
    assert "heldout has 4" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["run", "-m", "random", "-t"], ["info"], ["fidelity"]])
def test_a_layer_that_the_reranker_lacks_is_reported_with_its_line(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reranker_task(tmp_path, {"discovery": 3, "heldout": 3, "transfer": 3})
    path = tmp_path / "task.yaml"
    text = path.read_text().replace("layer: 0", "layer: 99")
    path.write_text(text)
    capsys.readouterr()  # what saving the reranker printed
    line = 1 + text.splitlines().index("layer: 99")
    error = one_line([*command, str(path)], capsys)
    assert f"task.yaml:{line}: layer: expected 0 to 1 (the reranker, a bert, has 2 layers), got 99" in error


def test_records_of_another_task_of_the_same_name_are_left_out_with_a_note(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["-m", "random", "--seeds", "1", "--executor", "inline", "--output-folder", str(tmp_path / "out")]
    for seed in (0, 1):
        with pytest.raises(SystemExit) as exit_:
            cli.app(["run", "-t", planted(tmp_path / f"{seed}.yaml", "my/task", seed=seed), *arguments])
        assert exit_.value.code == 0
    with pytest.raises(SystemExit):
        cli.app(["leaderboard", "--output-folder", str(tmp_path / "out")])
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 older record is left out: " in printed
    assert "task fingerprint" in printed


def test_memory_is_checked_again_with_the_queries_that_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = {"discovery": 3, "heldout": 3, "transfer": {"first": 5, "second": "all"}}
    spec = reranker_task(tmp_path, queries)
    needs: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr("coterie.tasks.task_check.check_fits", lambda spec, *_: needs.append(spec.data.most_pairs()))
        assert checked_plan(spec, "cpu", None).query_counts == {"discovery": 3, "heldout": 3, "first": 5, "second": 30}
    assert needs == [4 * (3 + 3 + 4 + 4), 4 * (3 + 3 + 18 + 18)], "the fewest first, then what was found"
    counts = {"discovery": 3, "heldout": 3, "first": 5, "second": 10**9}
    monkeypatch.setattr(RerankerTaskPlan, "query_counts", counts)
    with pytest.raises(DoesNotFitError, match="expected a task that fits"):
        checked_plan(spec, "cpu", None)


def test_texts_are_read_once_per_run_with_a_line_of_progress(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is cold; the run plans the task once, and the worker checks with a plan that nothing has changed."""
    calls = Counter[str]()

    def counted(module: Any, name: str) -> None:
        called = getattr(module, name)

        def call(*arguments: Any) -> Any:
            calls[f"{module.__name__}.{name}"] += 1
            return called(*arguments)

        monkeypatch.setattr(module, name, call)

    reranker_task(tmp_path, {"discovery": 12, "heldout": 12, "transfer": 12}, domains=1)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for module, name in ((task_module, "read_data"), (kinds, "plan_task"), (worker, "plan_task")):
        counted(module, name)
    arguments = [
        "run",
        "-t",
        str(tmp_path / "task.yaml"),
        "-m",
        "random[max_size=4]",
        "-m",
        "kmeans-weights[n_clusters=6]",
    ]
    with pytest.raises(SystemExit) as exit_:
        cli.app([*arguments, "--seeds", "1", "--executor", "inline", "--output-folder", str(tmp_path / "out")])
    assert exit_.value.code == 0
    assert [
        calls[f"{module.__name__}.{name}"]
        for module, name in ((task_module, "read_data"), (kinds, "plan_task"), (worker, "plan_task"))
    ] == [1, 1, 1]
    assert capsys.readouterr().out.count("reading texts: a/b") == 1


def test_tilde_is_the_home_folder_in_every_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    planted(tmp_path / "home" / "task.yaml", "my/task", queries=12)
    (tmp_path / "home" / "mine.py").write_text(
        (Path(__file__).parents[3] / "methods" / "random_groups.py").read_text().replace('"random"', '"mine"')
    )
    config = {
        "task": "~/task.yaml",
        "include": "~/mine.py",
        "method": "mine",
        "seeds": 1,
        "output_folder": "~/out",
        "tracking_uri": "sqlite:///~/store.db",
        "executor": "inline",
    }
    (tmp_path / "home" / "run.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit) as exit_:
        cli.app(["run", "--config", "~/run.yaml"])
    assert exit_.value.code == 0, capsys.readouterr()
    assert (tmp_path / "home" / "out" / "records" / "my" / "task" / "mine").is_dir()
    assert (tmp_path / "home" / "store.db").is_file()
    for arguments in (
        ["leaderboard", "--output-folder", "~/out"],
        ["leaderboard", "build", "--from", "~/out", "--site", "~/site"],
        ["runs", "--output-folder", "~/out"],
        ["new-method", "shiny-idea", "--folder", "~/new"],
        ["info", "~/task.yaml"],
    ):
        with pytest.raises(SystemExit) as exit_:
            cli.app(arguments)
        assert exit_.value.code == 0, capsys.readouterr()
    assert not [path for path in tmp_path.rglob("*") if "~" in path.name]
    assert {"out", "site", "new"} <= {path.name for path in (tmp_path / "home").iterdir()}


def test_an_option_repeated_in_a_config_file_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("seeds: 1\nmethod: random\nseeds: 2\n")
    error = one_line(["run", "--config", str(tmp_path / "run.yaml")], capsys)
    assert "run.yaml:3: seeds: expected once, got twice" in error
