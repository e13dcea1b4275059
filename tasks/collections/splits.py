"""Which queries go to which split, by a hash of their ids: stable when other queries are added or removed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from coterie.tasks.collections.data_spec import Count, DataSpec, count_range
from coterie.tasks.errors import DataError

SPLITS = {"train": 0.80, "dev": 0.84, "discovery": 0.92, "heldout": 1.0}
"""The splits of a source that the reranker was trained on, each with the upper bound of its hashes in [0, 1)."""


def split_of(query_id: str) -> str:
    """The split of a query of the source domain."""
    position = int(hashlib.sha256(query_id.encode()).hexdigest()[:12], 16) / 16**12
    return next(name for name, bound in SPLITS.items() if position < bound)


def in_hash_order(ids: Sequence[str], salt: str = "") -> list[str]:
    """Sort the ids in an arbitrary but reproducible order, so that the first k are a sample."""
    return sorted(ids, key=lambda each: hashlib.sha256(f"{salt}order:{each}".encode()).hexdigest())


def split_queries(data: DataSpec, transfer: str | None, query_ids: list[str]) -> dict[str, list[str]]:
    """The query ids of each split: `discovery` and `heldout` of the source, or the one split of a `transfer` domain.

    No query is in two splits, and no query was trained on. If part of the source is for training, a query's hash decides its
    split; otherwise the splits take consecutive queries in hash order. Raises `DataError` if there are too few queries.
    """
    wanted = data.queries
    if transfer is not None:
        return {transfer: _take(in_hash_order(query_ids), data.transfer_count(transfer), transfer)}
    name = data.source.name
    if data.source_trained:
        ids = {s: in_hash_order([q for q in query_ids if split_of(q) == s]) for s in ("discovery", "heldout")}
        return {split: _take(ids[split], getattr(wanted, split), f"{name}/{split}") for split in ids}
    both = _take(in_hash_order(query_ids), wanted.discovery + wanted.heldout, name)
    return {"discovery": both[: wanted.discovery], "heldout": both[wanted.discovery :]}


def _take(query_ids: list[str], count: Count, where: str) -> list[str]:
    least, most = count_range(count)
    if len(query_ids) < least:
        raise DataError(
            f"data.queries: {where}: expected at least {least} usable queries, got {len(query_ids)}; fix: "
            + ("use another collection" if isinstance(count, str) else "request fewer")
        )
    return query_ids[:most]
