"""Reports as the site's templates need them: with figure, address and anchor."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from coterie.leaderboard.display import figures
from coterie.leaderboard.display.sankey import sankey
from coterie.leaderboard.reports.card import Card, Inspection
from coterie.leaderboard.reports.fidelity import FidelityReport
from coterie.leaderboard.reports.flow import COLOURS, MEANINGS, diagram
from coterie.leaderboard.reports.read import KINDS, Report
from coterie.leaderboard.reports.transitions import TransitionsReport

DRAWN = 16  # largest coalitions of a layer that a diagram shows separately
TOKENS = 4  # tokens of a coalition in a table
FOLDER = "reports"


@dataclass(frozen=True)
class AcrossView:
    """What becomes of coalitions from layer to layer."""

    report: TransitionsReport
    """The report itself."""

    figure: str
    """Its diagram as plotly JSON; empty without flows."""

    note: str
    """What the diagram does not show."""

    file: str
    """Address of the report's JSON, from the site's root."""

    colours = COLOURS
    meanings = MEANINGS

    @classmethod
    def of(cls, report: TransitionsReport) -> AcrossView:
        """The view of a report."""
        drawn = diagram(report, DRAWN)
        return cls(report, _json(sankey(drawn)) if drawn.flows else "", drawn.note, f"{address(report)}.json")

    @property
    def anchor(self) -> str:
        """Id of the report on its page."""
        return address(self.report).removeprefix(f"{FOLDER}/")

    @property
    def title(self) -> str:
        """Heading of the report: task, layers and seed."""
        layers = self.report.layers
        return f"{self.report.task_name}, layers {layers[0].layer} to {layers[-1].layer}, seed {self.report.seed}"


@dataclass(frozen=True)
class FidelityView:
    """How well affinities rank pairs."""

    report: FidelityReport
    """The report itself."""

    figure: str
    """Its plot as plotly JSON; empty without numbers."""

    file: str
    """Address of the report's JSON, from the site's root."""

    @classmethod
    def of(cls, report: FidelityReport) -> FidelityView:
        """The view of a report."""
        figure = figures.fidelity([(row.affinity, row.spearman, row.low, row.high) for row in report.rows])
        return cls(report, _json(figure) if figure else "", f"{address(report)}.json")


@dataclass(frozen=True)
class CardView:
    """A coalition's card in short."""

    card: Card
    """The card itself."""

    page: str
    """Address of the whole card, from the site's root."""

    @classmethod
    def of(cls, inspection: Inspection, card: Card) -> CardView:
        """The view of a card of an inspection."""
        return cls(card, f"{address(inspection)}.html#coalition-{card.number}")

    @property
    def tokens(self) -> list[str]:
        """The tokens at which the coalition fires most."""
        return [kind.text.strip() for kind in self.card.tokens_high[:TOKENS]]


def address(report: Report) -> str:
    """The report's address in the site, without file extension: the same for the same report."""
    kind = next(kind for kind, model in KINDS.items() if isinstance(report, model))
    return f"{FOLDER}/{kind}-{hashlib.sha256(report.model_dump_json().encode()).hexdigest()[:12]}"


def _json(figure: dict[str, Any]) -> str:
    return json.dumps(figure, allow_nan=False)
