"""Identify the current state of a collection without reading all of it, as a cache key for what was read from it."""

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

MAX_HASHED_BYTES = 1 << 20  # smaller files are hashed, because people edit those by hand


def source_key(spec: DomainSpec) -> list[Any]:
    """A JSON key that changes with the collection: versions, commits and the state of every file that may be read.

    Links and nested folders are followed, and gzipped variants included. Files that do not exist are in the key too,
    because one that is created later may be read instead of another. Raises `DataError` if the hub cannot be reached.
    """
    if isinstance(spec, PydocSource):
        return pydoc_key()
    if isinstance(spec, IrDatasetsSource):
        return [spec.id, _ir_datasets_version(), os.environ.get("IR_DATASETS_HOME")]
    key: list[Any] = _hub_revisions(spec) if isinstance(spec, HuggingFaceSource) else []
    for path in spec.files():
        if path.is_dir():
            key += [_file_state(file) for file in (*_files_below(path), *_files_named_by_readme(path))]
        elif path.exists() or not isinstance(spec, HuggingFaceSource):  # else it is a hub id
            key.append(_file_state(path))
    return key


def _file_state(path: Path) -> list[Any]:
    """The path of a file with the hash of its content or, for a large one, metadata that change with any replacement."""
    try:
        stat = path.stat()
        if stat.st_size <= MAX_HASHED_BYTES:
            return [str(path), hashlib.sha256(path.read_bytes()).hexdigest()]
    except OSError:
        return [str(path), None]
    return [str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_dev, stat.st_ino]


def _files_below(folder: Path, parents: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """All files in a folder and its subfolders, in order. Links are followed, but not back to a parent."""
    stat = folder.stat()
    identity = (stat.st_dev, stat.st_ino)
    if identity in parents:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files_below(path, (*parents, identity))
        elif path.is_file():
            yield path


def _files_named_by_readme(folder: Path) -> Iterator[Path]:
    """The files outside the folder that the README.md of a Hugging Face dataset refers to."""
    try:
        _, *front_matter = (folder / "README.md").read_text("utf8").split("---\n")
        configurations = yaml.safe_load(front_matter[0])["configs"] if front_matter else []
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return
    for pattern in sorted(set(_strings_in(configurations))):
        if pattern.startswith("/") or ".." in Path(pattern).parts:
            path = Path(os.path.normpath(folder / pattern))
            root = next((parent for parent in path.parents if not set("*?[") & set(str(parent))), path)
            yield from sorted(file for file in root.glob(str(path.relative_to(root))) if file.is_file())


def _strings_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings_in(inner)


def _ir_datasets_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ir-datasets")
    except PackageNotFoundError:
        return None


def _hub_revisions(spec: HuggingFaceSource) -> list[str]:
    """The commits to read: those of the specification, else the newest on the hub. A local folder has none."""
    from huggingface_hub import dataset_info

    revisions = []
    for dataset, revision in ((spec.dataset, spec.revision), (spec.qrels_dataset, spec.qrels_revision)):
        if dataset is None or Path(dataset).exists():
            continue
        try:
            revisions.append(revision or str(dataset_info(dataset).sha))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{dataset}: cannot get its newest revision from the hub: {' '.join(str(error).split())[:120]}; "
                f"fix: give a revision (a commit), or check the network"
            ) from None
    return revisions
