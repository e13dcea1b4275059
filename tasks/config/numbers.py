"""Number types for task files that accept a value only as it is written: no text, no `true` for 1."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


Number = Annotated[float, BeforeValidator(_refuse_bool), Field(allow_inf_nan=False)]
"""A finite number. Text is accepted, because YAML reads 3e-4 as text."""

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
"""A seed that NumPy and PyTorch both accept."""
