"""Which names a task file may use: task names become paths and URLs, domain names do not."""

from __future__ import annotations

import re
import unicodedata

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TASK = re.compile(rf"{_PART}(/{_PART})?")
_TASK_WITH_CHANGES = re.compile(rf"{_PART}(/{_PART})?(\[[a-z0-9=:,._-]{{1,120}}\])?")
_MAX_DOMAIN_LENGTH = 100
RESERVED_DOMAINS = ("discovery", "heldout", "transfer")
"""Names that results give to the splits of the source, and to all transfer domains together."""


def check_task_name(name: str, allow_changes: bool = True) -> str:
    """Return a valid task name unchanged; with `allow_changes`, changed parameters may follow in brackets.

    Raises `ValueError` with a suggestion for any other name.
    """
    if (_TASK_WITH_CHANGES if allow_changes else _TASK).fullmatch(name):
        return name
    parts = [re.sub(r"[^a-z0-9._-]+", "-", part.lower()).strip("-._")[:64] for part in name.split("/")[:2]]
    suggestion = "/".join(part for part in parts if part) or "my-task"
    raise ValueError(
        f"expected letters, digits, '.', '_' and '-', starting with a letter or digit, with at most one '/' and at most "
        f"64 characters on either side of it (fix: {suggestion})"
    )


def check_domain_name(name: str) -> str:
    """Return a valid domain name unchanged. All printable characters except `/` are valid, so folder names are too.

    Raises `ValueError` for any other name.
    """
    if name and name == name.strip() and len(name) <= _MAX_DOMAIN_LENGTH and not any(map(_is_forbidden, name)):
        return name
    raise ValueError(
        f"expected 1 to {_MAX_DOMAIN_LENGTH} printable characters without '/' and without spaces at either end (fix: "
        f"name the domain, for example my-domain)"
    )


def _is_forbidden(character: str) -> bool:
    category = unicodedata.category(character)
    return character == "/" or category.startswith("C") or category in ("Zl", "Zp")
