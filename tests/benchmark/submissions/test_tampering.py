"""Every kind of tampering with a submission is caught, and the discrepancy names the right field.

After a change, the manifest is updated to match the files (`rehash`), so that hashes do not reveal it. The kinds in
`NOT_REHASHED` are about the manifest itself.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coterie.benchmark.commands.submit import SubmitOptions, submit
from coterie.benchmark.commands.verify import verify
from coterie.benchmark.protocol import suites
from coterie.leaderboard.entries.submission import CARD, LARGEST_RECORD, MANIFEST
from tests.benchmark.submissions.made import (
    CARD_VALUES,
    SELECTOR,
    SUITE,
    edit,
    edit_card,
    edit_manifest,
    edit_text,
    measure,
    record_file,
    rehash,
    run_suite,
)

Tamper = Callable[[Path], object]


def scaled(metric: str, *names: str, by: float = 1.01) -> Tamper:
    """Multiply numbers of a measure, also in arrays, by a factor."""

    def change(values: dict[str, Any]) -> None:
        found = measure(values, metric)
        for name in names:
            old = found[name]
            found[name] = [x * by for x in old] if isinstance(old, list) else old * by

    return edit(change)


def put(path: str, value: Any) -> Tamper:
    """Set one value of a record, by its dotted path."""

    def change(values: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            values = values[int(step)] if step.isdecimal() else values[step]
        values[last] = value

    return edit(change)


def groups(*wanted: Any) -> Tamper:
    return put("coalitions.groups", list(wanted))


def file(name: str, content: bytes | str = b"{}") -> Tamper:
    def tamper(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return tamper


def replaced(old: str, new: str) -> Tamper:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit_text(change)


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.json", b"0" * 10_000_000)
    return packed.getvalue()


def symlink(folder: Path) -> None:
    path = record_file(folder)
    path.unlink()
    path.symlink_to("/etc/passwd")


def linked_folder(folder: Path) -> None:
    (folder / "records/more").symlink_to("/etc")


def hard_link(folder: Path) -> None:
    outside = folder.parent.parent / "secret.json"
    outside.write_text("{}")
    os.link(outside, folder / "records/linked.json")


def pipe(folder: Path) -> None:
    record_file(folder).unlink()
    os.mkfifo(folder / "records/pipe.json")


def huge(folder: Path) -> None:
    with open(folder / "records/huge.json", "wb") as opened:
        opened.truncate(LARGEST_RECORD + 1)


def large_files(folder: Path) -> None:
    for number in range(9):
        with open(folder / f"records/{number}.json", "wb") as opened:
            opened.truncate(LARGEST_RECORD)


def many_files(folder: Path) -> None:
    for number in range(4001):
        (folder / f"{number}").touch()


def deep_folders(folder: Path) -> None:
    (folder / "records" / "/".join("abcdefghijk")).mkdir(parents=True)


def copied(folder: Path) -> None:
    path = record_file(folder)
    shutil.copy(path, path.with_name(f"copy-{path.name}"))


def rerun(folder: Path) -> None:
    """Add a second record of a cell, with another budget, as if to pick the better one."""
    path = record_file(folder)
    text = path.read_text()
    put("identity.budget", 50)(folder)
    path.write_text(text)


def swapped(folder: Path) -> None:
    first, second = record_file(folder, 0), record_file(folder, 1)
    texts = first.read_text(), second.read_text()
    first.write_text(texts[1])
    second.write_text(texts[0])


def swapped_answers(folder: Path) -> None:
    """Combine the coalitions of one seed with the scores of another."""
    other = json.loads(record_file(folder, 1).read_text())["coalitions"]
    put("coalitions", other)(folder)


def renamed_seed(folder: Path) -> None:
    path = record_file(folder)
    path.rename(path.with_name(path.name.replace("0-", "7-", 1)))


def recoded(encoding: str) -> Tamper:
    def tamper(folder: Path) -> None:
        path = record_file(folder)
        path.write_bytes(path.read_text().encode(encoding))

    return tamper


def other_task(folder: Path) -> None:
    put("identity.task_name", "planted/silent")(folder)


def nested(folder: Path) -> None:
    put("coalitions.notes", json.loads("[" * 40 + "]" * 40) and {"x": json.loads("[" * 40 + "]" * 40)})(folder)


def in_the_future(values: dict[str, Any]) -> None:
    values["date"] = (datetime.now(UTC) + timedelta(days=3)).isoformat()


KINDS: dict[str, tuple[Tamper, str]] = {
    # numbers
    "a value nudged by 1 %": (scaled("synergy_joint", "value"), "computed from its per-query arrays"),
    "a value nudged by 1 %, arrays and interval too": (
        scaled("synergy_joint", "value", "low", "high", "numerator", "method_value", "control_value"),
        "scores.synergy_joint/heldout.value: expected",
    ),
    "a single query nudged by 1 %": (
        edit(
            lambda v: measure(v, "synergy_pair")["numerator"].__setitem__(
                0, measure(v, "synergy_pair")["numerator"][0] * 1.01
            )
        ),
        "synergy_pair/heldout.numerator[0]",
    ),
    "an index nudged by 1 %": (scaled("recovery_omega", "value", "numerator"), "recovery_omega/heldout.value"),
    "a share nudged by 1 %": (scaled("sizes", "value", "method_value"), "scores.sizes/"),
    "method's own value nudged": (scaled("synergy_joint", "method_value"), "synergy_joint/heldout.method_value"),
    "control value nudged": (scaled("synergy_excess", "control_value"), "synergy_excess/heldout.control_value"),
    "denominators changed": (scaled("synergy_joint", "denominator", by=0.5), "synergy_joint/heldout.denominator"),
    "an interval that is too narrow": (scaled("synergy_joint", "low", by=0.9), "synergy_joint/heldout.low"),
    "no interval": (edit(lambda v: measure(v, "synergy_joint").update(low=None, high=None)), "got none"),
    "shortened per-query arrays": (
        edit(lambda v: [measure(v, "synergy_joint")[n].pop() for n in ("numerator", "denominator")]),
        "rows",
    ),
    "no per-query arrays": (
        edit(lambda v: measure(v, "synergy_joint").update(numerator=[], denominator=[])),
        "synergy_joint/heldout.numerator: expected",
    ),
    "a value hidden behind a reason": (
        edit(lambda v: measure(v, "synergy_joint").update(value=None, reason="not measured")),
        "synergy_joint/heldout.reason",
    ),
    "a metric left out": (edit(lambda v: v["scores"].pop(0)), "expected a measure, got none"),
    "a metric made up": (
        edit(lambda v: v["scores"].append({**v["scores"][0], "metric": "brilliance"})),
        "scores.brilliance/heldout: expected no such measure",
    ),
    "a metric twice": (edit(lambda v: v["scores"].append(v["scores"][0])), "expected one measure, got 2"),
    "direction reversed": (
        edit(lambda v: measure(v, "pac_blocking").update(higher_is_better=True)),
        "pac_blocking/heldout.higher_is_better",
    ),
    "unit changed": (edit(lambda v: measure(v, "synergy_joint").update(unit="sd")), "synergy_joint/heldout.unit"),
    "NaN": (replaced('"value":', '"value": NaN, "x":'), "finite numbers, got NaN"),
    "Infinity": (replaced('"value":', '"value": Infinity, "x":'), "finite numbers, got Infinity"),
    "a number that overflows": (replaced('"value":', '"value": 1e999, "x":'), "finite numbers, got 1e999"),
    # coalitions
    "coalitions of another seed": (swapped_answers, "scores."),
    "coalitions of another task": (other_task, "identity"),
    "other coalitions": (groups([0, 1, 2], [3, 4, 5]), "scores."),
    "10^6 coalitions": (groups(*([[0, 1]] * 10**6)), "at most 50000 lists and objects, got 1000"),
    "too many coalitions": (groups(*([[0, 1]] * 20_001)), "at most 20000 coalitions, got 20001"),
    "an empty coalition": (groups([0, 1], []), "empty group"),
    "no coalition": (groups(), "scores."),
    "index out of range": (groups([0, 24_000]), "player indices"),
    "negative index": (groups([0, -1]), "player indices"),
    "a member twice": (groups([0, 0, 1]), "expected each member once"),
    "a coalition twice": (groups([0, 1], [1, 0]), "expected other members"),
    "wrong n_players": (put("coalitions.n_players", 1000), "coalitions.n_players"),
    "text as a member": (groups(["one", 2]), "valid integer"),
    # what the record says it is
    "wrong identity digest": (
        edit_text(lambda t: t.replace('"seed": 0', '"seed": 0 ').replace('"budget": 100', '"budget": 99')),
        "identity_digest",
    ),
    "another protocol": (put("identity.protocol", "coterie-0"), "identity.protocol: expected coterie-2"),
    "other settings": (put("identity.settings.pairs", 1), "identity.settings"),
    "enormous settings": (put("identity.settings.resamples", 10**12), "identity.settings"),
    "another budget": (put("identity.budget", 10**9), "identity.budget"),
    "another fingerprint": (put("identity.task_fingerprint", "0" * 64), "identity.task_fingerprint"),
    "another data revision": (put("task.dataset_revision", "0" * 64), "task.dataset_revision"),
    "another model": (put("task.model_hash", "0" * 64), "task.model_hash"),
    "another code hash": (put("identity.code_hash", "0" * 64), "identity.code_hash"),
    "other parameters": (put("identity.parameters.min_size", 2), "parameters"),
    "a selector of another method": (put("method.selector", "hedonic-oca"), "method.selector"),
    "a flattering summary": (put("method.summary", "The best there is."), "method.summary"),
    "a false list of what the method sees": (put("method.sees", ["weights"]), "method.sees"),
    "a task that is not registered": (put("identity.task_name", "mine/easy"), "a registered task"),
    "a task file's path as the task": (put("identity.task_name", "tmp/task.yaml"), "a registered task"),
    "a seed beyond those of the suite": (put("identity.seed", 7), "a cell of tiny"),
    "a date in the future": (edit(in_the_future), "date: expected"),
    "a failed cell": (edit(lambda v: v.update(status="failed", reason="bad luck", scores=[])), "ok or skipped"),
    "a bad cell reported as skipped": (
        edit(lambda v: v.update(status="skipped", reason="bad luck", scores=[])),
        "status: expected ok",
    ),
    "cost below zero": (put("cost.discovery_seconds", -1.0), "cost.discovery_seconds"),
    "cost beyond the budget": (put("cost.evaluations", {"ablations": 101}), "at most the budget"),
    "cost of a kind that the method does not see": (
        put("cost.evaluations", {"gradients": 1}),
        "kinds that the method sees",
    ),
    "unknown fields": (put("bonus", 1), "bonus"),
    "another schema": (put("schema_version", 2), "schema_version"),
    "HTML in a text": (put("method.reference", "<script>alert(1)</script>"), "no markup"),
    "a name reversed by Unicode": (put("environment.platform", "linux\u202egnp"), "no control characters"),
    # files
    "a cell missing": (lambda f: record_file(f).unlink(), "planted/coactive, seed 0: expected a record"),
    "a record copied": (copied, "this record at records/"),
    "a cell twice, with another budget": (rerun, "one record of planted/coactive, seed 0"),
    "records swapped": (swapped, "this record at records/"),
    "another seed in the file name": (renamed_seed, "this record at records/"),
    "an extra hidden file": (file("records/.extra.json"), "got another file"),
    "an extra program": (file("setup.py", "print(1)"), "got another file"),
    "an extra file that is not a record": (file("records/extra.json"), "extra.json: identity"),
    "HTML in a file name": (file("records/<img src=x>.json"), "<img src=x>.json"),
    "a line break in a file name": (file("records/a\n::error::b.json"), r"a\n::error::b.json"),
    "a zip bomb": (file("records/bomb.zip", zip_bomb()), "got another file"),
    "a zip bomb called a record": (file("records/bomb.json", zip_bomb()), "expected UTF-8"),
    "a symbolic link": (symlink, "got a symbolic link"),
    "a symbolic link to a folder": (linked_folder, "got a symbolic link"),
    "a hard link": (hard_link, "got a hard link"),
    "a pipe": (pipe, "got a pipe"),
    "a huge file": (huge, "bytes, got"),
    "many large files": (large_files, "bytes in all"),
    "too many files": (many_files, "at most 4000 files"),
    "deep folders": (deep_folders, "levels of folders"),
    "UTF-16": (recoded("utf-16"), "expected UTF-8"),
    "a byte order mark": (recoded("utf-8-sig"), "byte order mark"),
    "duplicate JSON keys": (replaced('"seed": 0', '"seed": 0, "seed": 0'), "each key once"),
    "deep JSON": (file("records/deep.json", "[" * 40_000), "levels of brackets"),
    "deeply nested notes": (nested, "levels of brackets"),
    "half a record": (edit_text(lambda t: t[: len(t) // 2]), "expected JSON"),
    "an integer of 10,000 digits": (replaced('"seed": 0', '"seed": ' + "9" * 10_000), "expected JSON"),
    # card and manifest
    "no card": (lambda f: (f / CARD).unlink(), "card.yaml: expected a file"),
    "a card without licence": (edit_card(lambda v: v.pop("licence")), "card.yaml: licence"),
    "a card that is not filled in": (edit_card(lambda v: v.update(authors=["FILL IN: you"])), "still to be filled in"),
    "a card with other fields": (edit_card(lambda v: v.update(rank=1)), "card.yaml: rank"),
    "HTML in an author's name": (edit_card(lambda v: v.update(authors=["<b>Ada</b>"])), "no markup"),
    "a script as the code link": (edit_card(lambda v: v.update(code="javascript:alert(1)")), "card.yaml: code"),
    "a card that hides what it sees": (edit_card(lambda v: v.update(sees=["weights"])), "as in card.yaml"),
    "a card of another method": (edit_card(lambda v: v.update(method="hedonic-oca")), "card.yaml: method"),
    "YAML aliases that multiply": (file(CARD, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), "without aliases"),
    "a YAML object": (file(CARD, "method: !!python/object/apply:os.system [id]\n"), "card.yaml: expected YAML"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "manifest.json: expected a file"),
    "a wrong hash": (
        edit_manifest(lambda v: v["files"].update({next(iter(v["files"])): "0" * 64})),
        "sha256: expected 0000",
    ),
    "a path out of the folder": (
        edit_manifest(lambda v: v["files"].update({"../../../etc/passwd": "0" * 64})),
        "../../../etc/passwd",
    ),
    "an absolute path": (edit_manifest(lambda v: v["files"].update({"/etc/passwd": "0" * 64})), "/etc/passwd: sha256"),
    "a file changed after it was hashed": (put("cost.discovery_seconds", 0.001), "sha256: expected"),
    "an unknown suite": (edit_manifest(lambda v: v.update(suite="easy")), "manifest.json: suite"),
    "fewer seeds": (edit_manifest(lambda v: v.update(seeds=1)), "manifest.json: seeds"),
    "a version that is a path": (edit_manifest(lambda v: v.update(version="../1")), "manifest.json: version"),
    "another method's folder": (edit_manifest(lambda v: v.update(method="hedonic-oca")), "the name of the folder"),
}
NOT_REHASHED = {
    "no manifest",
    "a wrong hash",
    "a path out of the folder",
    "an absolute path",
    "a file changed after it was hashed",
}


@pytest.fixture(autouse=True)
def tiny_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(suites.SUITES, "tiny", SUITE)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("submissions")
    card = root / "card.yaml"
    card.write_text(json.dumps(CARD_VALUES))  # JSON is YAML
    run_suite(root / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(suites.SUITES, "tiny", SUITE)
        [folder] = submit(SubmitOptions(root / "out", SELECTOR, "tiny", None, card, root / "to"))
        yield folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "to/random/1"))


def test_sound_submission_is_verified(folder: Path) -> None:
    [found] = verify([folder])
    assert found.problems == []
    assert found.badge is not None
    assert found.badge.cells == 2
    assert found.badge.numbers > 100


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tampering_is_caught(kind: str, folder: Path) -> None:
    tamper, says = KINDS[kind]
    tamper(folder)
    if kind not in NOT_REHASHED:
        rehash(folder)
    started = time.process_time()
    [found] = verify([folder])
    assert found.badge is None
    lines = [str(problem) for problem in found.problems]
    assert any(says in line for line in lines), lines[:10]
    assert all("\n" not in line and len(line) < 1000 for line in lines)
    assert time.process_time() - started < 60, "processor time, not wall-clock time"
