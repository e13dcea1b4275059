"""``coterie submit``: the records of one method over a suite, gathered into a submission folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml
from pydantic import ValidationError

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.benchmark.protocol.settings import PROTOCOL
from coterie.benchmark.protocol.suites import SUITES, Suite
from coterie.leaderboard.entries.hostile import check_words, read_text, strict_yaml
from coterie.leaderboard.entries.submission import CARD, LARGEST, MANIFEST, TO_FILL, Card, manifest_of, read_submission
from coterie.leaderboard.errors import HostileError
from coterie.methods.base import Method, split_selector
from coterie.methods.registry import get_method, list_methods
from coterie.tasks.config.text import did_you_mean
from coterie.tracking.files import write_atomic
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore

_SAME = ("code_hash", "parameters")  # of all cells; what else must agree follows from the suite
_MOST_TOLD = 8


@dataclass(frozen=True)
class SubmitOptions:
    """``method`` None: every built-in method of the suite."""

    output_folder: Path
    method: str | None
    suite: str
    seeds: int | None
    card: Path
    to: Path


def submit_command(options: SubmitOptions) -> int:
    """Write the submissions; exit code 2, with all that is missing, where there is none to write."""
    with exit_on_user_error():
        folders = submit(options)
    print(
        f"Written: {', '.join(map(str, folders))}\nNext:\n  coterie verify {folders[0] if len(folders) == 1 else options.to}"
    )
    return 0


def submit(options: SubmitOptions) -> list[Path]:
    """The folders of the new submissions: all or none. Raises ``UsageError``."""
    if options.suite not in SUITES:
        raise UsageError(f"unknown suite {options.suite!r}{did_you_mean(options.suite, SUITES)}")
    suite = SUITES[options.suite]
    seeds = options.seeds or suite.seeds
    if seeds < suite.seeds:
        raise UsageError(f"--seeds: expected at least the {suite.seeds} of suite {options.suite}, got {seeds}")
    planned, stored = [], RecordStore(options.output_folder).all()
    for selector in [options.method] if options.method else suite.methods:
        records = _cells(stored, options, selector, suite, seeds)
        card = _card(options.card, records) if options.method else _built_in_card(get_method(selector), records)
        folder = options.to / card.method / card.version
        if folder.exists():
            way = f"another `version` in {options.card}" if options.method else "another --to"
            raise UsageError(f"{folder}: exists already; fix: {way}, or remove that folder")
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


def _cells(stored: Sequence[Record], options: SubmitOptions, method: str, suite: Suite, seeds: int) -> list[Record]:
    """One record for each cell of the suite, all of one method, protocol, settings, code and data."""
    name = split_selector(method)[0]
    selector = get_method(method).selector if name in list_methods() else method
    named = [record for record in stored if record.method.selector == selector]
    if not named:
        there = {record.method.selector for record in stored}
        raise UsageError(
            f"{options.output_folder}: no records of {selector!r} there{did_you_mean(selector, there)}; "
            f"fix: coterie run --suite {options.suite} -m '{selector}' --output-folder {options.output_folder}"
        )
    settings = suite.settings.model_dump(mode="json")
    fits = [
        r
        for r in named
        if (r.identity.protocol, r.identity.settings, r.identity.budget) == (PROTOCOL, settings, suite.budget)
    ]
    chosen, missing = [], []
    for task in suite.tasks:
        for seed in range(seeds):
            found = [r for r in fits if (r.task_name, r.seed) == (task, seed)]
            others = [r for r in named if (r.task_name, r.seed) == (task, seed)]
            done = [r for r in found if r.status in ("ok", "skipped")]
            chosen += done
            if not done:
                missing.append(f"{task}, seed {seed}: {_why(found, others, suite)}")
    if missing:
        more = f"; and {len(missing) - _MOST_TOLD} more" if len(missing) > _MOST_TOLD else ""
        raise UsageError(
            f"{len(missing)} of {len(suite.tasks) * seeds} cells of suite {options.suite} are missing: "
            f"{'; '.join(missing[:_MOST_TOLD])}{more}; fix: coterie run --suite {options.suite} -m '{selector}' "
            f"--seeds {seeds} --retry-failed --output-folder {options.output_folder}"
        )
    _check_unmixed(chosen)
    return chosen


def _why(found: Sequence[Record], others: Sequence[Record], suite: Suite) -> str:
    if found:
        return f"{found[0].status} ({' '.join((found[0].reason or '').split())[:80]})"
    if not others:
        return "not run"
    identity = others[0].identity
    if identity.protocol != PROTOCOL:
        return f"run with protocol {identity.protocol}, expected {PROTOCOL}"
    if identity.budget != suite.budget:
        return f"run with budget {identity.budget}, expected {suite.budget}"
    return "run with other settings than the suite's"


def _check_unmixed(records: Sequence[Record]) -> None:
    """Raises ``UsageError`` where a cell is there twice or the cells are not of one version."""
    seen: dict[str, tuple[object, str]] = {}
    for record in records:
        cell = f"{record.task_name}, seed {record.seed}"
        values = {name: getattr(record.identity, name) for name in _SAME}
        values |= {f"dataset_revision of {record.task_name}": record.task.dataset_revision}
        values |= {f"fingerprint of {record.task_name}": record.identity.task_fingerprint}
        values |= {"coterie_version": record.environment.coterie_version}
        for name, value in values.items():
            first, where = seen.setdefault(name, (value, cell))
            if first != value:
                raise UsageError(
                    f"the records are of different versions: {name} is {str(first)[:40]} in {where} and "
                    f"{str(value)[:40]} in {cell}; fix: run all cells again in an empty --output-folder"
                )


def _card(path: Path, records: Sequence[Record]) -> Card:
    """The card; where there is none, a template is written and the error says what to fill in."""
    method = records[0].method_name
    if not path.exists():
        fill = _write_template(path, records)
        raise UsageError(f"{path}: written for you; fix: fill in {', '.join(fill)}, then run this command again")
    try:
        values = strict_yaml(read_text(path.parent, path.name, LARGEST[CARD]))
        for where, error in check_words(values):
            raise HostileError(f"{where}: {error.expected}", error.got)
        card = Card.model_validate(values)
    except HostileError as error:
        raise UsageError(f"{path}: {error}; fix: edit it, or remove it to get a new template") from None
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise UsageError(f"{path}: {'; '.join(told)}; fix: edit these fields") from None
    if card.method != method:
        raise UsageError(f"{path}: method: expected {method!r}, as in the records, got {card.method!r}")
    if sorted(card.sees) != sorted(records[0].method.sees):
        raise UsageError(f"{path}: sees: expected {records[0].method.sees}, as in the records, got {card.sees}")
    return card


def _built_in_card(method: Method, records: Sequence[Record]) -> Card:
    """The card of a method that coterie brings along; its version is coterie's, and what it is set to."""
    here = version("coterie")
    defaults = type(method).build({}).parameters
    changed = [f"{name}-{value}" for name, value in method.parameters.items() if value != defaults[name]]
    return Card(
        method=method.name,
        version="-".join([here, *changed]),
        summary=method.summary(),
        authors=["the authors of coterie"],
        citation=method.reference,
        code=f"coterie=={here}",
        licence="Apache-2.0",
        sees=sorted(capability.value for capability in method.sees),
        cost=_cost(records),
    )


