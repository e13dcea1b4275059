"""Readers of local files: BEIR folders, TREC files and MS MARCO's top-1000 file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coterie.tasks.collections.files import columns, first_existing, json_lines, lines
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
from coterie.tasks.collections.specs import BeirSource, Top1000Source, TrecSource
from coterie.tasks.errors import DataError

_QUERY_HEADERS = ("query-id", "queryid", "query", "qid", "topic")  # names of the first column in TSV headers


class BeirReader(Reader):
    """Reads a BEIR folder."""

    def __init__(self, spec: BeirSource) -> None:
        self._folder, self._run, self._qrels = Path(spec.path), spec.run, spec.qrels_files()

    def queries(self) -> Iterator[Text]:
        return read_texts(first_existing(self._folder, "queries.jsonl"))

    def qrels(self) -> Iterator[Judgement]:
        return read_qrels(first_existing(self._folder, *self._qrels))

    def run(self) -> Iterator[Scored] | None:
        return read_run(first_existing(self._folder, self._run)) if self._run else None

    def documents(self, needed: Needed) -> Iterator[Text]:
        return read_texts(first_existing(self._folder, "corpus.jsonl"))


class TrecReader(Reader):
    """Reads queries, documents, TREC qrels and a TREC run from separate files."""

    def __init__(self, spec: TrecSource) -> None:
        self._spec = spec

    def queries(self) -> Iterator[Text]:
        return read_texts(Path(self._spec.queries))

    def qrels(self) -> Iterator[Judgement]:
        return read_qrels(Path(self._spec.qrels))

    def run(self) -> Iterator[Scored] | None:
        return read_run(Path(self._spec.run)) if self._spec.run else None

    def documents(self, needed: Needed) -> Iterator[Text]:
        return read_texts(Path(self._spec.documents))


class Top1000Reader(Reader):
    """Reads MS MARCO's top-1000 file, which combines queries, passages and candidates; its order is the ranking."""

    def __init__(self, spec: Top1000Source) -> None:
        self._path, self._qrels = Path(spec.path), Path(spec.qrels)

    def queries(self) -> Iterator[Text]:
        return _without_repeats((where, q, text) for where, (q, _, text, _) in self._rows())

    def qrels(self) -> Iterator[Judgement]:
        return read_qrels(self._qrels)

    def run(self) -> Iterator[Scored]:
        return ((where, q, d, -float(i)) for i, (where, (q, d, _, _)) in enumerate(self._rows()))

    def documents(self, needed: Needed) -> Iterator[Text]:
        rows = ((where, d, text) for where, (_, d, _, text) in self._rows())
        return _without_repeats(row for row in rows if needed is None or row[1] in needed)

    def _rows(self) -> Iterator[tuple[str, list[str]]]:
        return columns(self._path, 4, "\t", "query id, passage id, query, passage")


def _without_repeats(rows: Iterator[Text]) -> Iterator[Text]:
    """Yield each id once: the file repeats a query per candidate and a passage per query.

    An id with a different text is yielded as well, for the caller to refuse.
    """
    seen: dict[str, str] = {}
    for where, text_id, text in rows:
        if seen.get(text_id) != text:
            seen.setdefault(text_id, text)
            yield where, text_id, text


def read_texts(path: Path) -> Iterator[Text]:
    """Ids and texts, from JSON lines with BEIR's fields or from a TSV of id and text."""
    if ".jsonl" in path.suffixes or ".json" in path.suffixes:
        for where, row in json_lines(path):
            yield where, id_in(where, row, "_id"), title_and_text(where, row)
        return
    for where, (text_id, text) in columns(path, 2, "\t", "id, text"):
        yield where, text_id, text.strip()


def read_qrels(path: Path) -> Iterator[Judgement]:
    """Judgements, from TREC qrels (query, iteration, document, grade) or BEIR's TSV (query, document, grade; header)."""
    if ".tsv" in path.suffixes and _columns_of_first_line(path) == 3:
        for i, (where, (query_id, document_id, grade)) in enumerate(columns(path, 3, "\t", "query, document, grade")):
            if i or query_id.strip().lower().replace("_", "-") not in _QUERY_HEADERS:
                yield where, query_id, document_id, to_grade(where, grade)
        return
    for where, (query_id, _, document_id, grade) in columns(path, 4, None, "query, iteration, document, grade"):
        yield where, query_id, document_id, to_grade(where, grade)


def _columns_of_first_line(path: Path) -> int:
    return next((len(text.split("\t")) for _, text in lines(path)), 0)


def read_run(path: Path) -> Iterator[Scored]:
    """Candidates and scores from a TREC run: query, Q0, document, rank, score, tag."""
    for where, (query_id, _, document_id, _, score, _) in columns(
        path, 6, None, "query, Q0, document, rank, score, tag"
    ):
        try:
            yield where, query_id, document_id, float(score)
        except ValueError:
            raise DataError(f"{where}: expected a score, got {score!r}") from None
