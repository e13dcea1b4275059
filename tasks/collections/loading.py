"""Load a domain: first judgements, queries and run, then one pass over the documents, which keeps only the needed ones.

A fault in a collection is either an error, or is dropped and counted. *An error*, with file and line: an id with two
different texts, a pair with two different grades, a score that is not finite, a broken file. *Dropped and counted* in
`Domain.notes`: repeated lines, empty texts, queries without a judgement, a relevant document or a candidate, and documents
in run or judgements that the collection lacks (an error if more than half of them are missing).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from coterie.tasks.collections.file_readers import BeirReader, Top1000Reader, TrecReader
from coterie.tasks.collections.library_readers import HuggingFaceReader, HuggingFaceRowsReader, IrDatasetsReader
from coterie.tasks.collections.pydoc import load_pydoc
from coterie.tasks.collections.reader import Reader, Text
from coterie.tasks.collections.specs import (
    BeirSource,
    DomainSpec,
    HuggingFaceSource,
    IrDatasetsSource,
    PydocSource,
    Top1000Source,
    TrecSource,
)
from coterie.tasks.collections.splits import in_hash_order
from coterie.tasks.collections.types import Domain
from coterie.tasks.errors import DataError

MAX_DOCUMENTS = 500_000  # a BM25 index over more would not fit into memory together with a model
Choose = Callable[[list[str]], list[str]]


def load_domain(spec: DomainSpec, choose: Choose | None = None, depth: int | None = None) -> Domain:
    """Read one domain.

    `choose` receives the ids of the usable queries (with a text, a relevant document and, if there is a run, a candidate)
    and returns those to keep. With a run, only the `depth` best candidates of these queries and their relevant documents
    are kept while the documents stream by; without one, all documents are read, at most 500,000. Raises `DataError` as
    described above.
    """
    if isinstance(spec, PydocSource):
        return _load_pydoc_domain(spec, choose)
    reader, notes = _reader(spec), Counter[str]()
    grades = _read_grades(reader, spec, notes)
    queries = _read_texts(reader.queries(), "query", notes)
    pools = _read_pools(reader, spec, grades, notes)
    chosen = _choose_queries(queries, grades, pools, choose, notes)
    pools = {q: pools[q][:depth] for q in chosen} if pools is not None else None
    grades = {q: grades[q] for q in chosen}
    relevant = {d for judged in grades.values() for d, grade in judged.items() if grade > 0}
    needed = None if pools is None else frozenset(relevant.union(*pools.values()))
    documents = _read_texts(reader.documents(needed), "document", notes, needed)
    domain = Domain(spec.name, {q: queries[q] for q in chosen}, documents, grades)
    domain = _without_missing_judged(domain, notes) if pools is None else _with_pools(domain, pools, notes)
    return replace(domain, notes=dict(notes))


def _load_pydoc_domain(spec: PydocSource, choose: Choose | None) -> Domain:
    domains = load_pydoc()
    if spec.domain not in domains:
        raise DataError(f"pydoc: expected a domain among {', '.join(domains)}, got {spec.domain!r}")
    domain = replace(domains[spec.domain], name=spec.name)
    if choose is None:
        return domain
    chosen = choose(list(domain.queries))
    return replace(domain, queries={q: domain.queries[q] for q in chosen}, qrels={q: domain.qrels[q] for q in chosen})


def _reader(spec: BeirSource | TrecSource | Top1000Source | IrDatasetsSource | HuggingFaceSource) -> Reader:
    match spec:
        case BeirSource():
            return BeirReader(spec)
        case TrecSource():
            return TrecReader(spec)
        case Top1000Source():
            return Top1000Reader(spec)
        case IrDatasetsSource():
            return IrDatasetsReader(spec)
        case HuggingFaceSource():
            return HuggingFaceReader(spec) if spec.positive is None else HuggingFaceRowsReader(spec)


def _read_grades(reader: Reader, spec: DomainSpec, notes: Counter[str]) -> dict[str, dict[str, int]]:
    first: dict[tuple[str, str], tuple[int, str]] = {}
    grades: dict[str, dict[str, int]] = {}
    for where, query_id, document_id, grade in reader.qrels():
        first_grade, first_where = first.setdefault((query_id, document_id), (grade, where))
        if first_grade != grade:
            raise DataError(
                f"{where}: query {query_id!r}, document {document_id!r}: expected grade {first_grade} as at {first_where}, "
                f"got {grade}; fix: keep one judgement per pair"
            )
        if first_where != where:
            notes["duplicate judgement"] += 1
        kept = grade if grade >= spec.relevant_from else 0
        grades.setdefault(query_id, {})[document_id] = min(kept, 1) if spec.binary else kept
    return grades


def _read_texts(
    rows: Iterable[Text], kind: str, notes: Counter[str], needed: frozenset[str] | None = None
) -> dict[str, str]:
    texts: dict[str, str] = {}
    first: dict[str, str] = {}
    for where, text_id, text in rows:
        if needed is not None and text_id not in needed:
            continue
        if text_id in texts:
            if texts[text_id] != text:
                raise DataError(
                    f"{where}: {kind} {text_id!r}: expected the text of {first[text_id]}, got a different one; fix: keep "
                    f"one text per id"
                )
            notes[f"duplicate {kind}"] += 1
            continue
        texts[text_id], first[text_id] = text, where
        if kind == "document" and needed is None and len(texts) > MAX_DOCUMENTS:
            raise DataError(
                f"{where}: expected at most {MAX_DOCUMENTS} documents to rank with BM25, got more; fix: give a run, so that "
                f"only its documents are read"
            )
    empty = sum(not text.strip() for text in texts.values())
    _count(notes, f"{kind} without text", empty)
    return {text_id: text for text_id, text in texts.items() if text.strip()} if empty else texts


def _read_pools(
    reader: Reader, spec: DomainSpec, grades: Mapping[str, Mapping[str, int]], notes: Counter[str]
) -> dict[str, list[str]] | None:
    """The candidates of each query, best first, ties in descending order of id as in trec_eval; None if BM25 chooses."""
    run = reader.run()
    if run is None:
        if spec.pool == "bm25":
            return None
        # hash order, so that a truncated pool does not depend on the grades or on how documents are numbered
        return {q: in_hash_order(list(judged), q) for q, judged in grades.items()}
    scores: dict[str, dict[str, float]] = {}
    for where, query_id, document_id, score in run:
        if not math.isfinite(score):
            raise DataError(f"{where}: expected a finite score, got {score}")
        of_query = scores.setdefault(query_id, {})
        if document_id in of_query:
            notes["duplicate candidate in the run"] += 1
        of_query[document_id] = max(score, of_query.get(document_id, score))
    return {
        q: [d for d, _ in sorted(sorted(of_query.items(), reverse=True), key=lambda item: -item[1])]
        for q, of_query in scores.items()
    }


def _choose_queries(
    queries: Mapping[str, str],
    grades: Mapping[str, Mapping[str, int]],
    pools: Mapping[str, Sequence[str]] | None,
    choose: Choose | None,
    notes: Counter[str],
) -> list[str]:
    reasons = {
        "query without judgements": lambda q: q not in grades,
        "query without a relevant document": lambda q: not any(g > 0 for g in grades[q].values()),
        "query without candidates": lambda q: pools is not None and not pools.get(q),
    }
    usable = []
    for query_id in queries:
        reason = next((name for name, applies in reasons.items() if applies(query_id)), None)
        if reason is None:
            usable.append(query_id)
        else:
            notes[reason] += 1
    _count(notes, "judged query missing from the collection", sum(q not in queries for q in grades))
    return usable if choose is None else choose(usable)


def _without_missing_judged(domain: Domain, notes: Counter[str]) -> Domain:
    """Drop judged documents that the collection lacks, and queries that keep no relevant one."""
    judged = sum(map(len, domain.qrels.values()))
    kept = {q: {d: g for d, g in grades.items() if d in domain.documents} for q, grades in domain.qrels.items()}
    missing = judged - sum(map(len, kept.values()))
    _check_few_missing(domain, "judged documents", missing, judged)
    _count(notes, "judged document missing from the collection", missing)
    kept = {q: grades for q, grades in kept.items() if any(grade > 0 for grade in grades.values())}
    _count(notes, "query whose relevant documents are all missing", len(domain.qrels) - len(kept))
    return replace(domain, queries={q: domain.queries[q] for q in kept}, qrels=kept)


def _with_pools(domain: Domain, pools: Mapping[str, Sequence[str]], notes: Counter[str]) -> Domain:
    """Add the pools without documents that the collection lacks, and drop queries that keep no candidate."""
    named = sum(map(len, pools.values()))
    kept = {q: [d for d in pool if d in domain.documents] for q, pool in pools.items()}
    missing = named - sum(map(len, kept.values()))
    _check_few_missing(domain, "candidates", missing, named)
    _count(notes, "candidate missing from the collection", missing)
    kept = {q: pool for q, pool in kept.items() if pool}
    _count(notes, "query whose candidates are all missing", len(pools) - len(kept))
    return replace(
        domain,
        queries={q: domain.queries[q] for q in kept},
        qrels={q: domain.qrels[q] for q in kept},
        pools=kept,
    )


def _check_few_missing(domain: Domain, what: str, missing: int, named: int) -> None:
    if missing > named / 2:
        raise DataError(
            f"{domain.name}: expected a document for most of the {named} {what}, got none for {missing}; fix: check that "
            f"the files belong together"
        )


def _count(notes: Counter[str], reason: str, number: int) -> None:
    if number:
        notes[reason] += number