def _cost(records: Sequence[Record]) -> str:
    spent = [sum(r.cost.evaluations.values()) for r in records if r.cost is not None]
    seconds = [r.cost.discovery_seconds for r in records if r.cost is not None]
    return f"{min(spent)} to {max(spent)} evaluations, {max(seconds):.1f} s at most for a cell" if spent else "not run"


def _write_template(path: Path, records: Sequence[Record]) -> list[str]:
    """Known fields filled in, the others to be; the names of the latter."""
    info = records[0].method
    told = {
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
    for name, value in told.items():
        about = Card.model_fields[name].description
        lines.append((f"# {about}\n" if about else "") + yaml.safe_dump({name: value}, allow_unicode=True, width=1000))
    try:
        write_atomic(path, "".join(lines))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; fix: --card for another file") from None
    return [name for name, value in told.items() if TO_FILL in str(value)]


def _write(folder: Path, card: Card, records: Sequence[Record], suite: str, seeds: int) -> Path:
    """All files, and read back: the folder is there whole and sound, or not at all."""
    store = RecordStore(folder)
    try:
        for record in records:
            store.write(record)
        write_atomic(folder / CARD, yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
        manifest = manifest_of(folder, card, records[0].method.selector, suite, seeds)
        write_atomic(folder / MANIFEST, manifest.model_dump_json(indent=1))
        problems = read_submission(folder).problems
        if problems:
            raise UsageError(f"{problems[0]}; fix: see there; {len(problems)} such problems in all")
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise UsageError(f"{folder}: cannot be written: {error}; fix: --to for another folder") from None
        raise
    return folder
