"""Durations, sizes and budgets as people write and read them."""

from __future__ import annotations

import re

from pydantic import ByteSize, TypeAdapter, ValidationError

from coterie.benchmark.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+|\d+(?:\.\d+)?")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def parse_duration(text: str, name: str = "--timeout") -> float:
    """Seconds in `90s`, `30m`, `1h30m`, `2d` or a plain number of seconds. Raises `UsageError`, which begins with `name`."""
    if not _DURATION.fullmatch(text):
        raise UsageError(f"{name}: expected a duration, got {text!r}; fix: 90s, 30m, 2h or 1h30m")
    seconds = sum(float(number) * _SECONDS[unit or "s"] for number, unit in _PART.findall(text))
    if seconds <= 0:
        raise UsageError(f"{name}: expected more than zero, got {text!r}; fix: 30m, or omit it for no limit")
    return seconds


def parse_bytes(text: str, name: str = "--memory-limit") -> int:
    """Bytes in `8GB`, `500MB`, `8GiB` or a plain number of bytes. Raises `UsageError`, which begins with `name`."""
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise UsageError(f"{name}: expected a size, got {text!r}; fix: 8GB, 500MB or 8GiB") from None
    if size <= 0:
        raise UsageError(f"{name}: expected more than zero, got {text!r}; fix: 8GB")
    return size


def parse_budgets(text: str) -> tuple[int, ...]:
    """Numbers of evaluations in `1e3,1e4` or `1000,10000`, ascending, without duplicates. Raises `UsageError`."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(value >= 1 and value.is_integer() for value in values):
        raise UsageError(f"--budgets: expected whole numbers of at least 1, got {text!r}; fix: --budgets 1e3,1e4")
    return tuple(sorted({int(value) for value in values}))


def format_seconds(seconds: float) -> str:
    """A human-readable duration: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def format_bytes(size: int) -> str:
    """A human-readable size, in decimal units: `50.0 MB`, `2.0 GB`."""
    return ByteSize(size).human_readable(decimal=True, separator=" ")


def format_count(count: int, noun: str) -> str:
    """A number with its noun: `1 cell`, `3 cells`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
