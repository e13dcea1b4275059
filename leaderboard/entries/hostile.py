"""Files from other people, read as if they were malicious: no file is opened before its kind and size are known.

A folder may contain folders and plain files up to a limit of bytes each; no links of either kind, pipes, devices or archives.
Files are opened without following links and checked again once open. JSON and YAML must be UTF-8 without a byte order mark,
of limited depth, and without duplicate keys, NaN, infinity or (in YAML) aliases, which can multiply a file's size.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from coterie.leaderboard.errors import HostileError

MOST_FILES, MOST_BYTES, DEEPEST_FOLDER = 4000, 2**26, 8
MOST_LISTS = 50_000  # lists and objects in one JSON text; a record of 20,000 coalitions has fewer
DEEPEST_VALUE = 32  # nested brackets
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_MARKUP = re.compile(r"<[a-zA-Z/!?]|&(#\d+|#x[0-9a-f]+|[a-z]+);", re.IGNORECASE)


def walk(folder: Path) -> Iterator[tuple[str, HostileError | None]]:
    """(relative path, why it is refused or None) of every entry below the folder, except plain folders.

    Links are not followed. Stops with an error at `MOST_FILES` entries or `MOST_BYTES`.
    """
    waiting, seen, total = [("", 0)], 0, 0
    while waiting:
        below, depth = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                seen += 1
                path = f"{below}/{entry.name}" if below else entry.name
                if seen > MOST_FILES:
                    yield path, HostileError(f"at most {MOST_FILES} files", "more")
                    return
                status = entry.stat(follow_symlinks=False)
                total += status.st_size
                if total > MOST_BYTES:
                    yield path, HostileError(f"at most {MOST_BYTES} bytes in all", "more")
                    return
                if not stat.S_ISDIR(status.st_mode):
                    yield path, _refused(status)
                elif depth >= DEEPEST_FOLDER:
                    yield path, HostileError(f"at most {DEEPEST_FOLDER} levels of folders", "more")
                else:
                    waiting.append((path, depth + 1))


def read_text(folder: Path, path: str, largest: int) -> str:
    """The text of a plain file. Raises `HostileError` for any other kind, size or encoding."""
    try:
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise HostileError("a readable plain file", error.strerror or str(error)) from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        refused = _refused(status)
        if refused is not None:
            raise refused
        if status.st_size > largest:
            raise HostileError(f"at most {largest} bytes", str(status.st_size))
        raw = file.read(largest + 1)
    if len(raw) > largest:  # it has grown in the meantime
        raise HostileError(f"at most {largest} bytes", "more")
    try:
        text = raw.decode("utf8")
    except UnicodeDecodeError as error:
        raise HostileError("UTF-8", f"byte {raw[error.start]:#04x} at {error.start}") from None
    if text.startswith("\ufeff"):
        raise HostileError("UTF-8 without a byte order mark", "one")
    return text


def strict_json(text: str, most_lists: int = MOST_LISTS) -> Any:
    """The value of a JSON text with at most `most_lists` lists and objects. Raises `HostileError`."""
    _check_depth(text, most_lists)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except HostileError:
        raise
    except ValueError as error:
        raise HostileError("JSON", str(error)) from None


def strict_yaml(text: str) -> Any:
    """The value of a YAML text with plain values only. Raises `HostileError`."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise HostileError("YAML without aliases (*name)", f"*{event.anchor}")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST_VALUE:
                raise HostileError(f"at most {DEEPEST_VALUE} levels", "more")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        for mapping in _mappings(root):
            _unique([(key.value, None) for key, _value in mapping.value])
        return yaml.safe_load(text)
    except HostileError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise HostileError("YAML", " ".join(str(error).split())) from None


def check_words(value: Any, where: str = "") -> Iterator[tuple[str, HostileError]]:
    """(where, error) for every text inside a value that contains markup or control characters."""
    if isinstance(value, str):
        if found := _CONTROL.search(value) or _MARKUP.search(value):
            yield where, HostileError("plain text: no markup, no control characters", repr(found[0]))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from check_words(key, f"{where}.{key!a}"[:120].removeprefix("."))
            yield from check_words(inner, f"{where}.{key}"[:120].removeprefix("."))
    elif isinstance(value, list) and any(isinstance(inner, str | dict | list) for inner in value):
        for number, inner in enumerate(value):
            yield from check_words(inner, f"{where}.{number}"[:120])


def _refused(status: os.stat_result) -> HostileError | None:
    kinds: list[tuple[Callable[[int], bool], str]] = [
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a folder"),
    ]
    for is_kind, name in kinds:
        if is_kind(status.st_mode):
            return HostileError("a plain file", name)
    if not stat.S_ISREG(status.st_mode):
        return HostileError("a plain file", "a device")
    return (
        HostileError("a file with one name", f"a hard link, one of {status.st_nlink}") if status.st_nlink > 1 else None
    )


def _check_depth(text: str, most_lists: int) -> None:
    number = text.count("[") + text.count("{")
    if number > most_lists:
        raise HostileError(f"at most {most_lists} lists and objects", str(number))
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += 1 if found[1] else -1 if found[0] in "]}" else 0
        if depth > DEEPEST_VALUE:
            raise HostileError(f"at most {DEEPEST_VALUE} levels of brackets", "more")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise HostileError("each key once", f"{key[:60]!r} twice")
        found[key] = value
    return found


def _no_constant(word: str) -> NoReturn:
    raise HostileError("finite numbers", word)


def _finite(word: str) -> float:
    number = float(word)
    if number in (float("inf"), float("-inf")):
        raise HostileError("finite numbers", word[:40])
    return number


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _key, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)
