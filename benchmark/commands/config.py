"""Config files: the options of a command, written as YAML."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from coterie.benchmark.errors import UsageError
from coterie.tasks.config.paths import expand_home
from coterie.tasks.config.text import did_you_mean
from coterie.tasks.config.yaml_file import read_yaml


def read_config(
    path: Path, known: Collection[str], repeatable: Collection[str], convert: Callable[[str, Any], object]
) -> dict[str, Any]:
    """The options in a YAML mapping, by name. Keys are option names without dashes: `method: [random]`.

    `known` are the names of the options, `repeatable` those that take a list. `convert` returns the value that an option
    will have, and raises `ValueError` if it refuses one. Raises `UsageError` with file, line and field.
    """
    try:
        path = Path(expand_home(str(path)))
    except ValueError as error:
        raise UsageError(f"--config: {error}") from None
    raw, origin = read_yaml(path)
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected a mapping of options, got {type(raw).__name__}; fix: lines like 'seeds: 3'")
    values: dict[str, Any] = {}
    for written, value in raw.items():
        name, place = str(written).replace("-", "_"), origin.at(str(written))
        if name not in known:
            raise UsageError(f"{origin.line(str(written))}: unknown option {name!r}{did_you_mean(name, known)}")
        if name in values:
            raise UsageError(f"{place}: expected once, got twice; fix: leave one out")
        values[name] = [value] if name in repeatable and not isinstance(value, list) else value
        try:
            _check(values[name], convert(name, values[name]), name)
        except ValueError as error:
            option = f"--{name.replace('_', '-')}: "
            raise UsageError(f"{place}: {str(error).removeprefix(option)}") from None
    return values


def _check(value: object, converted: object, name: str) -> None:
    """Refuse what conversion would hide: true is not the number 1, and 3 is no text."""
    if isinstance(value, bool) and not isinstance(converted, bool):
        kind, example = ("number", "1") if isinstance(converted, int) else ("text", "name")
        raise ValueError(f"expected a {kind}, got {str(value).lower()}; fix: {name}: {example}")
    if isinstance(value, int | float) and isinstance(converted, str):
        raise ValueError(f"expected a text, got {value}; fix: {name}: name")
