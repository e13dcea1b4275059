"""What tells one state of a collection from another without reading it whole: the key of what is remembered of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from coterie.tasks.collections.pydoc import pydoc_key
from coterie.tasks.collections.specs import DomainSpec, HuggingFaceSource, IrDatasetsSource, PydocSource
from coterie.tasks.errors import DataError

_HASHED = 1 << 20  # bytes: smaller files, those that are edited by hand, are hashed, whatever their times say


def source_key(spec: DomainSpec) -> list[Any]:
    """Versions and commits, and the state of every file that is read: through links, in nested folders, with ``.gz`` or not.

    A file that does not exist is in the key too, where one that would be read instead of another may come later.
    """
    if isinstance(spec, PydocSource):
        return pydoc_key()
    if isinstance(spec, IrDatasetsSource):
        return [spec.id, _ir_datasets_version(), os.environ.get("IR_DATASETS_HOME")]
    key: list[Any] = _revisions(spec) if isinstance(spec, HuggingFaceSource) else []
    for place in spec.files():
        if place.is_dir():
            key += [_state(path) for path in (*_below(place), *_elsewhere(place))]
        elif place.exists() or not isinstance(spec, HuggingFaceSource):  # else an id on the hub
            key.append(_state(place))
    return key


def _state(path: Path) -> list[Any]:
    """A small file by its content; a large one by all that the file system knows of it, which a replacement with the same
    size and times does not have.
    """
    try:
        found = path.stat()
        if found.st_size <= _HASHED:
            return [str(path), hashlib.sha256(path.read_bytes()).hexdigest()]
    except OSError:
        return [str(path), None]
    return [str(path), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino]


def _below(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """The files in a folder and in those below it, in order, through links, but not around in a circle."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _below(path, (*above, here))
        elif path.is_file():
            yield path


def _elsewhere(folder: Path) -> Iterator[Path]:
    """The files that a dataset's README.md names outside of its folder."""
    try:
        _, *front = (folder / "README.md").read_text("utf8").split("---\n")
        configurations = yaml.safe_load(front[0])["configs"] if front else []
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return
    for pattern in sorted(set(_texts(configurations))):
        if pattern.startswith("/") or ".." in Path(pattern).parts:
            place = Path(os.path.normpath(folder / pattern))
            fixed = next((p for p in place.parents if not any(c in str(p) for c in "*?[")), place)
            yield from sorted(p for p in fixed.glob(str(place.relative_to(fixed))) if p.is_file())


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _ir_datasets_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ir-datasets")
    except PackageNotFoundError:
        return None


def _revisions(spec: HuggingFaceSource) -> list[str]:
    """The commits that are read: those of the specification, else the hub's newest; none for a local folder."""
    from huggingface_hub import dataset_info

    found = []
    for dataset, revision in ((spec.dataset, spec.revision), (spec.qrels_dataset, spec.qrels_revision)):
        if dataset is None or Path(dataset).exists():
            continue
        try:
            found.append(revision or str(dataset_info(dataset).sha))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{dataset}: the hub does not tell its newest revision: {' '.join(str(error).split())[:120]}; "
                f"fix: name a revision (a commit), or the network"
            ) from None
    return found
