"""A small sound submission, and edits of it as a clever cheat would make them, with hashes and paths adapted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.protocol.suites import Suite
from coterie.benchmark.runner.grid import Grid
from coterie.leaderboard.entries.submission import BADGE, CARD, MANIFEST
from coterie.methods import get_method
from coterie.tasks.kinds import plan_task
from coterie.tasks.registry import get_task_spec
from coterie.tracking.record import Identity
from coterie.tracking.store import DIGEST_CHARACTERS, RecordStore
from tests.benchmark.grids import run_grid

SETTINGS = Settings(
    largest_share=1,
    max_coalitions=3,
    pairs=2,
    leave_one_outs=2,
    control_pairs=20,
    resamples=200,
    reference_evaluations=40,
    pac_draws=100,
)
SUITE = Suite("for tests", ("planted/coactive",), ("random[min_size=3,max_size=5]",), 2, 100, SETTINGS)
SELECTOR = SUITE.methods[0]
CARD_VALUES: dict[str, Any] = {
    "method": "random",
    "version": "1",
    "summary": "Random groups.",
    "authors": ["Ada Lovelace"],
    "citation": "none",
    "code": "https://example.org/random/tree/v1",
    "licence": "Apache-2.0",
    "sees": [],
    "cost": "nothing",
}
Change = Callable[[dict[str, Any]], object]


def run_suite(output: Path, seeds: int = 2, suite: Suite = SUITE) -> None:
    grid = Grid(
        tasks=[plan_task(get_task_spec(name)) for name in suite.tasks],
        methods=[get_method(SELECTOR)],
        seeds=range(seeds),
        budgets=[suite.budget],
        settings=suite.settings,
        executor="inline",
    )
    list(run_grid(grid, RecordStore(output)))


def record_file(folder: Path, seed: int = 0) -> Path:
    [path] = (folder / "records").rglob(f"{seed}-*.json")
    return path


def edit(change: Change, seed: int = 0) -> Callable[[Path], None]:
    """Change a record's values, and move the file to the path of its new identity."""

    def tamper(folder: Path) -> None:
        path = record_file(folder, seed)
        values = json.loads(path.read_text())
        change(values)
        identity = Identity.model_validate(values["identity"])
        values["identity_digest"] = identity.digest()
        path.unlink()
        name = f"{identity.seed}-{identity.digest()[:DIGEST_CHARACTERS]}.json"
        place = folder / "records" / identity.task_name / identity.method_name / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(values))

    return tamper


def edit_text(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Change a record's text in place."""
    return lambda folder: record_file(folder).write_text(change(record_file(folder).read_text())) and None


def edit_card(change: Change) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        values = yaml.safe_load((folder / CARD).read_text())
        change(values)
        (folder / CARD).write_text(yaml.safe_dump(values))

    return tamper


def edit_manifest(change: Change) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        values = json.loads((folder / MANIFEST).read_text())
        change(values)
        (folder / MANIFEST).write_text(json.dumps(values))

    return tamper


def measure(values: dict[str, Any], metric: str) -> dict[str, Any]:
    found: dict[str, Any] = next(m for m in values["scores"] if m["metric"] == metric)
    return found


def rehash(folder: Path) -> None:
    """Make the manifest list the present files, as a cheat would."""
    values = json.loads((folder / MANIFEST).read_text())
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in (MANIFEST, BADGE)]
    values["files"] = {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)
    }
    (folder / MANIFEST).write_text(json.dumps(values))
