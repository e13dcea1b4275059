"""A memo of a task's discovery game: methods that ask the same question share one computation."""

from __future__ import annotations

import copy
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Answer = TypeVar("Answer")

DEFAULT_BYTES = 2**28


@dataclass(frozen=True)
class _Kept:
    answer: object
    """What the game returned."""

    seconds: float
    """How long it took to compute."""

    size: int
    """Bytes of its tensors."""


class Memo:
    """Answers of a game by question; beyond `limit` bytes the least recently used ones are dropped.

    A question is a kind and the SHA-256 of its argument's bytes. Answers are copied on the way in and out, so that a method
    may modify what it receives. A game is deterministic, so a stored answer equals the one that would be computed; the
    caller learns how many seconds it took then, and is charged as if it had been computed now.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit, self.size = limit, 0
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def answer(self, kind: str, argument: Tensor | str | None, compute: Callable[[], Answer]) -> tuple[Answer, float]:
        """The answer, and the seconds that were saved: 0 if it was computed now."""
        key = (kind, _digest(argument))
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return copy.deepcopy(kept.answer), kept.seconds  # type: ignore[return-value]
        started = time.perf_counter()
        answer = compute()
        self._keep(key, answer, time.perf_counter() - started)
        return answer, 0.0

    def _keep(self, key: tuple[str, str], answer: object, seconds: float) -> None:
        size = _bytes(answer)
        if size > self.limit:
            return
        while self.size + size > self.limit:
            self.size -= self._kept.popitem(last=False)[1].size
        self._kept[key] = _Kept(copy.deepcopy(answer), seconds, size)
        self.size += size


def _digest(argument: Tensor | str | None) -> str:
    if not isinstance(argument, Tensor):
        return f"{argument}"
    plain = argument.detach().cpu().contiguous().view(torch.uint8).numpy()
    return f"{argument.dtype}{tuple(argument.shape)}{hashlib.sha256(plain.tobytes()).hexdigest()}"


def _bytes(answer: object) -> int:
    """Bytes of a tensor, or of all tensors in a dataclass."""
    if isinstance(answer, Tensor):
        return answer.numel() * answer.element_size()
    return sum(_bytes(part) for part in vars(answer).values() if isinstance(part, Tensor))
