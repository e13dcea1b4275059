"""nDCG@10 of many rankings against one call of ir-measures each.

The rankings are those of a bundled task's held-out queries under random scores, rounded so that some tie.
"""

from __future__ import annotations

import importlib.util
import time

import numpy as np

from coterie.benchmark.perf.row import Row, reranker_task
from coterie.tasks.ndcg import NDCG
from coterie.tasks.task import plan_task

_RANKINGS, _PLAIN = 512, 32
_ROUNDING = 1e-12  # what logarithms of different libraries may differ by


def rows() -> list[Row]:
    """One row; the same numbers to rounding, ties as trec_eval."""
    spec = reranker_task("pydoc-llama/relevance")
    pairs = plan_task(spec).pairs["heldout"]
    scores = np.random.default_rng(0).normal(size=(_RANKINGS, len(pairs))).round(1)
    judge = NDCG(pairs)
    started = time.perf_counter()
    ours = judge.per_query(scores)
    fast = (time.perf_counter() - started) / _RANKINGS
    queries = list(dict.fromkeys(p.query_id for p in pairs))
    work, told = f"nDCG@10 of {_RANKINGS} rankings of {len(queries)} queries", f"{1000 * fast:.3f} ms a ranking"
    target = ">= 10, identical"
    if importlib.util.find_spec("ir_measures") is None:
        return [Row(work, told, "ir-measures is not installed; fix: pip install 'coterie[test]'", "-", target, None)]
    import ir_measures

    qrels: dict[str, dict[str, int]] = {q: {} for q in queries}
    for p in pairs:
        qrels[p.query_id][p.document_id] = p.grade
    started, worst = time.perf_counter(), 0.0
    for row, got in zip(scores[:_PLAIN], ours, strict=False):
        run: dict[str, dict[str, float]] = {q: {} for q in queries}
        for p, score in zip(pairs, row, strict=True):
            run[p.query_id][p.document_id] = float(score)
        found = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
        worst = max(worst, float(np.abs(got - [found[q] for q in queries]).max()))
    slow = (time.perf_counter() - started) / _PLAIN
    return [
        Row(
            work=work,
            ours=told,
            against=f"ir-measures: {1000 * slow:.3f} ms",
            figure=f"{slow / fast:.1f}, differs by {worst:.0e}",
            target=target,
            met=slow / fast >= 10 and worst < _ROUNDING,
            values={"ours_ms": 1000 * fast, "ir_measures_ms": 1000 * slow, "difference": worst},
        )
    ]
