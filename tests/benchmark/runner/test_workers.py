"""Cells in worker processes: whatever a method does to its process, only its own cell fails, and the record says how."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner.executors.base import Limits
from coterie.benchmark.runner.executors.local import LocalExecutor
from coterie.benchmark.runner.executors.process import WorkerProcess
from coterie.benchmark.runner.grid import Grid, Run, make_executor
from coterie.benchmark.runner.messages import CellRequest, Finished, Listener, NotRun
from coterie.benchmark.submissions import check_worker
from coterie.benchmark.submissions.check_worker import CheckRequest
from coterie.methods.registry import get_method, include
from coterie.tasks.kinds import plan_task
from coterie.tasks.planted.task import PlantedSpec
from coterie.tasks.registry import get_task_spec
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.benchmark.grids import run_grid

FAULTY = Path(__file__).parent / "faulty.py"
SETTINGS = Settings(max_coalitions=2, largest_share=1, pairs=2, leave_one_outs=2, control_pairs=20, resamples=200)


@pytest.fixture(scope="module", autouse=True)
def faulty() -> None:
    include(FAULTY)


def grid(*selectors: str, seeds: int = 1, **options: object) -> Grid:
    return Grid(
        tasks=[plan_task(get_task_spec("planted/coactive"))],
        methods=[get_method(selector) for selector in selectors],
        seeds=range(seeds),
        budgets=[50],
        settings=SETTINGS,
        include=[FAULTY],
        **options,  # type: ignore[arg-type]
    )


def fault(record: Record) -> str:
    return str(record.identity.parameters.get("fault", record.method_name))


def ended(pid: int) -> bool:
    """Whether the process ends within two minutes; an orphan's new parent may take time to reap it."""
    try:
        process = psutil.Process(pid)
        psutil.wait_procs([process], timeout=120)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_a_misbehaving_method_affects_only_its_own_cell(tmp_path: Path) -> None:
    child = tmp_path / "child.pid"
    faults = ("exit", "hard_exit", "segfault", "killed", "hog", "chatter")
    hangs = ("fault=hang", "fault=hang_holding_the_interpreter", f'fault=hang_with_child,path="{child}"')
    selectors = [*(f"faulty[fault={name}]" for name in faults), "raises", "random", "faulty"]
    store, records = RecordStore(tmp_path), {}
    for cells in (  # a time limit only for cells that never finish: how long others take depends on the machine
        grid(*selectors, n_jobs=2, limits=Limits(memory=1_200_000_000)),
        grid(*(f"faulty[{hang}]" for hang in hangs), n_jobs=2, limits=Limits(seconds=2)),
    ):
        records |= {fault(record): record for record, _ in run_grid(cells, store)}
    assert {name: (r.status, r.failure and r.failure.exit_code) for name, r in records.items()} == {
        "exit": ("failed", None),
        "raises": ("failed", None),
        "hard_exit": ("failed", 3),
        "segfault": ("failed", -11),
        "killed": ("failed", -9),
        "hang": ("timeout", None),
        "hang_holding_the_interpreter": ("timeout", None),
        "hang_with_child": ("timeout", None),
        "hog": ("failed", None),
        "chatter": ("ok", None),
        "random": ("ok", None),
        "none": ("ok", None),
    }
    assert "SystemExit: 3" in str(records["exit"].reason)
    assert "exit code 3" in str(records["hard_exit"].reason)
    assert "SIGSEGV" in str(records["segfault"].reason)
    assert "lack of memory" in str(records["killed"].reason)
    assert "not finished within 2.0 s" in str(records["hang"].reason)
    assert "the limit is 1.2 GB" in str(records["hog"].reason)
    for name in ("segfault", "hang", "hang_with_child", "raises"):
        assert "faulty.py" in str(records[name].trace), "the trace shows where it was"
    for name in ("hang", "hog", "segfault"):
        failure = records[name].failure
        assert failure is not None
        assert failure.phase == "proposing coalitions"
        assert (failure.peak_memory_bytes or 0) > 50e6
        assert failure.seconds > (1.9 if name == "hang" else 0)
    assert ended(int(child.read_text())), "child processes end with their method"
    scan = RecordStore(tmp_path).scan()
    assert (len(scan.records), scan.unreadable) == (12, [])
    assert not any((tmp_path / ".locks").iterdir())


