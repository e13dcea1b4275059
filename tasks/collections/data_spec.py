"""Which texts a task is made of and how many queries of them: as it is written in its file, and how queries are split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from coterie.tasks.collections.candidates import in_hash_order, split_of
from coterie.tasks.collections.specs import DomainSpec
from coterie.tasks.collections.types import Domain
from coterie.tasks.config.names import RESERVED
from coterie.tasks.config.numbers import Flag, Whole
from coterie.tasks.errors import DataError

FEWEST = 2  # queries of a split
_AT_MOST = re.compile(r"at most ([0-9]{1,9})")
Count = int | str  # a number, "all" usable queries, or "at most 40" of them


def _count(value: Any) -> Any:
    """A count as it is. Raises ``ValueError`` for anything else."""
    least, most = (value, value) if type(value) is int else bounds(value) if isinstance(value, str) else (0, 0)
    if least < FEWEST or (most is not None and most < FEWEST):
        raise ValueError(f"expected a whole number from {FEWEST} on, 'all' or 'at most {FEWEST}' and more")
    return value


def bounds(count: Count) -> tuple[int, int | None]:
    """The fewest queries that will do, and the most that are taken; None for all that are usable."""
    if isinstance(count, int):
        return count, count
    found = _AT_MOST.fullmatch(count)
    return (FEWEST if count == "all" or found else 0), (int(found[1]) if found else None)


def _counts(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _count(value)
    for name, count in value.items():
        try:
            _count(count)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return value


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueryCounts(_Spec):
    """Queries of each split; ``transfer`` is for each transfer domain, or by the domain's name. ``all``: all usable ones."""

    discovery: Whole = Field(default=64, ge=FEWEST)
    heldout: Whole = Field(default=64, ge=FEWEST)
    transfer: Annotated[Count | dict[str, Count], BeforeValidator(_counts)] = 48


class DataSpec(_Spec):
    """Which texts, how many of them, and the revision that published results were made with.

    Where the reranker was trained on the source (``source_trained``), 84 % of its queries, by a hash of their ids, are
    for training and never judged; discovery and held-out queries are taken from the rest. ``random_candidates`` of a
    query's ``candidates`` are drawn at random instead of from the top of BM25. ``document_words`` cuts every document to
    that many words, so that an objective is computed on what the reranker reads.
    """

    source: DomainSpec
    transfer: tuple[DomainSpec, ...] = ()
    candidates: Whole = Field(default=10, ge=2)
    random_candidates: Whole = Field(default=0, ge=0)
    document_words: Whole | None = Field(default=None, ge=1)
    source_trained: Flag = False
    queries: QueryCounts = QueryCounts()
    revision: str | None = None

    @field_validator("transfer")
    @classmethod
    def _names_differ(cls, domains: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [domain.name for domain in domains]
        if len(set(names)) < len(names) or set(names) & set(RESERVED):
            raise ValueError(
                f"expected domains of different names, none of them {', '.join(RESERVED)}, got {names} (fix: give each a name)"
            )
        return domains

    @field_validator("random_candidates")
    @classmethod
    def _some_are_ranked(cls, count: int, info: ValidationInfo) -> int:
        candidates = info.data.get("candidates")
        if candidates is not None and count >= candidates:
            raise ValueError(
                f"expected fewer than candidates, {candidates}: a relevant one is always among them (fix: "
                f"random_candidates: {candidates - 1})"
            )
        return count

    @field_validator("queries")
    @classmethod
    def _each_domain_has_a_count(cls, counts: QueryCounts, info: ValidationInfo) -> QueryCounts:
        domains, transfer = info.data.get("transfer"), counts.transfer
        if domains is None or not isinstance(transfer, dict):
            return counts
        names = [domain.name for domain in domains]
        if set(transfer) != set(names):
            raise ValueError(
                f"transfer: expected a number of queries for each of {names or 'no domain'}, got some for {list(transfer)} (fix: "
                f"one number or 'all' for all domains, or exactly these names)"
            )
        return counts

    def transfer_count(self, domain: str) -> Count:
        """How many queries of a transfer domain are asked for."""
        counts = self.queries.transfer
        return counts[domain] if isinstance(counts, dict) else counts

    def most_queries(self, found: Mapping[str, int] | None = None) -> dict[str, int | None]:
        """The most queries of each split: ``discovery``, ``heldout``, and each transfer domain.

        None where all are asked for and ``found``, the numbers of those that were read, does not say how many there are.
        """
        most: dict[str, int | None] = {"discovery": self.queries.discovery, "heldout": self.queries.heldout}
        most |= {domain.name: bounds(self.transfer_count(domain.name))[1] for domain in self.transfer}
        return {split: (found or {}).get(split, count) for split, count in most.items()}

    def most_pairs(self, found: Mapping[str, int] | None = None) -> int:
        """The most query-document pairs of all splits; a split whose number nothing says counts with the fewest queries."""
        return self.candidates * sum(count or FEWEST for count in self.most_queries(found).values())


def split_queries(data: DataSpec, transfer: str | None, query_ids: list[str]) -> dict[str, list[str]]:
    """The queries of each split of the source, ``discovery`` and ``heldout``, or of the transfer domain of that name.

    None stands in two splits, none was trained on: by the hash of their ids where part of the source is for training,
    else one after the other in hash order. Raises ``DataError`` for too few queries.
    """
    wanted = data.queries
    if transfer is not None:
        return {transfer: _take(in_hash_order(query_ids), data.transfer_count(transfer), transfer)}
    name = data.source.name
    if data.source_trained:
        of = {s: in_hash_order([q for q in query_ids if split_of(q) == s]) for s in ("discovery", "heldout")}
        return {s: _take(ids, getattr(wanted, s), f"{name}/{s}") for s, ids in of.items()}
    both = _take(in_hash_order(query_ids), wanted.discovery + wanted.heldout, name)
    return {"discovery": both[: wanted.discovery], "heldout": both[wanted.discovery :]}


def cut(domain: Domain, words: int | None) -> Domain:
    """The domain with every document cut to its first ``words`` words."""
    if words is None:
        return domain
    return replace(domain, documents={d: " ".join(text.split()[:words]) for d, text in domain.documents.items()})


def _take(query_ids: list[str], count: Count, where: str) -> list[str]:
    least, most = bounds(count)
    if len(query_ids) < least:
        raise DataError(
            f"data.queries: {where} has {len(query_ids)} queries, {least} asked for; fix: "
            + ("another collection" if isinstance(count, str) else "ask for fewer")
        )
    return query_ids[:most]
