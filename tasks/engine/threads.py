"""Work on the CPU: each thread takes a whole piece, so that its arrays stay in its core's cache and no thread waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import torch

Piece = TypeVar("Piece")

_CACHED_TOKENS = 1536  # tokens whose arrays stay in a core's cache (measured on small rerankers)


def tokens_per_thread(tokens_at_once: int, device: torch.device) -> int:
    """How many of `tokens_at_once` tokens one thread replays at a time; all of them on a GPU."""
    return min(_CACHED_TOKENS, tokens_at_once // torch.get_num_threads()) if device.type == "cpu" else tokens_at_once


def for_each(pieces: Sequence[Piece], work: Callable[[Piece], None], device: torch.device) -> None:
    """Call `work(piece)` for every piece; on the CPU, threads share the cores that torch may use."""
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
        torch.set_num_threads(threads)  # a worker's setting would also become the default of later threads


def evenly(items: list[int], largest: int) -> list[list[int]]:
    """Split the items into runs of nearly equal length (1 to `largest`), with equally many runs per thread."""
    threads = torch.get_num_threads()
    count = min(len(items), -(-len(items) // (max(1, largest) * threads)) * threads)
    edges = [len(items) * i // count for i in range(count + 1)] if count else []
    return [items[start:stop] for start, stop in pairwise(edges)]
