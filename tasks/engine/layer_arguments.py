"""What a model passes to its layers besides the hidden states (rotary tables, masks), recorded in a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@contextmanager
def arguments_of(layers: Sequence[nn.Module]) -> Iterator[list[Arguments]]:
    """Record what a forward pass in this context passes to each of these layers besides the hidden states."""
    seen: list[Arguments] = []

    def hook(_module: nn.Module, positional: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        left_out = ("hidden_states", "past_key_values", "past_key_value", "use_cache")
        seen.append((positional[1:], {k: v for k, v in keywords.items() if k not in left_out}))

    hooks = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in layers]
    try:
        yield seen
    finally:
        for handle in hooks:
            handle.remove()


def picked(value: Any, pairs: int, part: Tensor) -> Any:
    """A layer argument for some of a batch's pairs; arguments without a batch dimension stay the same."""
    if isinstance(value, dict):
        return {name: picked(v, pairs, part) for name, v in value.items()}
    if isinstance(value, tuple):
        return tuple(picked(v, pairs, part) for v in value)
    if _by_pair(value, pairs):
        return value[part]
    return value


def repeated(value: Any, pairs: int, times: int) -> Any:
    """A layer argument for `times` copies of a batch of `pairs`; arguments without a batch dimension stay the same."""
    if isinstance(value, dict):
        return {name: repeated(v, pairs, times) for name, v in value.items()}
    if isinstance(value, tuple):
        return tuple(repeated(v, pairs, times) for v in value)
    if _by_pair(value, pairs):
        return value.repeat(times, *[1] * (value.ndim - 1))
    return value


def _by_pair(value: Any, pairs: int) -> bool:
    """Whether a layer argument has a batch dimension.

    A matrix of floats has none, whatever its size: it is a table that all pairs share, as in DeBERTa (relative positions).
    """
    if not isinstance(value, Tensor) or pairs == 1 or value.ndim == 0 or value.shape[0] != pairs:
        return False
    return value.ndim != 2 or not value.is_floating_point()


def attends_to_all(arguments: list[Arguments]) -> bool:
    """Whether every token attends to all earlier ones: no sliding window in force, no mask that only the layer can use."""
    return all(keywords.get("attention_mask") is None for _, keywords in arguments)