def test_a_worker_keeps_its_task_loaded_and_is_replaced_when_lost(tmp_path: Path) -> None:
    class LoadListener(Listener):
        def __init__(self) -> None:
            self.loads: list[float] = []

        def spent(self, phase: str, seconds: float) -> None:
            self.loads += [seconds] if phase == "loading" else []

    listener = LoadListener()
    run = Run(grid("random", "faulty[fault=hard_exit]", "faulty", seeds=2), RecordStore(tmp_path), listener)
    listener.loads.clear()
    with make_executor(run) as executor:
        assert isinstance(executor, LocalExecutor)
        pids, statuses = set(), []
        for record, _ in run.cells(executor):
            pids |= set(executor.pids)
            statuses.append(record.status)
    assert statuses == ["ok", "ok", "failed", "failed", "ok", "ok"]
    assert len(listener.loads) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids), "no worker outlives the run"


def test_an_outdated_request_is_refused(tmp_path: Path) -> None:
    """Code or texts may change during a run of several days: new results must not be stored under the old identity."""
    from coterie.benchmark.runner.worker import Worker

    (request,) = (cell.request for cell in Run(grid("random"), RecordStore(tmp_path), Listener()).planned)

    def changed(**identity: object) -> CellRequest:
        return request.model_copy(update={"identity": request.identity.model_copy(update=identity)})

    worker = Worker(lambda _update: None)
    for name in ("code_hash", "task_fingerprint"):
        outcome = worker.run(changed(**{name: "0" * 64}))
        assert isinstance(outcome, NotRun)
        assert "changed since the run began; fix: run again" in outcome.reason
    outcome = worker.run(request)
    assert isinstance(outcome, Finished)
    assert outcome.record.status == "ok"


def test_a_task_that_does_not_load_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    spec = get_task_spec("planted/llama")
    assert isinstance(spec, PlantedSpec)
    planting = spec.planting.model_copy(update={"rule": "all"})  # that rule cannot make a planted reranker
    broken = spec.model_copy(update={"planting": planting})
    cells = grid("random", n_jobs=1)
    run = Run(
        Grid([plan_task(broken), *cells.tasks], cells.methods, cells.seeds, cells.budgets, SETTINGS),
        RecordStore(tmp_path),
        Listener(),
    )
    with make_executor(run) as executor:
        records = [record for record, _ in run.cells(executor)]
    assert [r.task_name for r in records] == ["planted/coactive"]
    (cell,) = run.not_run
    assert "expected only sizes, additive, dead and seed" in cell.reason
    assert cell.label.startswith("planted/llama: random")


SCRIPT = """
from coterie.benchmark import run
records = run({folder!r}, tasks=["planted/coactive"], methods=["random"], seeds=1, budgets=[20])
print([r.status for r in records])
"""


def test_a_worker_starts_without_packages_that_only_some_tasks_need() -> None:
    code = "import sys, coterie.benchmark.runner.worker; "
    code += (
        "print([m for m in ('transformers', 'peft', 'scipy.stats', 'bm25s', 'numba', 'mlflow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_python_api_needs_no_main_guard_and_no_file(tmp_path: Path) -> None:
    """As in a notebook or a script on stdin: the worker is a command, which does not import the user's main module."""
    code = SCRIPT.format(folder=str(tmp_path / "out"))
    done = subprocess.run([sys.executable], input=code, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "['ok']\n"


def test_a_worker_ends_when_its_run_has_ended(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom coterie.benchmark.runner.executors.base import Limits\n"
        "from coterie.benchmark.runner.executors.local import LocalExecutor\n"
        "executor = LocalExecutor(1, Limits()).__enter__()\nprint(*executor.pids, flush=True)\nsys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    assert worker.is_running()
    parent.kill()
    parent.communicate()
    worker.wait(timeout=600)


def test_the_threads_of_a_worker_are_dumped_even_on_a_busy_machine() -> None:
    """A suspended process stands in for one that gets no processor time: it responds when resumed, two seconds later."""
    import coterie.methods

    worker = WorkerProcess(check_worker)
    try:
        worker.send(CheckRequest(path=str(Path(coterie.methods.__path__[0]) / "random_groups.py")).model_dump_json())
        assert "random" in str(worker.receive(600))
        process = psutil.Process(worker.pid)
        process.suspend()
        resume = threading.Timer(2, process.resume)
        resume.start()
        assert "(most recent call first)" in worker.dump_threads()
        resume.join()
    finally:
        worker.kill()


def test_workers_share_the_cores() -> None:
    from coterie.benchmark.runner.executors.process import available_cores, thread_settings

    assert available_cores() == len(os.sched_getaffinity(0))
    assert thread_settings(None) == {}
    assert set(thread_settings(3).values()) <= {"3", os.environ["OMP_NUM_THREADS"]}, "values set by the user win"
