"""Numbers of a task file, read as they are written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

Whole = Annotated[int, Field(strict=True)]  # no text, no true or false, no 3.0
Flag = Annotated[bool, Field(strict=True)]


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


Number = Annotated[float, BeforeValidator(_no_flag), Field(allow_inf_nan=False)]  # YAML reads 3e-4 as a text
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
