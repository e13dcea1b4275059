"""The state that a training run keeps on disk so that it can resume, and how Ctrl-C waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from coterie.tasks.atomic import replacing
from coterie.tasks.errors import TrainingError, one_line

CHECKPOINT = "checkpoint.pt"


@dataclass
class Position:
    """The progress of a training run: everything in a checkpoint besides tensors."""

    step: int = 0
    """Number of steps taken."""

    untuned_ndcg: float | None = None
    """nDCG@10 on the dev queries at step 0; None before it is measured."""

    best_ndcg: float = -1.0
    """Best nDCG@10 so far."""

    best_step: int = 0
    """Step of the best nDCG@10."""

    last_ndcg: float = -1.0
    """nDCG@10 at the last evaluation."""

    last_loss: float | None = None
    """Mean loss between the last two evaluations."""

    last_chance: float = 0.0
    """Mean loss of equal scores over the same pairs."""

    loss_sum: float = 0.0
    """Sum of the losses since the last evaluation."""

    chance_sum: float = 0.0
    """Sum of the losses of equal scores since the last evaluation."""

    loss_steps: int = 0
    """Number of steps in both sums."""

    seconds: float = 0.0
    """Time spent so far, over all runs."""


def write_checkpoint(folder: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values; a kill leaves either the old checkpoint or the new one. Raises `TrainingError`."""
    path = folder / CHECKPOINT
    try:
        with replacing(path) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
        raise TrainingError(
            f"{path}: expected a file that can be written, got: {one_line(error)}; fix: free space or choose "
            f"another reranker.adapter; the same command then resumes from the last checkpoint"
        ) from None


def read_checkpoint(folder: Path, key: str) -> dict[str, Any] | None:
    """The checkpoint of the training run with this key, or None. Raises `TrainingError` for that of another run."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        found = saved["key"]
    except Exception as error:  # torch.load raises almost anything for a broken file
        raise TrainingError(
            f"{path}: expected a checkpoint of a training run, got: {one_line(error)}; fix: delete it to start again"
        ) from None
    if found != key:
        raise TrainingError(
            f"{path}: expected a checkpoint of this training run, got one with a different specification, base, warm start or "
            f"set of queries; fix: delete it to start again"
        )
    return saved


def discard_checkpoint(folder: Path) -> None:
    """Remove the checkpoint, and incomplete ones that killed training runs left behind."""
    for path in (folder / CHECKPOINT, *folder.glob(f".{CHECKPOINT}.*")):
        path.unlink(missing_ok=True)


def random_state(device: str) -> dict[str, torch.Tensor]:
    """The state of torch's random generators, which dropout uses, by device type."""
    kind = torch.device(device).type
    of_device = {} if kind == "cpu" else {kind: torch.get_device_module(kind).get_rng_state().cpu()}
    return {"cpu": torch.get_rng_state(), **of_device}


def set_random_state(state: Mapping[str, torch.Tensor]) -> None:
    """Restore what `random_state` returned."""
    for kind, value in state.items():
        if kind == "cpu":
            torch.set_rng_state(value)
        else:
            torch.get_device_module(kind).set_rng_state(value)


@contextmanager
def held_interrupts() -> Iterator[Callable[[], bool]]:
    """Hold back the first Ctrl-C: the yielded function then returns True. A second one interrupts immediately.

    Does nothing outside the main thread, or if Ctrl-C already has another handler.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    interrupted = threading.Event()

    def hold(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            signal.default_int_handler(number, frame)
        interrupted.set()

    signal.signal(signal.SIGINT, hold)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
