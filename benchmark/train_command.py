"""``coterie train``: from a task file to a reranker, with progress, a log beside the adapter, and resume."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coterie.benchmark.commands import resolve_device
from coterie.benchmark.errors import UsageError, told_in_one_line

if TYPE_CHECKING:
    from coterie.tasks.task import TaskSpec
    from coterie.tasks.training.train import Stage


def train_command(name: str, folder: Path, stages: tuple[str, ...], device: str) -> int:
    """Train the reranker of a task file in place, or of a registered task in a copy of its file under ``folder``."""
    from coterie.tasks.planted_task import PlantedSpec
    from coterie.tasks.registry import get_task_spec, list_tasks, read_task_file
    from coterie.tasks.training.train import STAGES, train_task

    with told_in_one_line():
        unknown = set(stages) - set(STAGES)
        if unknown:
            raise UsageError(f"--stage: expected {', '.join(STAGES)}, got {', '.join(sorted(unknown))}")
        get_task_spec(name)  # an unknown name is told before anything is written
        path = _own_copy(list_tasks()[name], folder / name) if name in list_tasks() else Path(name)
        spec = read_task_file(path)
        if isinstance(spec, PlantedSpec):
            raise UsageError(f"{name}: expected the task of a reranker, got a planted one; nothing is trained there")
        base, adapter = _places(spec, path)
        wanted = [stage for stage in STAGES if stage in stages] or _missing(base)
        adapter.mkdir(parents=True, exist_ok=True)
        console = Console()
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        with (adapter / "train.log").open("a", encoding="utf8") as file, bar:
            row = bar.add_task("training", total=None)

            def log(line: str) -> None:
                console.print(line, highlight=False, markup=False, soft_wrap=True)
                print(line, file=file, flush=True)

            train_task(
                spec,
                base,
                adapter,
                wanted,
                resolve_device(device),
                log,
                lambda step, steps, text: bar.update(row, completed=step, total=steps, description=text),
            )
    console.print(f"written: {adapter}\n  run it with: coterie run -t {path}", highlight=False, soft_wrap=True)
    return 0


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


def _missing(base: str) -> list[Stage]:
    """What is run where no stage is named: a base that is not there yet, the adapter, the card."""
    return ["adapter", "card"] if Path(base).is_dir() else ["base", "adapter", "card"]
