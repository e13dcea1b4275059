"""Time and memory of loading each kind of collection: `python -m coterie.benchmark.perf.collection_loading FOLDER`.

FOLDER holds the BEIR folders `trec-dl-2019`, `noveleval` and `cranfield`. The collection pydoc is loaded as well, and a
generated corpus of a million passages that is streamed with a run. Each is loaded in a separate process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from coterie.benchmark.perf.measuring import timed
from coterie.benchmark.runner.environment import peak_memory_bytes

PASSAGES, QUERIES = 1_000_000, 50


def main(folder: Path) -> None:
    """Print a line per collection."""
    sources: list[dict[str, Any]] = [
        {"collection": "beir", "path": str(folder / "trec-dl-2019"), "run": "bm25.run.trec"},
        {"collection": "beir", "path": str(folder / "noveleval"), "pool": "judged"},
        {"collection": "beir", "path": str(folder / "cranfield"), "binary": True},
        {"collection": "pydoc", "domain": "deep-learning"},
    ]
    with tempfile.TemporaryDirectory() as large:
        size = write_large(Path(large))
        print(f"wrote a corpus of {PASSAGES:,} passages, {size / 1e6:.0f} MB")
        sources.append({"collection": "beir", "path": large, "run": "run.trec", "name": "a million passages"})
        for source in sources:
            with get_context("spawn").Pool(1) as pool:  # a new process, so that the peak is that of this collection
                before, seconds, peak, queries, documents = pool.apply(measure, (source,))
            print(
                f"{source.get('name') or source.get('domain') or Path(source['path']).name}: {queries} queries, {documents} "
                f"documents kept, {seconds:.2f} s, peak {peak / 1e6:.0f} MB ({before / 1e6:.0f} MB before)"
            )


def measure(source: dict[str, Any]) -> tuple[int, float, int, int, int]:
    """Load one domain: (peak before, seconds, peak after, queries, documents), peaks in bytes."""
    from pydantic import TypeAdapter

    from coterie.tasks.collections.loading import load_domain
    from coterie.tasks.collections.specs import DomainSpec

    spec: Any = TypeAdapter(DomainSpec).validate_python(source)
    before = peak_memory_bytes()
    domain, seconds = timed(lambda: load_domain(spec))
    return before, seconds, peak_memory_bytes(), len(domain.queries), len(domain.documents)


def write_large(folder: Path) -> int:
    """Write a BEIR folder of a million passages and a run of 100 per query; returns the bytes of the corpus."""
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
