"""`coterie train`: from a task file to a reranker, with progress, a log next to the adapter, and resumption."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error
from coterie.benchmark.quantities import format_seconds
from coterie.benchmark.runner.environment import resolve_device
from coterie.tasks.config.text import expected_one_of

if TYPE_CHECKING:
    from coterie.tasks.task_spec import RerankerTaskSpec
    from coterie.tasks.training.train import Stage

LINE_EVERY = 10.0  # seconds between progress lines if the output is not a terminal


def train_command(name: str, folder: Path, stages: tuple[str, ...], device: str) -> ExitCode:
    """Train the reranker of a task file in place, or that of a registered task from a copy of its file under `folder`."""
    from coterie.tasks.registry import get_reranker_spec, list_tasks
    from coterie.tasks.training.train import STAGES, train_task

    console = Console()
    with exit_on_user_error():
        for stage in stages:
            if stage not in STAGES:
                raise UsageError(f"--stage: {expected_one_of(STAGES, stage)}")
        get_reranker_spec(name)  # refuses an unknown name before anything is written
        path = _copy_task(list_tasks()[name], folder / name) if name in list_tasks() else Path(name)
        spec = get_reranker_spec(str(path))
        base, adapter = _places(spec, path)
        spec, on_device = _local_warm_start(spec, path), resolve_device(device)
        source = name if name in list_tasks() else path.name  # for the model card
        try:
            with _located(path), _open_log(adapter, console) as log, _show_progress(console) as progress:
                train_task(
                    spec, base, adapter, _stages_to_run(spec, base, adapter, stages), on_device, log, progress, source
                )
        except KeyboardInterrupt:
            console.print(
                "interrupted; the same command resumes an adapter from its last evaluation, and restarts a base from scratch",
                highlight=False,
                soft_wrap=True,
            )
            return ExitCode.INTERRUPTED
    console.print(f"Written: {adapter}\nNext:\n  coterie run -t {path}", highlight=False, markup=False, soft_wrap=True)
    return ExitCode.OK


@contextmanager
def _located(path: Path) -> Iterator[None]:
    """Add the file and line to an error about a field of the recipe."""
    from coterie.tasks.config.yaml_file import read_yaml
    from coterie.tasks.errors import RecipeError

    try:
        yield
    except RecipeError as error:
        raise read_yaml(path)[1].locate(error.validation()) from None


@contextmanager
def _open_log(adapter: Path, console: Console) -> Iterator[Callable[[str], None]]:
    """A function that prints a line and appends it to `train.log` next to the adapter."""
    from coterie.tasks.training.preflight import check_writable

    check_writable(adapter, "reranker.adapter")

    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        with (adapter / "train.log").open("a", encoding="utf8") as file:
            print(line, file=file)

    yield log


@contextmanager
def _show_progress(console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """A listener for training steps: a bar on a terminal, a line every ten seconds otherwise."""
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
    """Prints progress as lines, at most one per `LINE_EVERY` seconds: the step, the pace and the time left."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._last = clock()
        self._first: tuple[int, int, float] | None = None  # steps, step and time since which the pace is measured

    def __call__(self, step: int, steps: int, text: str) -> None:
        """Record that `step` of `steps` is done, and write a line if one is due."""
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


def _copy_task(task_file: Path, folder: Path) -> Path:
    """Copy the file of a registered task, so that training writes next to the copy."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(task_file, folder / "task.yaml"))


def _places(spec: RerankerTaskSpec, path: Path) -> tuple[str, Path]:
    """The base (a folder that training may create, or a hub id) and the folder of the adapter."""
    if spec.reranker.adapter is None:
        raise UsageError(f"{path}: expected reranker.adapter, the folder to write to, got none; fix: adapter: adapter")
    makes_base = spec.training is not None and spec.training.base is not None
    folder = path.parent.resolve()
    base = str(folder / spec.reranker.base) if makes_base else spec.reranker.base
    return base, folder / spec.reranker.adapter


def _local_warm_start(spec: RerankerTaskSpec, path: Path) -> RerankerTaskSpec:
    """The task with `training.init_adapter` made absolute, if it is a folder next to the task file."""
    training = spec.training
    if training is None or training.init_adapter is None:
        return spec
    local = path.parent.resolve() / training.init_adapter
    if not local.is_dir():
        return spec
    return spec.model_copy(update={"training": training.model_copy(update={"init_adapter": str(local)})})


def _stages_to_run(spec: RerankerTaskSpec, base: str, adapter: Path, stages: tuple[str, ...]) -> list[Stage]:
    """The requested stages in order or, if none is requested, those whose results are missing.

    Raises `UsageError` if no result is missing.
    """
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
        f"{adapter}: expected an adapter to train, got a finished one with its card; fix: --stage adapter --stage card to train "
        f"it again and replace it, or another folder as reranker.adapter"
    )
