"""Read text files line by line, gzipped or plain, and report every problem with file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coterie.tasks.errors import DataError

MAX_LINE_BYTES = 16 << 20  # the longest document of a public collection is less than a tenth of this
Line = tuple[str, str]  # "file:line", text


def lines(path: Path) -> Iterator[Line]:
    """The non-empty lines of a UTF-8 file, gzipped or plain, without byte order mark and line ends (LF or CRLF).

    Raises `DataError` for a file that cannot be read, a truncated or broken gzip file, another encoding, and a line
    longer than 16 MiB.
    """
    where = str(path)
    try:
        with gzip.open(path, "rb") if _is_gzip(path) else path.open("rb") as file:
            number = 0
            while raw := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                where = f"{path}:{number}"
                if len(raw) > MAX_LINE_BYTES:
                    raise DataError(
                        f"{where}: expected lines of at most {MAX_LINE_BYTES} bytes, got a longer one; fix: write one "
                        f"document per line"
                    )
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield where, text
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: expected UTF-8, got byte {error.object[error.start]:#04x} at column {error.start + 1}; "
            f"fix: iconv -t utf-8"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{where}: expected a complete gzip file, got a broken one ({error}); fix: download it again"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; fix: correct the path in the task file") from None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".gz" or file.read(2) == b"\x1f\x8b"


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON lines file, each with its `file:line`. Raises `DataError` for any other line."""
    for where, text in lines(path):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: expected a JSON object, got {text[:40]!r} ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, got {type(row).__name__}")
        if "\\ud" in text.lower() and any("\ud800" <= c <= "\udfff" for c in json.dumps(row, ensure_ascii=False)):
            raise DataError(
                f"{where}: expected whole characters, got half of a surrogate pair; fix: correct the \\u escape"
            )
        yield where, row


def columns(path: Path, count: int, separator: str | None, names: str) -> Iterator[tuple[str, list[str]]]:
    """The fields of a file with `count` columns, each line with its `file:line`.

    `separator` None means any white space; `names` lists the columns for the error. Raises `DataError` for a line with
    another number of columns.
    """
    for where, text in lines(path):
        fields = text.split(separator) if separator is None else text.split(separator, count - 1)
        if len(fields) != count:
            kind = "white space" if separator is None else "tabs"
            raise DataError(
                f"{where}: expected {count} columns separated by {kind} ({names}), got {len(fields)}: {text[:60]!r}"
            )
        yield where, fields


def first_existing(folder: Path, *names: str) -> Path:
    """The first of these files that exists, plain or `.gz`. Raises `DataError` if none of them exists."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise DataError(
        f"{folder}: expected {' or '.join(names)} (or .gz) in this folder, got none; fix: correct the path of the collection"
    )
