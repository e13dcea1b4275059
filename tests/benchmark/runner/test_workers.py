"""Cells in worker processes: whatever a method does to its process stays in its cell, with what is known of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner.executors import Limits
from coterie.benchmark.runner.executors.local import LocalExecutor
from coterie.benchmark.runner.executors.process import WorkerProcess
from coterie.benchmark.runner.grid import Grid, Run, make_executor, run_grid
from coterie.benchmark.runner.messages import Listener, NotRun, Order
from coterie.benchmark.submissions.check_worker import CheckOrder
from coterie.methods.registry import get_method, include
from coterie.tasks.planted.task import PlantedSpec
from coterie.tasks.registry import get_task_spec
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore

FAULTY = Path(__file__).parent / "faulty.py"
SETTINGS = Settings(max_coalitions=2, largest_share=1, pairs=2, leave_one_outs=2, control_pairs=20, resamples=200)


@pytest.fixture(scope="module", autouse=True)
def faulty() -> None:
    include(FAULTY)


def grid(*selectors: str, seeds: int = 1, **options: object) -> Grid:
    return Grid(
        tasks=[get_task_spec("planted/coactive")],
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
    """Whether the process is gone within two minutes; whoever inherits an orphan may take time to clear it away."""
    try:
        process = psutil.Process(pid)
        psutil.wait_procs([process], timeout=120)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_whatever_a_method_does_stays_in_its_cell(tmp_path: Path) -> None:
    child = tmp_path / "child.pid"
    faults = ("exit", "hard_exit", "segfault", "killed", "hog", "chatter")
    hangs = ("fault=hang", "fault=hang_holding_the_interpreter", f'fault=hang_with_child,path="{child}"')
    selectors = [*(f"faulty[fault={name}]" for name in faults), "raises", "random", "faulty"]
    store, records = RecordStore(tmp_path), {}
    for cells in (  # a limit of time only where nothing is to finish: how long that takes depends on the machine
        grid(*selectors, n_jobs=2, limits=Limits(memory=1_200_000_000)),
        grid(*(f"faulty[{hang}]" for hang in hangs), n_jobs=2, limits=Limits(seconds=2)),
    ):
        records |= {fault(record): record for record, _ in run_grid(cells, store, Listener())}
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
        assert "faulty.py" in str(records[name].trace), "where it was is known"
    for name in ("hang", "hog", "segfault"):
        failure = records[name].failure
        assert failure is not None
        assert failure.phase == "proposing coalitions"
        assert (failure.peak_memory_bytes or 0) > 50e6
        assert failure.seconds > (1.9 if name == "hang" else 0)
    assert ended(int(child.read_text())), "what a method starts ends with it"
    scan = RecordStore(tmp_path).scan()
    assert (len(scan.records), scan.unreadable) == (12, [])
    assert not any((tmp_path / ".claims").iterdir())


def test_a_worker_keeps_its_task_and_is_replaced_when_lost(tmp_path: Path) -> None:
    class Heard(Listener):
        def __init__(self) -> None:
            self.loads: list[float] = []

        def spent(self, phase: str, seconds: float) -> None:
            self.loads += [seconds] if phase == "loading" else []

    heard = Heard()
    run = Run(grid("random", "faulty[fault=hard_exit]", "faulty", seeds=2), RecordStore(tmp_path), heard)
    heard.loads.clear()
    with make_executor(run) as executor:
        assert isinstance(executor, LocalExecutor)
        pids, statuses = set(), []
        for record, _ in run.cells(executor):
            pids |= set(executor.pids)
            statuses.append(record.status)
    assert statuses == ["ok", "ok", "failed", "failed", "ok", "ok"]
    assert len(heard.loads) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids), "none is left when the run is over"


def test_an_order_that_is_out_of_date_is_refused(tmp_path: Path) -> None:
    """The code or the texts may change while a run of days is on: the results must not go under the old identity."""
    from coterie.benchmark.runner.worker import Worker

    (order,) = (cell.order for cell in Run(grid("random"), RecordStore(tmp_path), Listener()).planned)

    def changed(**identity: object) -> Order:
        return order.model_copy(update={"identity": order.identity.model_copy(update=identity)})

    worker = Worker(lambda _news: None)
    for name in ("code_hash", "task_fingerprint"):
        outcome = worker.run(changed(**{name: "0" * 64}))
        assert isinstance(outcome, NotRun)
        assert "changed since the run began; fix: run again" in outcome.reason
    outcome = worker.run(order)
    assert isinstance(outcome, Record)
    assert outcome.status == "ok"


def test_a_task_that_does_not_load_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    spec = get_task_spec("planted/llama")
    assert isinstance(spec, PlantedSpec)
    planting = spec.planting.model_copy(update={"rule": "all"})  # a planted reranker cannot be made by that rule
    broken = spec.model_copy(update={"planting": planting})
    cells = grid("random", n_jobs=1)
    run = Run(
        Grid([broken, *cells.tasks], cells.methods, cells.seeds, cells.budgets, SETTINGS),
        RecordStore(tmp_path),
        Listener(),
    )
    with make_executor(run) as executor:
        records = [record for record, _ in run.cells(executor)]
    assert [r.task_name for r in records] == ["planted/coactive"]
    (cell,) = run.not_run
    assert "a planted reranker has sizes" in cell.reason
    assert cell.cell.startswith("planted/llama: random")


SCRIPT = """
from coterie.benchmark import run
records = run({folder!r}, tasks=["planted/coactive"], methods=["random"], seeds=1, budgets=[20])
print([r.status for r in records])
"""


def test_a_worker_starts_without_what_only_some_tasks_need() -> None:
    code = "import sys, coterie.benchmark.runner.worker; "
    code += (
        "print([m for m in ('transformers', 'peft', 'scipy.stats', 'bm25s', 'numba', 'mlflow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_python_api_needs_no_main_guard_and_no_file(tmp_path: Path) -> None:
    """A notebook or a script on stdin: the worker is a command, the user's main module is not imported again."""
    code = SCRIPT.format(folder=str(tmp_path / "out"))
    done = subprocess.run([sys.executable], input=code, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "['ok']\n"


def test_a_worker_ends_when_whoever_gave_it_orders_is_gone(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom coterie.benchmark.runner.executors import Limits\n"
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


def test_where_a_worker_hangs_is_known_also_on_a_machine_that_is_busy() -> None:
    """A stopped process stands for one that the machine leaves waiting: it answers when it goes on, two seconds later."""
    import coterie.methods

    worker = WorkerProcess({}, "coterie.benchmark.submissions.check_worker")
    try:
        worker.send(CheckOrder(path=str(Path(coterie.methods.__path__[0]) / "random_groups.py")).model_dump_json())
        assert "random" in str(worker.answer(600))
        process = psutil.Process(worker.pid)
        process.suspend()
        goes_on = threading.Timer(2, process.resume)
        goes_on.start()
        assert "(most recent call first)" in worker.where()
        goes_on.join()
    finally:
        worker.kill()


def test_workers_share_the_cores() -> None:
    from coterie.benchmark.runner.executors.process import cores, thread_settings

    assert cores() == len(os.sched_getaffinity(0))
    assert thread_settings(None) == {}
    assert set(thread_settings(3).values()) <= {"3", os.environ["OMP_NUM_THREADS"]}, "what the user has set stays"
