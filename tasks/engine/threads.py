"""Work on a processor: a thread takes a whole piece, so that its arrays stay in its core's cache and none waits for another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
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


def evenly(items: list[int], largest: int) -> list[list[int]]:
    """The items in runs of at most so many (and at least one), as many for each of torch's threads, all about as long."""
    threads = torch.get_num_threads()
    count = min(len(items), -(-len(items) // (max(1, largest) * threads)) * threads)
    edges = [len(items) * i // count for i in range(count + 1)] if count else []
    return [items[start:stop] for start, stop in pairwise(edges)]
