"""The formats of collections, each as the same four streams: queries, judgements, a run where there is one, documents."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from coterie.tasks.collections.files import columns, found, json_lines, lines
from coterie.tasks.collections.specs import (
    BeirSource,
    HuggingFaceSource,
    IrDatasetsSource,
    Top1000Source,
    TrecSource,
)
from coterie.tasks.errors import DataError

Text = tuple[str, str, str]  # where, id, text
Judgement = tuple[str, str, str, int]  # where, query id, document id, grade
Scored = tuple[str, str, str, float]  # where, query id, document id, score
Needed = frozenset[str] | None  # the documents that are wanted; None for all


class Source(ABC):
    """One collection, read as streams; each item says where it stands (``file:line``). No stream is read twice at once."""

    @abstractmethod
    def queries(self) -> Iterator[Text]: ...

    @abstractmethod
    def qrels(self) -> Iterator[Judgement]: ...

    def run(self) -> Iterator[Scored] | None:
        """The candidates with their scores, or None where the collection brings none."""
        return None

    @abstractmethod
    def documents(self, needed: Needed) -> Iterator[Text]:
        """The documents; a source that can look them up gives the needed ones only."""


class Beir(Source):
    """A BEIR folder."""

    def __init__(self, spec: BeirSource) -> None:
        self._folder, self._run, self._qrels = Path(spec.path), spec.run, spec.judgements()

    def queries(self) -> Iterator[Text]:
        return _texts(found(self._folder, "queries.jsonl"))

    def qrels(self) -> Iterator[Judgement]:
        return read_qrels(found(self._folder, *self._qrels))

    def run(self) -> Iterator[Scored] | None:
        return read_run(found(self._folder, self._run)) if self._run else None

    def documents(self, needed: Needed) -> Iterator[Text]:
        return _texts(found(self._folder, "corpus.jsonl"))


class Trec(Source):
    """Queries and documents in files of their own, TREC qrels and run."""

    def __init__(self, spec: TrecSource) -> None:
        self._spec = spec

    def queries(self) -> Iterator[Text]:
        return _texts(Path(self._spec.queries))

    def qrels(self) -> Iterator[Judgement]:
        return read_qrels(Path(self._spec.qrels))

    def run(self) -> Iterator[Scored] | None:
        return read_run(Path(self._spec.run)) if self._spec.run else None

    def documents(self, needed: Needed) -> Iterator[Text]:
        return _texts(Path(self._spec.documents))


class Top1000(Source):
    """MS MARCO's top-1000 file, where queries, passages and candidates stand together; the order is the ranking."""

    def __init__(self, spec: Top1000Source) -> None:
        self._path, self._qrels = Path(spec.path), Path(spec.qrels)

    def queries(self) -> Iterator[Text]:
        return self._once((where, q, text) for where, (q, _, text, _) in self._rows())

    def qrels(self) -> Iterator[Judgement]:
        return read_qrels(self._qrels)

    def run(self) -> Iterator[Scored]:
        return ((where, q, d, -float(i)) for i, (where, (q, d, _, _)) in enumerate(self._rows()))

    def documents(self, needed: Needed) -> Iterator[Text]:
        rows = ((where, d, text) for where, (_, d, _, text) in self._rows())
        return self._once(row for row in rows if needed is None or row[1] in needed)

    def _once(self, rows: Iterator[Text]) -> Iterator[Text]:
        """A query stands once for each candidate, a passage once for each query; another text is for who reads to refuse."""
        seen: dict[str, str] = {}
        for where, one_id, text in rows:
            if seen.get(one_id) != text:
                seen.setdefault(one_id, text)
                yield where, one_id, text

    def _rows(self) -> Iterator[tuple[str, list[str]]]:
        return columns(self._path, 4, "\t", "query id, passage id, query, passage")


