"""What the methods of a task have asked of its discovery game: the same question is not computed twice."""

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
    seconds: float
    size: int


class Memo:
    """Answers of a game by question, the least recently used ones dropped beyond ``limit`` bytes.

    A question is a kind and its argument, by the SHA-256 of the argument's bytes. Answers are copied on the way in and
    out, so that a method may write into what it got. A game is deterministic, so an answer from here is the one that
    would have been computed; who gets it is told the seconds that it took then, and is charged as if it had been.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit, self.size = limit, 0
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    def answer(self, kind: str, argument: Tensor | str | None, compute: Callable[[], Answer]) -> tuple[Answer, float]:
        """The answer, and the seconds that were saved: 0 where it was computed now."""
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
    """Bytes of a tensor, or of all tensors of a dataclass."""
    if isinstance(answer, Tensor):
        return answer.numel() * answer.element_size()
    return sum(_bytes(part) for part in vars(answer).values() if isinstance(part, Tensor))
