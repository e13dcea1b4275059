"""Time and memory of loading each kind of collection: ``python -m coterie.benchmark.perf.collection_loading FOLDER``.

FOLDER holds BEIR folders (``trec-dl-2019``, ``noveleval``, ``cranfield``). Beside them, the collection pydoc, and a corpus
of a million passages that is made here and streamed with a run. Each is loaded in a process of its own.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

PASSAGES, QUERIES = 1_000_000, 50


def main(folder: Path) -> None:
    sources: list[dict[str, Any]] = [
        {"collection": "beir", "path": str(folder / "trec-dl-2019"), "run": "bm25.run.trec"},
        {"collection": "beir", "path": str(folder / "noveleval"), "pool": "judged"},
        {"collection": "beir", "path": str(folder / "cranfield"), "binary": True},
        {"collection": "pydoc", "domain": "deep-learning"},
    ]
    with tempfile.TemporaryDirectory() as made:
        size = write_large(Path(made))
        print(f"made a corpus of {PASSAGES:,} passages, {size / 1e6:.0f} MB")
        sources.append({"collection": "beir", "path": made, "run": "run.trec", "name": "a million passages"})
        for source in sources:
            with get_context("spawn").Pool(1) as pool:  # a process each, so that its peak is its own
                before, seconds, peak, queries, documents = pool.apply(measure, (source,))
            print(
                f"{source.get('name') or source.get('domain') or Path(source['path']).name}: {queries} queries, {documents} "
                f"documents kept, {seconds:.2f} s, peak {peak / 1e6:.0f} MB ({before / 1e6:.0f} MB before)"
            )


def measure(source: dict[str, Any]) -> tuple[int, float, int, int, int]:
    """(peak before, seconds, peak after, queries, documents) of loading one domain."""
    from pydantic import TypeAdapter

    from coterie.tasks.collections.loading import load_domain
    from coterie.tasks.collections.specs import DomainSpec

    spec: Any = TypeAdapter(DomainSpec).validate_python(source)
    before, started = _peak(), time.perf_counter()
    domain = load_domain(spec)
    return before, time.perf_counter() - started, _peak(), len(domain.queries), len(domain.documents)


def write_large(folder: Path) -> int:
    """A BEIR folder of a million passages of some sixty words, and a run of 100 of them for each of 50 queries."""
    words = " ".join(f"word{i}" for i in range(50))
    with (folder / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": str(i), "text": f"passage {i} {words}"}) + "\n" for i in range(PASSAGES))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{i}", "text": f"passage {i}"}) + "\n" for i in range(QUERIES))
    )
    (folder / "qrels.trec").write_text("".join(f"q{i} 0 {i} 1\n" for i in range(QUERIES)))
    rows = [(f"q{i}", (i + k * 7919) % PASSAGES, k) for i in range(QUERIES) for k in range(100)]
    (folder / "run.trec").write_text("".join(f"{q} Q0 {d} {k + 1} {100 - k} made\n" for q, d, k in rows))
    return (folder / "corpus.jsonl").stat().st_size


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