class IrDatasets(Source):
    """A dataset of the package ir_datasets."""

    def __init__(self, spec: IrDatasetsSource) -> None:
        try:
            import ir_datasets

            for name in list(logging.root.manager.loggerDict):  # its retries; what fails is told once, below
                if name.startswith("ir_datasets"):
                    logging.getLogger(name).setLevel(logging.ERROR)
        except ImportError:
            raise DataError(
                f"{spec.id}: expected the package ir_datasets, got none; fix: pip install 'coterie[ir-datasets]'"
            ) from None
        try:
            self._dataset: Any = ir_datasets.load(spec.id)
        except KeyError:
            raise DataError(
                f"{spec.id}: unknown to ir_datasets {ir_datasets.__version__}; fix: an id of ir-datasets.com"
            ) from None
        self._id = spec.id

    def queries(self) -> Iterator[Text]:
        for i, query in enumerate(self._stream("queries")):
            yield f"{self._id} query {i + 1}", query.query_id, query.default_text().strip()

    def qrels(self) -> Iterator[Judgement]:
        for i, judged in enumerate(self._stream("qrels")):
            where = f"{self._id} qrel {i + 1}"
            yield where, judged.query_id, judged.doc_id, _grade(where, judged.relevance)

    def run(self) -> Iterator[Scored] | None:
        if not self._dataset.has_scoreddocs():
            return None
        rows = enumerate(self._stream("scoreddocs"))
        return ((f"{self._id} scoreddoc {i + 1}", row.query_id, row.doc_id, float(row.score)) for i, row in rows)

    def documents(self, needed: Needed) -> Iterator[Text]:
        rows = self._stream("docs", needed)
        return ((f"{self._id} document {row.doc_id}", row.doc_id, row.default_text().strip()) for row in rows)

    def _stream(self, what: str, needed: Needed = None) -> Iterator[Any]:
        if not getattr(self._dataset, f"has_{what}")():
            raise DataError(
                f"{self._id}: expected {what}, this dataset has none; fix: an id with docs, queries and qrels"
            )
        try:
            if needed is None:
                yield from getattr(self._dataset, f"{what}_iter")()
            else:
                yield from self._dataset.docs_store().get_many(sorted(needed)).values()
        except OSError as error:  # a download that fails
            raise DataError(
                f"{self._id}: {what} cannot be read: {error}; fix: the network, or IR_DATASETS_HOME"
            ) from None


class HuggingFace(Source):
    """A dataset in BEIR's three configurations."""

    def __init__(self, spec: HuggingFaceSource) -> None:
        self._spec = spec

    def queries(self) -> Iterator[Text]:
        return self._texts("queries")

    def qrels(self) -> Iterator[Judgement]:
        dataset, revision = self._spec.dataset, self._spec.revision
        if self._spec.qrels_dataset is not None:
            dataset, revision = self._spec.qrels_dataset, self._spec.qrels_revision
        for where, row in _hugging_face(dataset, revision, self._spec.qrels, self._spec.split):
            yield where, *(_field(where, row, n) for n in ("query-id", "corpus-id")), _grade(where, row.get("score"))  # type: ignore[misc]

    def documents(self, needed: Needed) -> Iterator[Text]:
        return self._texts("corpus")

    def _texts(self, configuration: str) -> Iterator[Text]:
        for where, row in _hugging_face(self._spec.dataset, self._spec.revision, configuration, configuration):
            yield where, _field(where, row, "_id"), _joined(where, row)


