"""Reports as the site's templates take them: with their figure, their address and their place on a page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from coterie.leaderboard.display import figures
from coterie.leaderboard.reports.card import Card, Inspection
from coterie.leaderboard.reports.fidelity import FidelityReport
from coterie.leaderboard.reports.flow import COLOURS, MEANINGS, diagram
from coterie.leaderboard.reports.read import KINDS, Report
from coterie.leaderboard.reports.sankey import sankey
from coterie.leaderboard.reports.transitions import TransitionsReport

DRAWN = 16  # coalitions of a layer, the largest; the rest as one
TOKENS = 4  # of a coalition in a table
FOLDER = "reports"


@dataclass(frozen=True)
class AcrossView:
    """What becomes of coalitions from layer to layer."""

    report: TransitionsReport
    figure: str
    note: str
    file: str

    colours = COLOURS
    meanings = MEANINGS

    @classmethod
    def of(cls, report: TransitionsReport) -> AcrossView:
        drawn = diagram(report, DRAWN)
        return cls(report, _json(sankey(drawn)) if drawn.flows else "", drawn.note, f"{address(report)}.json")

    @property
    def anchor(self) -> str:
        return address(self.report).removeprefix(f"{FOLDER}/")

    @property
    def title(self) -> str:
        layers = self.report.layers
        return f"{self.report.task_name}, layers {layers[0].layer} to {layers[-1].layer}, seed {self.report.seed}"


@dataclass(frozen=True)
class FidelityView:
    """How well affinities rank pairs."""

    report: FidelityReport
    figure: str
    file: str

    @classmethod
    def of(cls, report: FidelityReport) -> FidelityView:
        figure = figures.fidelity([(row.affinity, row.spearman, row.low, row.high) for row in report.rows])
        return cls(report, _json(figure) if figure else "", f"{address(report)}.json")


@dataclass(frozen=True)
class CardView:
    """A coalition's card in short, and where it stands whole."""

    card: Card
    page: str

    @classmethod
    def of(cls, inspection: Inspection, card: Card) -> CardView:
        return cls(card, f"{address(inspection)}.html#coalition-{card.number}")

    @property
    def tokens(self) -> list[str]:
        return [kind.text.strip() for kind in self.card.tokens_high[:TOKENS]]


def address(report: Report) -> str:
    """Where the site keeps it, without ending: the same report always at the same place."""
    kind = next(kind for kind, model in KINDS.items() if isinstance(report, model))
    return f"{FOLDER}/{kind}-{hashlib.sha256(report.model_dump_json().encode()).hexdigest()[:12]}"


def _json(figure: dict[str, Any]) -> str:
    return json.dumps(figure, allow_nan=False)
