"""What names in a task file may be: those of tasks, which become paths and addresses, and those of domains, which do not."""

from __future__ import annotations

import re
import unicodedata

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TASK = re.compile(rf"{_PART}(/{_PART})?")
_CHANGED = re.compile(rf"{_PART}(/{_PART})?(\[[a-z0-9=:,._-]{{1,120}}\])?")
_LONGEST = 100  # characters of a domain's name
RESERVED = (
    "discovery",
    "heldout",
    "transfer",
)  # what results call the source's splits, and all transfer domains together


def task_name(name: str, changed: bool = True) -> str:
    """The name, where it can name a task: as on the hub, and with what was ``changed`` in brackets behind it.

    Raises ``ValueError`` with a name that can.
    """
    if (_CHANGED if changed else _TASK).fullmatch(name):
        return name
    parts = [re.sub(r"[^a-z0-9._-]+", "-", part.lower()).strip("-._")[:64] for part in name.split("/")[:2]]
    fixed = "/".join(part for part in parts if part) or "my-task"
    raise ValueError(
        f"expected letters, digits, '.', '_' and '-', at most one '/', no '.', '_' or '-' first, at most 64 characters on "
        f"either side of the '/' (fix: {fixed})"
    )


def domain_name(name: str) -> str:
    """The name, where it can name a domain: any printable characters but ``/``, so folders' names go.

    Raises ``ValueError``.
    """
    odd = [c for c in name if unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp") or c == "/"]
    if name and not odd and name == name.strip() and len(name) <= _LONGEST:
        return name
    raise ValueError(
        f"expected 1 to {_LONGEST} printable characters without '/', and no space first or last (fix: give the domain a "
        f"name: my-domain)"
    )
