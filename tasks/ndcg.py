"""nDCG@10 by ir-measures (trec_eval's definition) for many score vectors over the same pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
from ir_measures import Qrel, ScoredDoc, nDCG

from coterie.tasks.collections.types import Candidate


class NDCG:
    """nDCG@10 per query, the evaluator built once. Ties are broken as trec_eval does: by document id, descending.

    The ideal ranking is that of the pairs' grades, or of ``qrels`` [query][document] where these are given: judged
    documents that are no candidates then count, as they do when a run is evaluated.
    """

    def __init__(self, pairs: Sequence[Candidate], qrels: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.query_ids = list(dict.fromkeys(p.query_id for p in pairs))
        self._ids = [(p.query_id, p.document_id) for p in pairs]
        self._column = {q: i for i, q in enumerate(self.query_ids)}
        if qrels is None:
            judged = [Qrel(p.query_id, p.document_id, p.grade) for p in pairs]
        else:
            judged = [Qrel(q, d, grade) for q in self.query_ids for d, grade in qrels[q].items()]
        self._evaluator = ir_measures.evaluator([nDCG @ 10], judged)

    def per_query(self, scores: np.ndarray) -> np.ndarray:
        """nDCG@10 [..., queries] of scores [..., pairs]. Raises ``ValueError`` on a score that is not a number.

        A NaN would be ranked last without a word, so it is refused.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if np.isnan(scores).any():
            raise ValueError(f"scores: expected numbers, got NaN at {np.argwhere(np.isnan(scores))[0].tolist()}")
        rows = scores.reshape(-1, scores.shape[-1])
        values = np.zeros((len(rows), len(self.query_ids)))
        for row, row_scores in zip(values, rows.tolist(), strict=True):
            run = [ScoredDoc(q, d, s) for (q, d), s in zip(self._ids, row_scores, strict=True)]
            for metric in self._evaluator.iter_calc(run):
                row[self._column[metric.query_id]] = metric.value
        return values.reshape(*scores.shape[:-1], len(self.query_ids))
