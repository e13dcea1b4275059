"""`coterie submit`: gather the records of a method over a suite into the folder of a submission."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path

import yaml
from pydantic import ValidationError

from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error, writing
from coterie.benchmark.protocol.settings import PROTOCOL
from coterie.benchmark.protocol.suites import SUITES, Suite
from coterie.benchmark.submissions.versions import version_differences
from coterie.leaderboard.entries.hostile import check_words, read_text, strict_yaml
from coterie.leaderboard.entries.submission import CARD, LARGEST, MANIFEST, TO_FILL, Card, manifest_of, read_submission
from coterie.leaderboard.errors import HostileError
from coterie.methods.base import Method, parse_selector
from coterie.methods.registry import get_method, list_methods
from coterie.tasks.config.text import did_you_mean
from coterie.tracking.files import write_atomic
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore

_MOST_CELLS_NAMED = 8


@dataclass(frozen=True)
class SubmitOptions:
    """The options of `coterie submit`."""

    output_folder: Path
    """The output folder of a finished run."""
    method: str | None
    """Selector of the method; None for every built-in method of the suite."""
    suite: str
    """Name of the suite."""
    seeds: int | None
    """Number of seeds; None for the suite's."""
    card: Path
    """The method card, or where to write a template."""
    to: Path
    """Folder of the submissions."""


def submit_command(options: SubmitOptions) -> ExitCode:
    """Write the submissions, and print how to verify them."""
    with exit_on_user_error():
        folders = submit(options)
    target = folders[0] if len(folders) == 1 else options.to
    print(f"Written: {', '.join(map(str, folders))}\nNext:\n  coterie verify {target}")
    return ExitCode.OK


def submit(options: SubmitOptions) -> list[Path]:
    """Write all submissions or none, and return their folders.

    Raises `UsageError`, which names the missing cells, if the records do not make up a submission.
    """
    if options.suite not in SUITES:
        raise UsageError(f"unknown suite {options.suite!r}{did_you_mean(options.suite, SUITES)}")
    suite = SUITES[options.suite]
    seeds = options.seeds or suite.seeds
    if seeds < suite.seeds:
        raise UsageError(f"--seeds: expected at least {suite.seeds}, the seeds of suite {options.suite}, got {seeds}")
    planned, stored = [], RecordStore(options.output_folder).all()
    for selector in [options.method] if options.method else suite.methods:
        records = _records_of_suite(stored, options, selector, suite, seeds)
        card = _card(options.card, records) if options.method else _built_in_card(get_method(selector), records)
        folder = options.to / card.method / card.version
        if folder.exists():
            fix = f"another `version` in {options.card}" if options.method else "another --to"
            raise UsageError(f"{folder}: exists already; fix: {fix}, or remove the folder")
        planned.append((folder, card, records))
    written: list[Path] = []
    try:
        for folder, card, records in planned:
            written.append(_write(folder, card, records, options.suite, seeds))
    except BaseException:
        for done in written:
            shutil.rmtree(done, ignore_errors=True)
        raise
    return written


def _records_of_suite(
    stored: Sequence[Record], options: SubmitOptions, method: str, suite: Suite, seeds: int
) -> list[Record]:
    """One record per cell of the suite, all with the same method, protocol, settings, code and data."""
    name = parse_selector(method)[0]
    selector = get_method(method).selector if name in list_methods() else method
    run = f"coterie run --suite {options.suite} -m '{selector}' --output-folder {options.output_folder}"
    by_cell: dict[tuple[str, int], list[Record]] = {}
    for record in stored:
        if record.method.selector == selector:
            by_cell.setdefault((record.task_name, record.seed), []).append(record)
    if not by_cell:
        near = did_you_mean(selector, {record.method.selector for record in stored})
        raise UsageError(f"{options.output_folder}: expected records of {selector!r}, got none{near}; fix: {run}")
    chosen, missing = [], []
    for task, seed in product(suite.tasks, range(seeds)):
        found = by_cell.get((task, seed), [])
        done = [record for record in found if _difference(record, suite) is None and record.status in ("ok", "skipped")]
        chosen += done
        if not done:
            missing.append(f"{task}, seed {seed}: {_why_missing(found, suite)}")
    if missing:
        more = f"; and {len(missing) - _MOST_CELLS_NAMED} more" if len(missing) > _MOST_CELLS_NAMED else ""
        raise UsageError(
            f"{len(missing)} of {len(suite.tasks) * seeds} cells of suite {options.suite} are missing: "
            f"{'; '.join(missing[:_MOST_CELLS_NAMED])}{more}; fix: {run} --seeds {seeds} --retry-failed"
        )
    _check_one_version(chosen)
    return chosen


def _why_missing(found: Sequence[Record], suite: Suite) -> str:
    """Why none of a cell's records can be submitted."""
    failed = next((record for record in found if _difference(record, suite) is None), None)
    if failed is not None:
        return f"{failed.status} ({' '.join((failed.reason or '').split())[:80]})"
    return str(_difference(found[0], suite)) if found else "not run"


