"""Tiny collections in every file format, written for tests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from coterie.tasks.collections.specs import DomainSpec

QUERIES = {"q1": "red apple", "q2": "blue sky"}
DOCUMENTS = {"d1": "an apple that is red", "d2": "the sky", "d3": "unrelated"}
QRELS = {"q1": {"d1": 2, "d3": 0}, "q2": {"d2": 1}}
RUN = {"q1": ["d1", "d3"], "q2": ["d3", "d2"]}


def spec(**fields: Any) -> Any:
    return TypeAdapter(DomainSpec).validate_python(fields)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())


def qrels_text(qrels: dict[str, dict[str, int]]) -> str:
    return "".join(f"{q} 0 {d} {g}\n" for q, judged in qrels.items() for d, g in judged.items())


def run_text(run: dict[str, list[str]]) -> str:
    return "".join(f"{q} Q0 {d} {i + 1} {10 - i} tag\n" for q, pool in run.items() for i, d in enumerate(pool))


def beir(
    folder: Path,
    queries: dict[str, str] = QUERIES,
    documents: dict[str, str] = DOCUMENTS,
    qrels: dict[str, dict[str, int]] = QRELS,
    run: dict[str, list[str]] | None = None,
    end: str = "",
) -> Any:
    write(folder / f"queries.jsonl{end}", "".join(json.dumps({"_id": q, "text": t}) + "\n" for q, t in queries.items()))
    write(
        folder / f"corpus.jsonl{end}", "".join(json.dumps({"_id": d, "text": t}) + "\n" for d, t in documents.items())
    )
    write(folder / f"qrels.trec{end}", qrels_text(qrels))
    if run is not None:
        write(folder / f"run.trec{end}", run_text(run))
    return spec(collection="beir", path=str(folder), run=None if run is None else "run.trec")


def trec(folder: Path, end: str = "") -> Any:
    write(folder / f"q.tsv{end}", "".join(f"{q}\t{t}\n" for q, t in QUERIES.items()))
    write(folder / f"d.tsv{end}", "".join(f"{d}\t{t}\n" for d, t in DOCUMENTS.items()))
    write(folder / f"qrels.txt{end}", qrels_text(QRELS))
    write(folder / f"run.txt{end}", run_text(RUN))
    names = {"queries": "q.tsv", "documents": "d.tsv", "qrels": "qrels.txt", "run": "run.txt"}
    return spec(collection="trec", **{field: name + end for field, name in names.items()}).resolved_in(folder)


def top1000(folder: Path, end: str = "") -> Any:
    rows = [f"{q}\t{d}\t{QUERIES[q]}\t{DOCUMENTS[d]}\n" for q, pool in RUN.items() for d in pool]
    write(folder / f"top.tsv{end}", "".join(rows))
    write(folder / f"qrels.txt{end}", qrels_text(QRELS))
    return spec(collection="msmarco-top1000", path=f"top.tsv{end}", qrels=f"qrels.txt{end}").resolved_in(folder)
