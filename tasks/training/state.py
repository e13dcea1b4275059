"""What a training keeps on disk to go on where it was, and how Ctrl-C waits for the end of a step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from coterie.tasks.errors import TrainingError

CHECKPOINT = "checkpoint.pt"


@dataclass
class Position:
    """Where a training stands: all that a checkpoint holds beside tensors. Sums are those since the last evaluation."""

    step: int = 0
    untuned_ndcg: float | None = None  # of the model at step 0
    best_ndcg: float = -1.0
    best_step: int = 0
    last_ndcg: float = -1.0
    last_loss: float | None = None  # mean between the last two evaluations
    last_chance: float = 0.0  # that of scores which tell nothing, over the same pairs
    loss_sum: float = 0.0
    chance_sum: float = 0.0
    loss_steps: int = 0
    seconds: float = 0.0


def write_checkpoint(folder: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values so that a kill leaves the old checkpoint or the new one. Raises :class:`TrainingError`."""
    path, temporary = folder / CHECKPOINT, folder / f".{CHECKPOINT}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(content, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"{path}: expected a file that can be written, got: {' '.join(str(error).split())[:200]}; fix: free space or "
            f"another reranker.adapter; the same command then goes on from the last checkpoint"
        ) from None


def read_checkpoint(folder: Path, key: str) -> dict[str, Any] | None:
    """The checkpoint of the training with this key, or None. Raises :class:`TrainingError` for another training's."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        found = saved["key"]
    except Exception as error:  # of torch.load: whatever a broken file makes it raise
        raise TrainingError(
            f"{path}: expected a checkpoint of a training, got: {' '.join(str(error).split())[:200]}; fix: delete it to "
            f"start anew"
        ) from None
    if found != key:
        raise TrainingError(
            f"{path}: expected a checkpoint of this training, got one of another specification, base, warm start or other "
            f"queries; fix: delete it to start anew"
        )
    return saved


def discard_checkpoint(folder: Path) -> None:
    """Remove the checkpoint, and what killed trainings left half written."""
    for path in (folder / CHECKPOINT, *folder.glob(f".{CHECKPOINT}.*")):
        path.unlink(missing_ok=True)


def random_state(device: str) -> dict[str, torch.Tensor]:
    """The state of torch's generators, which dropout draws from."""
    kind = torch.device(device).type
    of_device = {} if kind == "cpu" else {kind: torch.get_device_module(kind).get_rng_state().cpu()}
    return {"cpu": torch.get_rng_state(), **of_device}


def set_random_state(state: Mapping[str, torch.Tensor]) -> None:
    """Undo :func:`random_state`."""
    for kind, value in state.items():
        if kind == "cpu":
            torch.set_rng_state(value)
        else:
            torch.get_device_module(kind).set_rng_state(value)


@contextmanager
def held_interrupts() -> Iterator[Callable[[], bool]]:
    """Within it the first Ctrl-C only makes the yielded function true; a second one interrupts at once.

    Elsewhere than in the main thread, or where Ctrl-C has another handler, nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    asked = threading.Event()

    def hold(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()

    signal.signal(signal.SIGINT, hold)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
