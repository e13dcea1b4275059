"""``coterie inspect``: what a record's coalitions mean, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.tracking.text import slug

if TYPE_CHECKING:
    from coterie.benchmark.protocol.settings import Settings
    from coterie.benchmark.runner.loading import AnySpec, AnyTask
    from coterie.leaderboard.reports.card import Against, Inspection
    from coterie.tracking.record import Record

MOST_BYTES = 64 * 2**20  # of a record: one with 16,384 singletons has well under one MB
MOST_SETS = 1000  # controls, and cards: a record of a stranger could ask for any number


@dataclass(frozen=True)
class InspectOptions:
    """The options of ``coterie inspect``."""

    record: Path
    coalition: int | None
    task: str | None
    output_folder: Path
    device: str


def inspect_command(options: InspectOptions) -> int:
    """Make the cards, print a table of them, write ``inspect.html`` and ``inspect.json`` to a folder of their own."""
    from coterie.benchmark.commands.run import resolve_device
    from coterie.benchmark.inspection.build import inspect_record
    from coterie.leaderboard.reports.card_page import render_page
    from coterie.tracking.files import write_atomic

    console = Console()
    with exit_on_user_error():
        record = read_record(options.record)
        spec, settings, device = _spec(record, options.task), _settings(record), resolve_device(options.device)
        with console.status(f"{spec.name}: loading") as status:
            task = load_checked(record, spec, device, lambda step: status.update(f"{spec.name}: {step}"))
            status.update(f"{spec.name}: activations and ablations of the coalitions and their random sets")
            found = inspect_record(record, task, settings, options.coalition)
        _print(found, console)
        folder = _folder(found, options)
        try:
            write_atomic(folder / "inspect.html", render_page(found))
            write_atomic(folder / "inspect.json", found.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written to: {error.strerror}; fix: --output-folder") from None
    console.print(f"Written: {folder / 'inspect.html'}, {folder / 'inspect.json'}", highlight=False, soft_wrap=True)
    return 0


def _folder(found: Inspection, options: InspectOptions) -> Path:
    """Beside the output folder's records, where `coterie leaderboard build` finds it: one a record, or a coalition."""
    name = f"{slug(found.task_name)}-{slug(found.method_name)}-{found.seed}-{found.record[:8]}"
    single = "" if options.coalition is None else f"-coalition-{options.coalition}"
    return options.output_folder / "inspect" / (name + single)


def read_record(path: Path) -> Record:
    """Read a record of anybody's. Raises ``UsageError`` for what is none, or has no coalitions."""
    from coterie.tracking.record import Record

    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UsageError(f"{path}: expected a record of at most {MOST_BYTES:,} bytes, got {size:,}")
        record = Record.from_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path}: expected a record, got: {error.strerror}; fix: a .json under OUTPUT/records"
        ) from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise UsageError(
            f"{path}: not a valid record: {where}: {problem['msg']}; fix: a .json under OUTPUT/records"
        ) from None
    if record.status != "ok":
        raise UsageError(
            f"{path}: expected a finished cell, got one that is {record.status}: {record.reason!r}; fix: another"
        )
    return record


def _spec(record: Record, task: str | None) -> AnySpec:
    """The task that is named, else the registered one that the record names; a record never names a file to be read."""
    from coterie.tasks.registry import get_task_spec, list_tasks

    if task is None and record.task_name.partition("[")[0] not in list_tasks():
        raise UsageError(
            f"the record's task {record.task_name!r} is not a registered one; fix: --task FILE.yaml with its task file"
        )
    return get_task_spec(task or record.task_name)


def _settings(record: Record) -> Settings:
    from coterie.benchmark.protocol.settings import PROTOCOL, Settings

    if record.identity.protocol != PROTOCOL:
        raise UsageError(
            f"expected a record of protocol {PROTOCOL}, got {record.identity.protocol!r}; fix: the coterie that made it"
        )
    try:
        settings = Settings.model_validate(record.identity.settings)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise UsageError(
            f"the record's settings: {problem['loc'][0]}: {problem['msg']}; fix: run the cell again"
        ) from None
    if max(settings.controls, settings.max_coalitions, settings.control_pairs, settings.resamples / 100) > MOST_SETS:
        raise UsageError(
            f"the record's settings: expected at most {MOST_SETS} sets, got {settings}; fix: another record"
        )
    return settings


def load_checked(record: Record, spec: AnySpec, device: str, progress: Callable[[str], None]) -> AnyTask:
    """The record's task, and no other. Raises ``UsageError`` where the fingerprints differ."""
    from coterie.benchmark.runner.loading import load_task, plan_task

    plan = plan_task(spec)
    if plan.fingerprint != record.identity.task_fingerprint:
        raise UsageError(
            f"{spec.name}: expected the task that the record was made with (fingerprint "
            f"{record.identity.task_fingerprint[:12]}), got another (fingerprint {plan.fingerprint[:12]}): its weights, texts or "
            f"specification differ; fix: the same weights and texts (pip install -c constraints.txt -e .), --task with the "
            f"record's task file, or run the cell again"
        )
    return load_task(plan, device, progress)


def _print(found: Inspection, console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("coalition", "neurons", "agreement", "best signal", "R2", "nDCG@10 drop", "fires most at"):
        table.add_column(heading, justify="left" if heading in ("best signal", "fires most at") else "right")
    for card in found.cards:
        table.add_row(
            str(card.number),
            str(len(card.members)),
            _beside(card.agreement, 2),
            card.best_signal.name if card.best_signal else "-",
            _beside(card.best_r2, 3),
            _beside(card.ndcg_drop, 4),
            " ".join(repr(token.text.strip()) for token in card.tokens_high[:4]),
        )
    (console if console.is_terminal else Console(width=160)).print(table, markup=False)
    console.print(
        f"{found.task_name}, {found.method_name}, seed {found.seed}: {found.heldout_pairs} held-out pairs. In brackets the mean "
        f"of {found.controls} random sets of the same size. How to read a card: docs/inspect.md",
        highlight=False,
        markup=False,
    )


def _beside(value: Against | None, places: int) -> str:
    return "-" if value is None else f"{value.value:.{places}f} ({value.control:.{places}f})"
