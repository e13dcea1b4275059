"""nDCG@10 as trec_eval defines it, for many score vectors over the same pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from coterie.tasks.collections.types import Candidate

_CUTOFF = 10
_ROWS = 1024  # score vectors that are sorted together


class NDCG:
    """nDCG@10 per query, equal to ir-measures (pytrec_eval) up to rounding: gain = grade, discount log2(rank + 1).

    Ties are broken as trec_eval does: scores are compared in float32, and equal ones by document id, descending. The ideal
    ranking is that of the pairs' grades, or of `qrels` [query][document] if given: judged documents that are not candidates
    then count, as in the evaluation of a run. A query without a relevant document scores 0.
    """

    def __init__(self, pairs: Sequence[Candidate], qrels: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.query_ids = list(dict.fromkeys(p.query_id for p in pairs))
        judged: dict[str, dict[str, int]] = {q: {} for q in self.query_ids}
        of_query: dict[str, list[tuple[str, int]]] = {q: [] for q in self.query_ids}
        for position, p in enumerate(pairs):
            judged[p.query_id][p.document_id] = p.grade
            of_query[p.query_id].append((p.document_id, position))
        if qrels is not None:
            judged = {q: dict(qrels[q]) for q in self.query_ids}
        width = max(map(len, of_query.values()), default=0)
        # [queries, candidates], document ids descending, so that a stable sort breaks ties; padding comes last
        self._positions = np.zeros((len(self.query_ids), width), dtype=np.int64)
        self._filled = np.zeros(self._positions.shape, dtype=bool)
        self._gains = np.zeros(self._positions.shape)
        for row, query_id in enumerate(self.query_ids):
            for column, (document_id, position) in enumerate(sorted(of_query[query_id], reverse=True)):
                self._positions[row, column], self._filled[row, column] = position, True
                self._gains[row, column] = max(0, judged[query_id].get(document_id, 0))
        ideal = np.zeros((len(self.query_ids), _CUTOFF))
        for row, query_id in enumerate(self.query_ids):
            best = sorted((max(0, grade) for grade in judged[query_id].values()), reverse=True)[:_CUTOFF]
            ideal[row, : len(best)] = best
        self._ideal = _discounted(ideal)

    def per_query(self, scores: np.ndarray) -> np.ndarray:
        """nDCG@10 [..., queries] of scores [..., pairs].

        Raises `ValueError` for NaN, which would otherwise silently be ranked last.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if np.isnan(scores).any():
            raise ValueError(f"scores: expected numbers, got NaN at {np.argwhere(np.isnan(scores))[0].tolist()}")
        rows = scores.reshape(-1, scores.shape[-1]).astype(np.float32)
        found = np.zeros((len(rows), len(self.query_ids)))
        for start in range(0, len(rows), _ROWS):
            found[start : start + _ROWS] = _discounted(self._ranked(rows[start : start + _ROWS]))
        values = np.divide(found, self._ideal, out=np.zeros_like(found), where=self._ideal > 0)
        return values.reshape(*scores.shape[:-1], len(self.query_ids))

    def _ranked(self, rows: np.ndarray) -> np.ndarray:
        """The gains [m, queries, up to 10] in the order of the scores [m, pairs]."""
        by_query = np.where(self._filled, -rows[:, self._positions], np.float32(np.inf))
        order = np.argsort(by_query, axis=-1, kind="stable")[..., :_CUTOFF]
        ranked: np.ndarray = np.take_along_axis(np.broadcast_to(self._gains, by_query.shape), order, axis=-1)
        return ranked


def _discounted(gains: np.ndarray) -> np.ndarray:
    """Discounted cumulative gain [...] of gains [..., ranks], summed from the first rank on, as in trec_eval."""
    total = np.zeros(gains.shape[:-1])
    for rank in range(gains.shape[-1]):
        total += gains[..., rank] / np.log2(rank + 2.0)
    return total
