"""`coterie inspect`: what a record's coalitions mean, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console

from coterie.benchmark.commands.tables import plain_table, wide_console
from coterie.benchmark.errors import ExitCode, UsageError, describe_os_error, exit_on_user_error, writing
from coterie.tracking.text import explain_invalid, first_problem, slug

if TYPE_CHECKING:
    from coterie.benchmark.protocol.settings import Settings
    from coterie.leaderboard.reports.card import Against, Inspection
    from coterie.tasks.task import Task, TaskSpec
    from coterie.tracking.record import Record

MOST_BYTES = 64 * 2**20  # of a record; one with 16,384 singletons has less than 1 MB
_RECORD_FILE = "a .json file under OUTPUT/records"
MOST_SETS = 1000  # controls and cards; the settings in another person's record could request any number


@dataclass(frozen=True)
class InspectOptions:
    """The options of `coterie inspect`."""

    record: Path
    """Path of the record."""
    coalition: int | None
    """Number of a coalition in the record; None for all that are evaluated."""
    task: str | None
    """Task file, for a record whose task is not registered."""
    output_folder: Path
    """Folder that the cards are written to."""
    device: str
    """auto, cpu, cuda or mps."""


def inspect_command(options: InspectOptions) -> ExitCode:
    """Make the cards, print them as a table, and write them to `inspect.html` and `inspect.json`."""
    from coterie.benchmark.inspection.build import inspect_record
    from coterie.benchmark.runner.environment import resolve_device
    from coterie.leaderboard.display.card_page import render_page
    from coterie.tracking.files import write_atomic

    console = Console()
    with exit_on_user_error():
        record = read_record(options.record)
        spec, settings, device = _spec(record, options.task), _settings(record), resolve_device(options.device)
        with console.status(f"{spec.name}: loading") as status:
            task = load_checked(record, spec, device, lambda step: status.update(f"{spec.name}: {step}"))
            status.update(f"{spec.name}: activations and ablations of the coalitions and of random sets")
            found = inspect_record(record, task, settings, options.coalition)
        _print(found, console)
        folder = _folder(found, options)
        with writing(folder, "another --output-folder"):
            write_atomic(folder / "inspect.html", render_page(found))
            write_atomic(folder / "inspect.json", found.model_dump_json(indent=1) + "\n")
    console.print(f"Written: {folder / 'inspect.html'}, {folder / 'inspect.json'}", highlight=False, soft_wrap=True)
    return ExitCode.OK


def _folder(found: Inspection, options: InspectOptions) -> Path:
    """The folder of a record's cards, or of one coalition's, where `coterie leaderboard build` finds it."""
    name = f"{slug(found.task_name)}-{slug(found.method_name)}-{found.seed}-{found.record[:8]}"
    single = "" if options.coalition is None else f"-coalition-{options.coalition}"
    return options.output_folder / "inspect" / (name + single)


def read_record(path: Path) -> Record:
    """Read a record, which may come from another person. Raises `UsageError` unless it is valid and has coalitions."""
    from coterie.tracking.record import Record

    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UsageError(f"{path}: expected a record of at most {MOST_BYTES:,} bytes, got {size:,}")
        record = Record.from_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: expected a record, got {describe_os_error(error)}; fix: {_RECORD_FILE}") from None
    except ValidationError as error:
        raise UsageError(f"{path}: {explain_invalid(error)}; fix: {_RECORD_FILE}") from None
    if record.status != "ok":
        raise UsageError(
            f"{path}: expected a finished cell, got status {record.status} ({record.reason!r}); fix: another record"
        )
    return record


def _spec(record: Record, task: str | None) -> TaskSpec:
    """The task of `--task` or, without it, the registered task of the record, which cannot name a file to read."""
    from coterie.tasks.registry import get_task_spec, list_tasks

    if task is None and record.task_name.partition("[")[0] not in list_tasks():
        raise UsageError(
            f"expected a record of a registered task, got one of {record.task_name!r}; fix: --task with its task file"
        )
    return get_task_spec(task or record.task_name)


def _settings(record: Record) -> Settings:
    from coterie.benchmark.protocol.settings import PROTOCOL, Settings

    if record.identity.protocol != PROTOCOL:
        raise UsageError(
            f"expected a record of protocol {PROTOCOL}, got {record.identity.protocol!r}; fix: use the version of coterie "
            f"that made it ({record.environment.coterie_version})"
        )
    try:
        settings = Settings.model_validate(record.identity.settings)
    except ValidationError as error:
        raise UsageError(f"the record's settings: {first_problem(error)}; fix: run the cell again") from None
    if max(settings.controls, settings.max_coalitions, settings.control_pairs, settings.resamples / 100) > MOST_SETS:
        raise UsageError(
            f"the record's settings: expected at most {MOST_SETS} sets, got {settings}; fix: another record"
        )
    return settings


def load_checked(record: Record, spec: TaskSpec, device: str, progress: Callable[[str], None]) -> Task:
    """Load the task that the record was made with. Raises `UsageError` if the fingerprints differ."""
    from coterie.tasks.kinds import plan_task

    plan = plan_task(spec)
    if plan.fingerprint != record.identity.task_fingerprint:
        raise UsageError(
            f"{spec.name}: expected the task of the record, with fingerprint {record.identity.task_fingerprint[:12]}, got "
            f"{plan.fingerprint[:12]}: weights, texts or specification differ; fix: install the same versions (pip install -c "
            f"constraints.txt -e .), pass --task with the record's task file, or run the cell again"
        )
    return plan.load(device, progress)


def _print(found: Inspection, console: Console) -> None:
    headings = ("coalition", "neurons", "agreement", "best signal", "R2", "nDCG@10 drop", "fires most at")
    table = plain_table(headings, left=("best signal", "fires most at"))
    for card in found.cards:
        table.add_row(
            str(card.number),
            str(len(card.members)),
            _with_control(card.agreement, 2),
            card.best_signal.name if card.best_signal else "-",
            _with_control(card.best_r2, 3),
            _with_control(card.ndcg_drop, 4),
            " ".join(repr(token.text.strip()) for token in card.tokens_high[:4]),
        )
    wide_console().print(table, markup=False)
    console.print(
        f"{found.task_name}, {found.method_name}, seed {found.seed}: {found.heldout_pairs} held-out pairs. In parentheses: the "
        f"mean of {found.controls} random sets of the same size. docs/inspect.md explains the cards.",
        highlight=False,
        markup=False,
    )


def _with_control(value: Against | None, places: int) -> str:
    return "-" if value is None else f"{value.value:.{places}f} ({value.control:.{places}f})"