def _difference(record: Record, suite: Suite) -> str | None:
    """How a record's run differed from the suite; None if it did not."""
    identity = record.identity
    if identity.protocol != PROTOCOL:
        return f"run with protocol {identity.protocol}, expected {PROTOCOL}"
    if identity.budget != suite.budget:
        return f"run with budget {identity.budget}, expected {suite.budget}"
    same = identity.settings == suite.settings.model_dump(mode="json")
    return None if same else "run with other settings than the suite's"


def _check_one_version(records: Sequence[Record]) -> None:
    """Raise `UsageError` unless all records are of the same version."""
    for difference in version_differences((f"{record.task_name}, seed {record.seed}", record) for record in records):
        raise UsageError(
            f"the records are of different versions: {difference.field} is {str(difference.first)[:40]} in "
            f"{difference.first_label} and {str(difference.value)[:40]} in {difference.label}; fix: run all cells again in "
            f"an empty --output-folder"
        )


def _card(path: Path, records: Sequence[Record]) -> Card:
    """Read the card; if it does not exist, write a template and raise an error that names the fields to fill in."""
    method = records[0].method_name
    if not path.exists():
        fill = _write_template(path, records)
        raise UsageError(
            f"{path}: expected a card, got none, so wrote a template; fix: fill in {', '.join(fill)}, then repeat"
        )
    try:
        values = strict_yaml(read_text(path.parent, path.name, LARGEST[CARD]))
        for where, error in check_words(values):
            raise HostileError(f"{where}: {error.expected}", error.got)
        card = Card.model_validate(values)
    except HostileError as error:
        raise UsageError(f"{path}: {error}; fix: edit it, or remove it to get a new template") from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise UsageError(f"{path}: {'; '.join(problems)}; fix: edit these fields") from None
    if card.method != method:
        raise UsageError(f"{path}: method: expected {method!r}, as in the records, got {card.method!r}")
    if sorted(card.sees) != sorted(records[0].method.sees):
        raise UsageError(f"{path}: sees: expected {records[0].method.sees}, as in the records, got {card.sees}")
    return card


def _built_in_card(method: Method, records: Sequence[Record]) -> Card:
    """The card of a built-in method. Its version is coterie's, followed by parameters that differ from their defaults."""
    coterie = version("coterie")
    defaults = type(method).build({}).parameters
    changed = [f"{name}-{value}" for name, value in method.parameters.items() if value != defaults[name]]
    return Card(
        method=method.name,
        version="-".join([coterie, *changed]),
        summary=method.summary(),
        authors=["the authors of coterie"],
        citation=method.reference,
        code=f"coterie=={coterie}",
        licence="Apache-2.0",
        sees=sorted(capability.value for capability in method.sees),
        cost=_cost(records),
    )


def _cost(records: Sequence[Record]) -> str:
    """The evaluations and seconds of discovery, as a phrase."""
    spent = [sum(r.cost.evaluations.values()) for r in records if r.cost is not None]
    seconds = [r.cost.discovery_seconds for r in records if r.cost is not None]
    if not spent:
        return "not run"
    fewest, most = min(spent), max(spent)
    evaluations = f"{fewest} to {most}" if fewest < most else str(most)
    return f"{evaluations} evaluation{'' if most == 1 else 's'}; at most {max(seconds):.1f} s per cell"


def _write_template(path: Path, records: Sequence[Record]) -> list[str]:
    """Write a card with the known fields, and return the names of the fields to fill in."""
    info = records[0].method
    values = {
        "method": records[0].method_name,
        "version": "1",
        "summary": info.summary[:300],
        "authors": [f"{TO_FILL}: your name"],
        "citation": f"{TO_FILL}: a reference, or none",
        "code": f"{TO_FILL}: https://... at a commit or tag",
        "licence": f"{TO_FILL}: an SPDX expression, e.g. Apache-2.0",
        "sees": sorted(info.sees),
        "cost": _cost(records),
    }
    lines = []
    for name, value in values.items():
        description = Card.model_fields[name].description
        lines.append(
            (f"# {description}\n" if description else "")
            + yaml.safe_dump({name: value}, allow_unicode=True, width=1000)
        )
    with writing(path, "another --card"):
        write_atomic(path, "".join(lines))
    return [name for name, value in values.items() if TO_FILL in str(value)]


def _write(folder: Path, card: Card, records: Sequence[Record], suite: str, seeds: int) -> Path:
    """Write a submission and read it again. The folder is complete and sound, or does not exist."""
    store = RecordStore(folder)
    try:
        with writing(folder, "another --to"):
            for record in records:
                store.write(record)
            card_text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            write_atomic(folder / CARD, card_text)
            manifest = manifest_of(folder, card, records[0].method.selector, suite, seeds)
            write_atomic(folder / MANIFEST, manifest.model_dump_json(indent=1))
            problems = read_submission(folder).problems
        if problems:
            raise UsageError(f"{problems[0]} ({len(problems)} in all); fix: correct the card, or run the cells again")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder
