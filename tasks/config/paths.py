"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path


def expand_home(path: str) -> str:
    """Replace a leading `~` or `~user` by that home folder. Raises `ValueError` for an unknown user."""
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise ValueError(
            f"expected a path, ~ for your home folder, got {path!r}, the home of an unknown user; fix: ./{path} for a "
            f"folder of that name"
        ) from None
