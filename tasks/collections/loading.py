"""From a specification to a domain: judgements, queries and run first, then one pass over the documents that are needed.

Defined behaviour for what is wrong in a collection. *An error*, with file and line: an id that stands twice with different
texts, a pair judged twice with different grades, a score that is not finite, a broken file. *Left out and counted* in
``Domain.notes``: repeated lines that say the same, empty texts, queries without a judgement, a relevant document or a
candidate, documents that run or judgements name and the collection lacks (more than half of them: an error).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from coterie.tasks.collections.candidates import in_hash_order
from coterie.tasks.collections.pydoc import load_pydoc
from coterie.tasks.collections.sources import (
    Beir,
    HuggingFace,
    HuggingFaceRows,
    IrDatasets,
    Source,
    Text,
    Top1000,
    Trec,
)
from coterie.tasks.collections.specs import (
    BeirSource,
    DomainSpec,
    HuggingFaceSource,
    IrDatasetsSource,
    PydocSource,
    Top1000Source,
    resolve,
)
from coterie.tasks.collections.state import source_key
from coterie.tasks.collections.types import Domain
from coterie.tasks.errors import DataError

MOST_DOCUMENTS = 500_000  # BM25 over more would not fit beside a model; a run says which documents are needed
Choose = Callable[[list[str]], list[str]]


def load_domain(spec: DomainSpec, choose: Choose | None = None, depth: int | None = None) -> Domain:
    """Read one domain.

    ``choose`` is given the ids of the usable queries (with a text, a relevant document and, where there is a run, a
    candidate) and returns those wanted: only their candidates, the ``depth`` best of the run, and their relevant documents
    are kept while the documents stream by. Without a run all documents are read, at most 500,000. Raises
    :class:`DataError` (see above).
    """
    if isinstance(spec, PydocSource):
        return _pydoc(spec, choose)
    source, notes = _source(spec), Counter[str]()
    grades = _judgements(source, spec, notes)
    queries = _read_texts(source.queries(), "query", notes)
    pools = _pools(source, spec, grades, notes)
    chosen = _chosen(queries, grades, pools, choose, notes)
    pools = {q: pools[q][:depth] for q in chosen} if pools is not None else None
    grades = {q: grades[q] for q in chosen}
    relevant = {d for judged in grades.values() for d, grade in judged.items() if grade > 0}
    needed = None if pools is None else frozenset(relevant.union(*pools.values()))
    documents = _read_texts(source.documents(needed), "document", notes, needed)
    return _complete(Domain(spec.name, {q: queries[q] for q in chosen}, documents, grades), pools, notes)


def _source(spec: DomainSpec) -> Source:
    if isinstance(spec, BeirSource):
        return Beir(spec)
    if isinstance(spec, Top1000Source):
        return Top1000(spec)
    if isinstance(spec, IrDatasetsSource):
        return IrDatasets(spec)
    if isinstance(spec, HuggingFaceSource):
        return HuggingFace(spec) if spec.positive is None else HuggingFaceRows(spec)
    return Trec(spec)  # type: ignore[arg-type]


def _pydoc(spec: PydocSource, choose: Choose | None) -> Domain:
    domains = load_pydoc()
    if spec.domain not in domains:
        raise DataError(f"pydoc: unknown domain {spec.domain!r}; expected one of {', '.join(domains)}")
    domain = replace(domains[spec.domain], name=spec.name)
    if choose is None:
        return domain
    wanted = choose(list(domain.queries))
    return replace(domain, queries={q: domain.queries[q] for q in wanted}, qrels={q: domain.qrels[q] for q in wanted})


def _judgements(source: Source, spec: DomainSpec, notes: Counter[str]) -> dict[str, dict[str, int]]:
    first: dict[tuple[str, str], tuple[int, str]] = {}
    grades: dict[str, dict[str, int]] = {}
    for where, query_id, document_id, grade in source.qrels():
        before = first.setdefault((query_id, document_id), (grade, where))
        if before[0] != grade:
            raise DataError(
                f"{where}: query {query_id!r}, document {document_id!r}: expected grade {before[0]} as at {before[1]}, "
                f"got {grade}; fix: one judgement a pair"
            )
        if before[1] != where:
            notes["judgement that stands twice"] += 1
        counted = grade if grade >= spec.relevant_from else 0
        grades.setdefault(query_id, {})[document_id] = min(counted, 1) if spec.binary else counted
    return grades


def _read_texts(
    rows: Iterable[Text], what: str, notes: Counter[str], needed: frozenset[str] | None = None
) -> dict[str, str]:
    texts: dict[str, str] = {}
    first: dict[str, str] = {}
    for where, one_id, text in rows:
        if needed is not None and one_id not in needed:
            continue
        if one_id in texts:
            if texts[one_id] != text:
                raise DataError(
                    f"{where}: {what} {one_id!r}: another text stands at {first[one_id]}; fix: one text an id"
                )
            notes[f"{what} that stands twice"] += 1
            continue
        texts[one_id], first[one_id] = text, where
        if what == "document" and needed is None and len(texts) > MOST_DOCUMENTS:
            raise DataError(
                f"{where}: more than {MOST_DOCUMENTS} documents, too many to rank with BM25 here; fix: give a run, whose "
                f"documents alone are read"
            )
    empty = [one_id for one_id, text in texts.items() if not text.strip()]
    if empty:
        notes[f"{what} without text"] += len(empty)
    return {one_id: text for one_id, text in texts.items() if text.strip()}


def _pools(
    source: Source, spec: DomainSpec, grades: Mapping[str, Mapping[str, int]], notes: Counter[str]
) -> dict[str, list[str]] | None:
    """The candidates of every query, best first; None where BM25 is to choose. Ties as trec_eval: ids descending."""
    run = source.run()
    if run is None:
        if spec.pool == "bm25":
            return None
        return {q: in_hash_order(list(judged), q) for q, judged in grades.items()}  # which of too many tells nothing
    scored: dict[str, dict[str, float]] = {}
    for where, query_id, document_id, score in run:
        if not math.isfinite(score):
            raise DataError(f"{where}: expected a finite score, got {score}")
        of_query = scored.setdefault(query_id, {})
        if document_id in of_query:
            notes["candidate that stands twice in the run"] += 1
        of_query[document_id] = max(score, of_query.get(document_id, score))
    return {
        q: [d for d, _ in sorted(sorted(of_query.items(), reverse=True), key=lambda item: -item[1])]
        for q, of_query in scored.items()
    }


def _chosen(
    queries: Mapping[str, str],
    grades: Mapping[str, Mapping[str, int]],
    pools: Mapping[str, Sequence[str]] | None,
    choose: Choose | None,
    notes: Counter[str],
) -> list[str]:
    reasons = {
        "query without a judgement": lambda q: q not in grades,
        "query without a relevant document": lambda q: not any(g > 0 for g in grades[q].values()),
        "query without a candidate": lambda q: pools is not None and not pools.get(q),
    }
    usable = []
    for query_id in queries:
        reason = next((name for name, holds in reasons.items() if holds(query_id)), None)
        if reason is None:
            usable.append(query_id)
        else:
            notes[reason] += 1
    textless = sum(q not in queries for q in grades)
    if textless:
        notes["judged query that the collection lacks"] += textless
    return usable if choose is None else choose(usable)


def _complete(domain: Domain, pools: dict[str, list[str]] | None, notes: Counter[str]) -> Domain:
    """The domain with its pools, without the documents that the collection lacks."""
    if pools is None:
        lacking = sum(d not in domain.documents for judged in domain.qrels.values() for d in judged)
        _not_too_many(domain, "judged documents", lacking, sum(map(len, domain.qrels.values())))
        if lacking:
            notes["judged document that the collection lacks"] += lacking
        kept = {q: {d: g for d, g in judged.items() if d in domain.documents} for q, judged in domain.qrels.items()}
        kept = {q: judged for q, judged in kept.items() if any(grade > 0 for grade in judged.values())}
        if len(kept) < len(domain.qrels):
            notes["query whose relevant documents the collection lacks"] += len(domain.qrels) - len(kept)
        return replace(domain, queries={q: domain.queries[q] for q in kept}, qrels=kept, notes=dict(notes))
    named = sum(map(len, pools.values()))
    pools = {q: [d for d in pool if d in domain.documents] for q, pool in pools.items()}
    lacking = named - sum(map(len, pools.values()))
    _not_too_many(domain, "candidates", lacking, named)
    if lacking:
        notes["candidate that the collection lacks"] += lacking
    with_pool = [q for q, pool in pools.items() if pool]
    if len(with_pool) < len(pools):
        notes["query whose candidates the collection lacks"] += len(pools) - len(with_pool)
    return replace(
        domain,
        queries={q: domain.queries[q] for q in with_pool},
        qrels={q: domain.qrels[q] for q in with_pool},
        pools={q: pools[q] for q in with_pool},
        notes=dict(notes),
    )


def _not_too_many(domain: Domain, what: str, lacking: int, named: int) -> None:
    if lacking > named / 2:
        raise DataError(
            f"{domain.name}: {lacking} of the {named} {what} are not among its documents; fix: the files, they do not "
            f"belong together"
        )


__all__ = ["MOST_DOCUMENTS", "load_domain", "resolve", "source_key"]
