"""The `data` section of a task file: which collections a task uses, and how many queries and candidates of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
    field_validator,
)

from coterie.tasks.collections.specs import DomainSpec
from coterie.tasks.config.names import RESERVED_DOMAINS

MIN_QUERIES = 2
"""The fewest queries that a split may have."""
Count = int | str
"""A number of queries: `40` (exactly), `"at most 40"`, or `"all"` (every usable query)."""
_AT_MOST = re.compile(r"at most ([0-9]{1,9})")


def count_range(count: Count) -> tuple[int, int | None]:
    """The fewest queries that satisfy a count, and the most that it takes (None: all that are usable).

    Raises `ValueError` for a text that is not a count.
    """
    if isinstance(count, int):
        return count, count
    if count == "all":
        return MIN_QUERIES, None
    if at_most := _AT_MOST.fullmatch(count):
        return MIN_QUERIES, int(at_most[1])
    raise ValueError(f"not a count: {count!r}")


def _check_count(value: Any) -> Any:
    problem = ValueError(f"expected a whole number of at least {MIN_QUERIES}, 'all' or 'at most N'")
    if type(value) is not int and not isinstance(value, str):  # a bool is no count
        raise problem
    try:
        least, most = count_range(value)
    except ValueError:
        raise problem from None
    if least < MIN_QUERIES or (most is not None and most < MIN_QUERIES):
        raise problem
    return value


def _check_counts(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _check_count(value)
    for name, count in value.items():
        try:
            _check_count(count)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return value


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueryCounts(_Spec):
    """The number of queries of each split."""

    discovery: StrictInt = Field(default=64, ge=MIN_QUERIES)
    """Queries for methods to discover coalitions on."""
    heldout: StrictInt = Field(default=64, ge=MIN_QUERIES)
    """Queries of the same domain for judging."""
    transfer: Annotated[Count | dict[str, Count], BeforeValidator(_check_counts)] = 48
    """Queries of each transfer domain: one count for all domains, or one per domain by name."""


class DataSpec(_Spec):
    """The collections of a task, and which part of them the task uses."""

    source: DomainSpec
    """The domain of the discovery and held-out queries."""
    transfer: tuple[DomainSpec, ...] = ()
    """Other domains to judge on."""
    candidates: StrictInt = Field(default=10, ge=2)
    """Documents to rank per query."""
    random_candidates: StrictInt = Field(default=0, ge=0)
    """How many of these candidates are drawn at random instead of from the top of BM25."""
    document_words: StrictInt | None = Field(default=None, ge=1)
    """Number of words to truncate documents to, so that objectives see only what the reranker reads; None keeps all."""
    source_trained: StrictBool = False
    """Whether the reranker was trained on the source. If so, 84 % of its queries, chosen by a hash of their ids, are set
    aside for training and never judged; discovery and held-out queries come from the rest."""
    queries: QueryCounts = QueryCounts()
    """Queries of each split."""
    revision: str | None = None
    """Revision of the texts that published results were made with; other texts cause a warning."""

    @field_validator("transfer")
    @classmethod
    def _names_differ(cls, domains: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [domain.name for domain in domains]
        if len(set(names)) < len(names) or set(names) & set(RESERVED_DOMAINS):
            raise ValueError(
                f"expected domains with different names other than {', '.join(RESERVED_DOMAINS)}, got {names} (fix: give "
                f"each a name)"
            )
        return domains

    @field_validator("random_candidates")
    @classmethod
    def _leaves_room_for_relevant_ones(cls, count: int, info: ValidationInfo) -> int:
        candidates = info.data.get("candidates")
        if candidates is not None and count >= candidates:
            raise ValueError(
                f"expected fewer than candidates, {candidates}, because a relevant document is always among them (fix: "
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
                f"transfer: expected one count for each of {names or 'no domain'}, got counts for {list(transfer)} (fix: "
                f"one number or 'all' for all domains, or exactly these names)"
            )
        return counts

    def transfer_count(self, domain: str) -> Count:
        """The number of queries requested of a transfer domain."""
        counts = self.queries.transfer
        return counts[domain] if isinstance(counts, dict) else counts

    def most_queries(self, actual: Mapping[str, int] | None = None) -> dict[str, int | None]:
        """The most queries of each split: `discovery`, `heldout` and each transfer domain.

        `actual` holds the numbers that were read, if they are known. None marks a split that takes all usable queries, whose
        number is known only after reading.
        """
        most: dict[str, int | None] = {"discovery": self.queries.discovery, "heldout": self.queries.heldout}
        most |= {domain.name: count_range(self.transfer_count(domain.name))[1] for domain in self.transfer}
        return {split: (actual or {}).get(split, count) for split, count in most.items()}

    def most_pairs(self, actual: Mapping[str, int] | None = None) -> int:
        """The most query-document pairs over all splits. A split of unknown size counts with `MIN_QUERIES`."""
        return self.candidates * sum(count or MIN_QUERIES for count in self.most_queries(actual).values())
