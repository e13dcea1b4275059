"""``coterie train``: from a task file to a reranker, with progress, a log beside the adapter, and resume."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coterie.benchmark.commands.run import resolve_device
from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.benchmark.quantities import format_seconds

if TYPE_CHECKING:
    from coterie.tasks.task import TaskSpec
    from coterie.tasks.training.train import Stage

LINE_EVERY = 10.0  # seconds between progress lines where there is no terminal
INTERRUPTED = 130


def train_command(name: str, folder: Path, stages: tuple[str, ...], device: str) -> int:
    """Train the reranker of a task file in place, or of a registered task in a copy of its file under ``folder``."""
    from coterie.tasks.planted.task import PlantedSpec
    from coterie.tasks.registry import get_task_spec, list_tasks, read_task_file
    from coterie.tasks.training.train import STAGES, train_task

    console = Console()
    with exit_on_user_error():
        unknown = set(stages) - set(STAGES)
        if unknown:
            raise UsageError(f"--stage: expected {', '.join(STAGES)}, got {', '.join(sorted(unknown))}")
        get_task_spec(name)  # an unknown name is told before anything is written
        path = _own_copy(list_tasks()[name], folder / name) if name in list_tasks() else Path(name)
        spec = read_task_file(path)
        if isinstance(spec, PlantedSpec):
            raise UsageError(f"{name}: expected the task of a reranker, got a planted one; nothing is trained there")
        base, adapter = _places(spec, path)
        spec, on_device = _local_warm_start(spec, path), resolve_device(device)
        try:
            with _located(path), _open_log(adapter, console) as log, _shown(console) as progress:
                train_task(spec, base, adapter, _wanted(spec, base, adapter, stages), on_device, log, progress)
        except KeyboardInterrupt:
            console.print(
                "interrupted; the same command goes on with the adapter where it was (a base is begun again)",
                highlight=False,
                soft_wrap=True,
            )
            return INTERRUPTED
    console.print(
        f"written: {adapter}\n  run it with: coterie run -t {path}", highlight=False, markup=False, soft_wrap=True
    )
    return 0


@contextmanager
def _located(path: Path) -> Iterator[None]:
    """Name the file and line of a field that the training cannot do."""
    from coterie.tasks.config.yaml_file import read_yaml, told_by_line
    from coterie.tasks.errors import RecipeError

    try:
        yield
    except RecipeError as error:
        raise told_by_line(path, error.validation(), read_yaml(path)[1]) from None


@contextmanager
def _open_log(adapter: Path, console: Console) -> Iterator[Callable[[str], None]]:
    """What prints a line and keeps it in ``train.log`` beside the adapter."""
    from coterie.tasks.training.preflight import check_writable

    check_writable(adapter, "reranker.adapter")

    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        with (adapter / "train.log").open("a", encoding="utf8") as file:
            print(line, file=file)

    yield log


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """A listener for the steps: a bar in a terminal, elsewhere a line every ten seconds."""
    if not console.is_terminal:
        yield Lines(lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True))
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        row = bar.add_task("training", total=None)
        yield lambda step, steps, text: bar.update(row, completed=step, total=steps, description=text)


class Lines:
    """Progress as lines, at most one in :data:`LINE_EVERY` seconds: where the training is, its pace and the time left."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._last = clock()
        self._first: tuple[int, int, float] | None = None  # steps, step and time from which the pace is counted

    def __call__(self, step: int, steps: int, text: str) -> None:
        """``step`` of ``steps`` is done; a line, where one is due."""
        now = self._clock()
        if self._first is None or self._first[0] != steps or step <= self._first[1]:  # another stage
            self._first = steps, step, now
        if now - self._last < LINE_EVERY:
            return
        self._last = now
        done, seconds = step - self._first[1], now - self._first[2]
        left = ""
        if done:
            pace = done / seconds
            left = (
                f", {pace:{'.2g' if pace < 10 else '.0f'}} steps/s, about {format_seconds((steps - step) / pace)} left"
            )
        self._write(f"step {step}/{steps}: {text}{left}")


def _own_copy(task_file: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(task_file, folder / "task.yaml"))


def _places(spec: TaskSpec, path: Path) -> tuple[str, Path]:
    """Where the base is (a folder that may still be made, or a hub id), and where the adapter goes."""
    if spec.reranker.adapter is None:
        raise UsageError(f"{path}: expected reranker.adapter, the folder to write to, got none; fix: adapter: adapter")
    makes_base = spec.training is not None and spec.training.base is not None
    folder = path.parent.resolve()
    base = str(folder / spec.reranker.base) if makes_base else spec.reranker.base
    return base, folder / spec.reranker.adapter


def _local_warm_start(spec: TaskSpec, path: Path) -> TaskSpec:
    """The task with the adapter that training starts from relative to the task file, where it is a folder there."""
    training = spec.training
    if training is None or training.init_adapter is None:
        return spec
    local = path.parent.resolve() / training.init_adapter
    if not local.is_dir():
        return spec
    return spec.model_copy(update={"training": training.model_copy(update={"init_adapter": str(local)})})


def _wanted(spec: TaskSpec, base: str, adapter: Path, stages: tuple[str, ...]) -> list[Stage]:
    """The stages named, in their order; where none is, a base that is made here and is not there yet, adapter and card."""
    from coterie.tasks.training.base import has_base
    from coterie.tasks.training.train import STAGES

    if stages:
        return [stage for stage in STAGES if stage in stages]
    makes_base = spec.training is not None and spec.training.base is not None
    if makes_base and not has_base(Path(base)):
        return ["base", "adapter", "card"]
    finished = (adapter / "adapter_model.safetensors").is_file() and not (adapter / "checkpoint.pt").is_file()
    if not finished:
        return ["adapter", "card"]
    if not (adapter / "card.json").is_file():
        return ["card"]
    raise UsageError(
        f"{adapter}: expected an adapter to train, got one that is finished, with its card; fix: --stage adapter --stage card to "
        f"train it again in its place, or another folder as reranker.adapter"
    )
