"""Numbers of a task file, read as they are written."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Whole = Annotated[int, Field(strict=True)]  # no text, no true or false, no 3.0
Flag = Annotated[bool, Field(strict=True)]