class HuggingFaceRows(Source):
    """A dataset of rows: a query, its relevant texts and others. Ids are made: of rows by number, of texts by hash."""

    def __init__(self, spec: HuggingFaceSource) -> None:
        self._spec = spec

    def queries(self) -> Iterator[Text]:
        return ((where, str(i), " ".join(_listed(where, row, self._spec.query))) for i, where, row in self._rows())

    def qrels(self) -> Iterator[Judgement]:
        for i, where, row in self._rows():
            yield from ((where, str(i), _id_of(text), 1) for text in _listed(where, row, self._spec.positive))

    def run(self) -> Iterator[Scored] | None:
        if self._spec.negatives is None:
            return None
        return self._pools()

    def documents(self, needed: Needed) -> Iterator[Text]:
        seen = set()
        for _, where, row in self._rows():
            for text in self._texts(where, row):
                if (text_id := _id_of(text)) not in seen:
                    seen.add(text_id)
                    yield where, text_id, text

    def _pools(self) -> Iterator[Scored]:
        for i, where, row in self._rows():
            texts = dict.fromkeys(self._texts(where, row))
            yield from ((where, str(i), _id_of(text), -float(place)) for place, text in enumerate(texts))

    def _texts(self, where: str, row: dict[str, Any]) -> list[str]:
        return [text for name in (self._spec.positive, self._spec.negatives) for text in _listed(where, row, name)]

    def _rows(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        wanted = [n for n in (self._spec.query, self._spec.positive, self._spec.negatives) if n]
        for i, (where, row) in enumerate(
            _hugging_face(self._spec.dataset, self._spec.revision, None, self._spec.split)
        ):
            for name in wanted:
                if row.get(name) is None:
                    raise DataError(
                        f"{where}: expected a column {name!r}, got {sorted(row)}; fix: query, positive, negatives"
                    )
            yield i, where, row


_HEADERS = ("query-id", "queryid", "query", "qid", "topic")  # first column of a TSV's header


def read_qrels(path: Path) -> Iterator[Judgement]:
    """TREC qrels (query, iteration, document, grade) or BEIR's TSV (query, document, grade, under a header)."""
    if ".tsv" in path.suffixes and _first_width(path) == 3:
        for i, (where, (query_id, document_id, grade)) in enumerate(columns(path, 3, "\t", "query, document, grade")):
            if i or query_id.strip().lower().replace("_", "-") not in _HEADERS:
                yield where, query_id, document_id, _grade(where, grade)
        return
    for where, (query_id, _, document_id, grade) in columns(path, 4, None, "query, iteration, document, grade"):
        yield where, query_id, document_id, _grade(where, grade)


def read_run(path: Path) -> Iterator[Scored]:
    """A TREC run: query, Q0, document, rank, score, tag."""
    for where, (query_id, _, document_id, _, score, _) in columns(
        path, 6, None, "query, Q0, document, rank, score, tag"
    ):
        try:
            yield where, query_id, document_id, float(score)
        except ValueError:
            raise DataError(f"{where}: expected a score, got {score!r}") from None


def _texts(path: Path) -> Iterator[Text]:
    """(where, id, text) of JSON lines in BEIR's fields, or of a TSV of id and text."""
    if ".jsonl" in path.suffixes or ".json" in path.suffixes:
        for where, row in json_lines(path):
            yield where, _field(where, row, "_id"), _joined(where, row)
        return
    for where, (one_id, text) in columns(path, 2, "\t", "id, text"):
        yield where, one_id, text.strip()


def _joined(where: str, row: dict[str, Any]) -> str:
    """Title and text, joined by a space."""
    parts = []
    for name, part in (("title", row.get("title") or ""), ("text", row.get("text"))):
        if not isinstance(part, str):
            raise DataError(f"{where}: {name}: expected a text, got {part!r:.60}; fields: {sorted(row)[:8]}")
        parts.append(part.strip())
    return " ".join(part for part in parts if part)


def _field(where: str, row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise DataError(f"{where}: {name}: expected an id, got {value!r}; fields: {sorted(row)[:8]}")
    return str(value)


def _grade(where: str, value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer():
        raise DataError(f"{where}: grade: expected a whole number, got {value!r}")
    return int(number)


def _first_width(path: Path) -> int:
    return next((len(text.split("\t")) for _, text in lines(path)), 0)


def _listed(where: str, row: dict[str, Any], column: str | None) -> list[str]:
    """The text or texts of a column."""
    value = row[column] if column else []
    texts = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: {column}: expected a text or a list of texts, got {value!r:.60}")
    return [text.strip() for text in texts]


def _id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hugging_face(
    dataset: str, revision: str | None, configuration: str | None, split: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    name = f"{dataset}{f'/{configuration}' if configuration else ''} {split}"
    try:
        with _without_wildcards(dataset) as place:
            rows = load_dataset(place, configuration, split=split, revision=revision, streaming=True)
            for i, row in enumerate(rows):
                yield f"{name} row {i + 1}", row
    except DataError:
        raise  # of whoever reads these rows
    except (OSError, ValueError, DatasetGenerationError) as error:
        raise DataError(
            f"{name}: cannot be read: {' '.join(str(error).split())[:200]}; fix: dataset, split and revision, or the network"
        ) from None


@contextmanager
def _without_wildcards(dataset: str) -> Iterator[str]:
    """The dataset; a folder whose path datasets would take for a pattern (``data[1]``) as a folder of links elsewhere."""
    source = Path(dataset).absolute()
    if not source.is_dir() or not set("*?[") & set(str(source.resolve())):
        yield dataset
        return
    with TemporaryDirectory(prefix="coterie-") as copy:
        for folder, _, names in os.walk(source):
            there = Path(copy, Path(folder).relative_to(source))
            there.mkdir(exist_ok=True)
            for name in names:
                (there / name).symlink_to(Path(folder, name))
        yield copy
