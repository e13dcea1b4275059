"""Work on a processor: a thread takes a whole piece, so that its arrays stay in its core's cache and none waits for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")


def for_each(pieces: Sequence[Piece], work: Callable[[Piece], None], device: torch.device) -> None:
    """``work(piece)`` for every one; on the CPU by as many threads as torch may use, which they share."""
    threads = torch.get_num_threads()
    workers = min(threads, len(pieces)) if device.type == "cpu" else 1
    if workers <= 1:
        for piece in pieces:
            work(piece)
        return
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
            for _done in pool.map(work, pieces):
                pass
    finally:
        torch.set_num_threads(threads)  # what a thread sets for itself is also what later threads begin with
