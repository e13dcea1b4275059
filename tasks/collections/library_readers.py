"""Readers of collections that other packages provide: ir_datasets, and datasets of the Hugging Face hub."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from coterie.tasks.collections.reader import (
    Judgement,
    Needed,
    Reader,
    Scored,
    Text,
    id_in,
    title_and_text,
    to_grade,
)
from coterie.tasks.collections.specs import HuggingFaceSource, IrDatasetsSource
from coterie.tasks.errors import DataError


class IrDatasetsReader(Reader):
    """Reads a dataset of ir_datasets. Raises `DataError` if the package is not installed or does not know the id."""

    def __init__(self, spec: IrDatasetsSource) -> None:
        try:
            import ir_datasets
        except ImportError:
            raise DataError(
                f"{spec.id}: expected the package ir_datasets, which is not installed; fix: pip install "
                f"'coterie[ir-datasets]'"
            ) from None
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("ir_datasets"):  # it logs its retries; a failure is reported once, in _stream
                logging.getLogger(name).setLevel(logging.ERROR)
        try:
            self._dataset: Any = ir_datasets.load(spec.id)
        except KeyError:
            raise DataError(
                f"{spec.id}: unknown to ir_datasets {ir_datasets.__version__}; fix: choose an id from ir-datasets.com"
            ) from None
        self._id = spec.id

    def queries(self) -> Iterator[Text]:
        for i, query in enumerate(self._stream("queries")):
            yield f"{self._id} query {i + 1}", query.query_id, query.default_text().strip()

    def qrels(self) -> Iterator[Judgement]:
        for i, judged in enumerate(self._stream("qrels")):
            where = f"{self._id} qrel {i + 1}"
            yield where, judged.query_id, judged.doc_id, to_grade(where, judged.relevance)

    def run(self) -> Iterator[Scored] | None:
        if not self._dataset.has_scoreddocs():
            return None
        rows = enumerate(self._stream("scoreddocs"))
        return ((f"{self._id} scoreddoc {i + 1}", row.query_id, row.doc_id, float(row.score)) for i, row in rows)

    def documents(self, needed: Needed) -> Iterator[Text]:
        rows = self._stream("docs", needed)
        return ((f"{self._id} document {row.doc_id}", row.doc_id, row.default_text().strip()) for row in rows)

    def _stream(self, kind: str, needed: Needed = None) -> Iterator[Any]:
        if not getattr(self._dataset, f"has_{kind}")():
            raise DataError(
                f"{self._id}: expected a dataset with {kind}, got one without; fix: choose an id with docs, queries and qrels"
            )
        try:
            if needed is None:
                yield from getattr(self._dataset, f"{kind}_iter")()
            else:
                yield from self._dataset.docs_store().get_many(sorted(needed)).values()
        except OSError as error:  # a failed download
            raise DataError(
                f"{self._id}: {kind} cannot be read: {error}; fix: check the network, or IR_DATASETS_HOME"
            ) from None


class HuggingFaceReader(Reader):
    """Reads a dataset in BEIR's three configurations."""

    def __init__(self, spec: HuggingFaceSource) -> None:
        self._spec = spec

    def queries(self) -> Iterator[Text]:
        return self._texts("queries")

    def qrels(self) -> Iterator[Judgement]:
        dataset, revision = self._spec.dataset, self._spec.revision
        if self._spec.qrels_dataset is not None:
            dataset, revision = self._spec.qrels_dataset, self._spec.qrels_revision
        for where, row in _hub_rows(dataset, revision, self._spec.qrels, self._spec.split):
            ids = id_in(where, row, "query-id"), id_in(where, row, "corpus-id")
            yield where, *ids, to_grade(where, row.get("score"))

    def documents(self, needed: Needed) -> Iterator[Text]:
        return self._texts("corpus")

    def _texts(self, configuration: str) -> Iterator[Text]:
        for where, row in _hub_rows(self._spec.dataset, self._spec.revision, configuration, configuration):
            yield where, id_in(where, row, "_id"), title_and_text(where, row)


class HuggingFaceRowsReader(Reader):
    """Reads a dataset of rows, each with a query, its relevant texts and other texts.

    Query ids are row numbers, document ids hashes of the texts.
    """

    def __init__(self, spec: HuggingFaceSource) -> None:
        self._spec = spec

    def queries(self) -> Iterator[Text]:
        return ((where, str(i), " ".join(_texts_in(where, row, self._spec.query))) for i, where, row in self._rows())

    def qrels(self) -> Iterator[Judgement]:
        for i, where, row in self._rows():
            yield from ((where, str(i), _text_id(text), 1) for text in _texts_in(where, row, self._spec.positive))

    def run(self) -> Iterator[Scored] | None:
        return None if self._spec.negatives is None else self._pools()

    def documents(self, needed: Needed) -> Iterator[Text]:
        seen = set()
        for _, where, row in self._rows():
            for text in self._passages(where, row):
                if (text_id := _text_id(text)) not in seen:
                    seen.add(text_id)
                    yield where, text_id, text

    def _pools(self) -> Iterator[Scored]:
        for i, where, row in self._rows():
            texts = dict.fromkeys(self._passages(where, row))
            yield from ((where, str(i), _text_id(text), -float(rank)) for rank, text in enumerate(texts))

    def _passages(self, where: str, row: dict[str, Any]) -> list[str]:
        return [text for name in (self._spec.positive, self._spec.negatives) for text in _texts_in(where, row, name)]

    def _rows(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        required = [n for n in (self._spec.query, self._spec.positive, self._spec.negatives) if n]
        rows = _hub_rows(self._spec.dataset, self._spec.revision, None, self._spec.split)
        for i, (where, row) in enumerate(rows):
            for name in required:
                if row.get(name) is None:
                    raise DataError(
                        f"{where}: expected a column {name!r}, got {sorted(row)}; fix: name the columns in query, positive "
                        f"and negatives"
                    )
            yield i, where, row


def _texts_in(where: str, row: dict[str, Any], column: str | None) -> list[str]:
    """The text or texts in a column; empty without a column."""
    value = row[column] if column else []
    texts = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: {column}: expected a text or a list of texts, got {value!r:.60}")
    return [text.strip() for text in texts]


def _text_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hub_rows(
    dataset: str, revision: str | None, configuration: str | None, split: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    name = f"{dataset}{f'/{configuration}' if configuration else ''} {split}"
    try:
        with _without_wildcards(dataset) as path:
            rows = load_dataset(path, configuration, split=split, revision=revision, streaming=True)
            for i, row in enumerate(rows):
                yield f"{name} row {i + 1}", row
    except (OSError, ValueError, DatasetGenerationError) as error:
        raise DataError(
            f"{name}: cannot be read: {' '.join(str(error).split())[:200]}; fix: check dataset, split, revision and network"
        ) from None


@contextmanager
def _without_wildcards(dataset: str) -> Iterator[str]:
    """Yield the dataset or, for a folder whose path would be read as a pattern (`data[1]`), a copy that consists of links."""
    folder = Path(dataset).absolute()
    if not folder.is_dir() or not set("*?[") & set(str(folder.resolve())):
        yield dataset
        return
    with TemporaryDirectory(prefix="coterie-") as copy:
        for directory, _, names in os.walk(folder):
            target = Path(copy, Path(directory).relative_to(folder))
            target.mkdir(exist_ok=True)
            for name in names:
                (target / name).symlink_to(Path(directory, name))
        yield copy
