"""Valid reports about made-up records, with hostile text in names if a test wants it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from coterie.leaderboard.reports.card import Against, Card, Inspection, PairExample, Signal, Token, TokenKind
from coterie.leaderboard.reports.fidelity import FidelityReport, FidelityRow
from coterie.leaderboard.reports.gather import Gathered, gather
from coterie.leaderboard.reports.transitions import (
    Coalition,
    Count,
    Event,
    LayerCoalitions,
    LayerPair,
    LinkRow,
    TransitionsReport,
)
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.leaderboard.reports.test_gather import submit
from tests.records import MadeUpMethod, make_record


def transitions(before: Record, after: Record, *, name: str = "a/x", warning: str = "few texts") -> TransitionsReport:
    """Transitions between the two coalitions of each record: the first persists, the second vanishes, one emerges."""
    return TransitionsReport(
        coterie_version="0.1.0",
        task_name=name,
        task_fingerprints=[before.identity.task_fingerprint, after.identity.task_fingerprint],
        method=before.method.selector,
        code_hash=before.identity.code_hash,
        budget=before.identity.budget,
        seed=before.seed,
        all_pairs=False,
        smallest=2,
        draws=20,
        warnings=[warning],
        layers=[_layer(1, before), _layer(2, after)],
        pairs=[
            LayerPair(
                source_layer=1,
                target_layer=2,
                alpha=0.5,
                beta=0.5,
                counts=[
                    _count("persist", 1),
                    _count("split"),
                    _count("merge"),
                    _count("vanish", 1),
                    _count("emerge", 1),
                ],
                sources=[_row(0, 0, "persist"), _row(1, None, "vanish")],
                targets=[_row(0, 0, "persist"), _row(None, 1, "emerge")],
            )
        ],
    )


def _layer(number: int, record: Record) -> LayerCoalitions:
    assert record.coalitions is not None
    groups = [Coalition(number=i, members=group) for i, group in enumerate(record.coalitions.groups)]
    return LayerCoalitions(layer=number, n_players=8, coalitions=groups, left_out=0, from_record=True)


def _count(event: Event, number: int = 0) -> Count:
    return Count(event=event, count=number, share=number / 2, chance=0.3, chance_low=0.1, chance_high=0.5)


def _row(source: int | None, target: int | None, event: Event) -> LinkRow:
    mass = 1.0 if event == "persist" else 0.0
    return LinkRow(source=source, target=target, mass=mass, alpha=mass, beta=mass, matched=mass > 0, event=event)


def inspection(record: Record, *, text: str = "token", numbers: tuple[int, ...] = (0, 1)) -> Inspection:
    assert record.coalitions is not None
    return Inspection(
        task_name=record.task_name,
        method_name=record.method_name,
        method=record.method.selector,
        seed=record.seed,
        record=record.identity_digest,
        task_fingerprint=record.identity.task_fingerprint,
        layer=2,
        n_players=8,
        players="neurons",
        heldout_queries=10,
        heldout_pairs=100,
        heldout_tokens=1000,
        tokens_are="all tokens",
        controls=20,
        warnings=[text],
        cards=[_card(number, record.coalitions.groups[number], text) for number in numbers],
    )


def _card(number: int, members: list[int], text: str) -> Card:
    against = Against(value=0.25, low=0.2, high=0.3, control=0.05, share_of_controls=0.1)
    signal = Signal(name="bm25", r2=against, correlation=0.5)
    token = Token(text=text, firing=1.0)
    pair = PairExample(
        query_id="q", document_id=text, query=text, firing=1.0, score=0.0, objective=None, tokens=[token, token]
    )
    return Card(
        number=number,
        members=members,
        evaluated=True,
        silent_members=0,
        agreement=against,
        by_token=against,
        best_signal=signal,
        best_r2=against,
        signals=[signal],
        effect=against,
        ndcg_drop=against,
        ndcg_reason=None,
        loses_most=[],
        gains_most=[],
        tokens_high=[TokenKind(text=text, firing=1.0, occurrences=5)],
        tokens_low=[],
        fires_most=[pair],
        fires_least=[pair],
    )


def fidelity(record: Record, *, affinity: str = "oca") -> FidelityReport:
    none = {"spearman": None, "low": None, "high": None, "evaluations": 0, "seconds": 0.0, "notes": {}}
    return FidelityReport(
        coterie_version="0.1.0",
        task_name=record.task_name,
        task_fingerprint=record.identity.task_fingerprint,
        budget=100,
        pairs=50,
        rows=[
            FidelityRow(
                affinity="pas", spearman=0.9, low=0.8, high=0.95, evaluations=9, seconds=1.0, notes={}, reason=None
            ),
            FidelityRow(
                affinity=affinity,
                spearman=-0.1,
                low=None,
                high=None,
                evaluations=1,
                seconds=0.5,
                notes={"rank": 3},
                reason=None,
            ),
            FidelityRow.model_validate({"affinity": "lens", "reason": "needs lens", **none}),
        ],
    )


def lay(folder: Path, name: str, report: BaseModel) -> Path:
    """Write a report to the place where its command would, and return the file."""
    kind = {TransitionsReport: "transitions", Inspection: "inspect", FidelityReport: "fidelity"}[type(report)]
    path = folder / kind / name / f"{kind}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.model_dump_json())
    return path


def with_everything(folder: Path, text: str) -> Gathered:
    """Records of two layers, every kind of report with `text` in all free-text fields, and two submissions."""
    louvain = MadeUpMethod("louvain", 0.8, parameters={"k": 3, "mode": None, "of": "best"})
    before, after = (make_record(louvain, task=f"a/x[layer={layer}]") for layer in (1, 2))
    submit(folder / "submissions" / "new", [before, after], version="2.0")
    old = make_record(
        MadeUpMethod("louvain", 0.2, parameters=louvain.parameters, code_hash="0" * 64), task="a/x[layer=1]"
    )
    submit(folder / "submissions" / "old", [old.model_copy(update={"date": "2026-01-01T00:00:00+00:00"})], None)
    for record in (before, after):
        RecordStore(folder / "out").write(record)
    lay(folder / "out", "flow", transitions(before, after, name=text, warning=text))
    lay(folder / "out", "cards", inspection(before, text=text, numbers=(0,)))
    lay(folder / "out", "of", fidelity(before, affinity=text))
    return gather([folder / "out", folder / "submissions"])
