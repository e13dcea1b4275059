"""nDCG@10 of many rankings, against one call of ir-measures each.

The rankings are those of a bundled task's held-out queries under random scores, rounded so that some tie.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.perf.measuring import timed
from coterie.benchmark.perf.row import NONE, Row, missing_package
from coterie.tasks.collections.types import Candidate
from coterie.tasks.ndcg import NDCG
from coterie.tasks.registry import get_reranker_spec
from coterie.tasks.reranker_task import plan_reranker_task

_RANKINGS, _PLAIN = 512, 32
_ROUNDING = 1e-12  # the logarithms of different libraries may differ by this much
_RATIO = 10  # the target


def rows() -> list[Row]:
    """One row; the numbers must agree up to rounding, with ties broken as in trec_eval."""
    pairs = plan_reranker_task(get_reranker_spec("pydoc-llama/relevance")).pairs["heldout"]
    scores = np.random.default_rng(0).normal(size=(_RANKINGS, len(pairs))).round(1)
    judge = NDCG(pairs)
    ours, seconds = timed(lambda: judge.per_query(scores))
    fast = seconds / _RANKINGS
    work = f"nDCG@10 of {_RANKINGS} rankings of {ours.shape[1]} queries"
    result, target = f"{1000 * fast:.3f} ms per ranking", f">= {_RATIO}, identical"
    if reason := missing_package("ir_measures", "test"):
        return [Row(work, result, reason, NONE, target, None)]
    theirs, seconds = timed(lambda: _by_ir_measures(pairs, scores[:_PLAIN]))
    slow, worst = seconds / _PLAIN, float(np.abs(ours[:_PLAIN] - theirs).max())
    return [
        Row(
            work=work,
            ours=result,
            against=f"ir-measures: {1000 * slow:.3f} ms",
            figure=f"{slow / fast:.1f}, differs by {worst:.0e}",
            target=target,
            met=slow / fast >= _RATIO and worst < _ROUNDING,
            values={"ours_ms": 1000 * fast, "ir_measures_ms": 1000 * slow, "difference": worst},
        )
    ]


def _by_ir_measures(pairs: Sequence[Candidate], scores: np.ndarray) -> np.ndarray:
    """nDCG@10, shape (rankings, queries), of scores (rankings, pairs)."""
    import ir_measures

    qrels: dict[str, dict[str, int]] = {p.query_id: {} for p in pairs}
    for p in pairs:
        qrels[p.query_id][p.document_id] = p.grade
    rankings = []
    for row in scores:
        run: dict[str, dict[str, float]] = {query: {} for query in qrels}
        for p, score in zip(pairs, row, strict=True):
            run[p.query_id][p.document_id] = float(score)
        found = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
        rankings.append([found[query] for query in qrels])
    return np.array(rankings)
