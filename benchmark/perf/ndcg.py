"""nDCG@10 of many rankings against one call of ir-measures each: ``python -m coterie.benchmark.perf.ndcg [--rankings 512]``.

The rankings are those of a bundled task's held-out queries under random scores, rounded so that some tie.
"""

from __future__ import annotations

import argparse
import time

import ir_measures
import numpy as np

from coterie.benchmark.perf.ablation import TASKS
from coterie.tasks.ndcg import NDCG
from coterie.tasks.registry import get_task_spec
from coterie.tasks.task import TaskSpec, plan_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rankings", type=int, default=512)
    parser.add_argument("--plain", type=int, default=32)
    options = parser.parse_args()
    spec = get_task_spec(TASKS[0])
    if not isinstance(spec, TaskSpec):
        raise SystemExit(f"{TASKS[0]}: expected the task of a reranker")
    pairs = plan_task(spec).pairs["heldout"]
    scores = np.random.default_rng(0).normal(size=(options.rankings, len(pairs))).round(1)
    judge = NDCG(pairs)
    started = time.perf_counter()
    ours = np.stack([judge.per_query(row) for row in scores])
    fast = (time.perf_counter() - started) / options.rankings

    queries = list(dict.fromkeys(p.query_id for p in pairs))
    qrels: dict[str, dict[str, int]] = {q: {} for q in queries}
    for p in pairs:
        qrels[p.query_id][p.document_id] = p.grade
    started = time.perf_counter()
    worst = 0.0
    for row, got in zip(scores[: options.plain], ours, strict=False):
        run: dict[str, dict[str, float]] = {q: {} for q in queries}
        for p, score in zip(pairs, row, strict=True):
            run[p.query_id][p.document_id] = float(score)
        found = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
        worst = max(worst, float(np.abs(got - [found[q] for q in queries]).max()))
    slow = (time.perf_counter() - started) / options.plain
    print(f"{len(queries)} queries, {len(pairs)} pairs, {options.rankings} rankings ({options.plain} with ir-measures)")
    print(f"ours {1000 * fast:.3f} ms, ir-measures {1000 * slow:.3f} ms a ranking, ratio {slow / fast:.1f}")
    print(f"largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
