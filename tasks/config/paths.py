"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def at_home(path: str) -> str:
    """The path with a leading ``~`` or ``~user`` as that home folder. Raises ``ValueError`` for a user who has none."""
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise ValueError(
            f"expected a path, ~ for your home folder, got {path!r}, the home of an unknown user; fix: ./{path} for a "
            f"folder of that name"
        ) from None
