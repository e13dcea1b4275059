"""Number types for task files, stricter than pydantic's: `true` is not 1, and infinity and NaN are not numbers."""

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
