"""Everything that documents name exists: commands, options and their values, tasks, methods, suites, parts of the performance
table, files, folders, modules, names in modules, and environment variables."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from typer.main import get_command

from coterie.benchmark.cli.main import app
from coterie.benchmark.perf.parts import list_parts
from coterie.benchmark.protocol.metrics.registry import list_metrics
from coterie.benchmark.protocol.suites import SUITES
from coterie.methods.registry import list_methods
from coterie.tasks.registry import list_tasks
from coterie.tracking import mlflow_fields
from tests.test_module_names import exists

ROOT = Path(__file__).parent.parent
HISTORY = ("CHANGELOG.md",)  # names what existed at the time
FOLDERS = "benchmark|docs|examples|leaderboard|methods|tasks|tests|tracking"
_BLOCK = re.compile(r"^(?:```|~~~)[^\n]*\n(.*?)^(?:```|~~~)|^((?:(?: {4}|\t)[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_BARE_OPTION = re.compile(r"`(--[a-z][a-z-]+)\b[^`\n]*`")
_VARIABLE = re.compile(r"\bCOTERIE_[A-Z_]+\b")
_MODULE = re.compile(r"(?<![\w./-])coterie(?:\.[a-z_0-9]+)+")
_FROM = re.compile(r"^\s*from (coterie[\w.]*) import ([\w, ]+)$", re.MULTILINE)
_PATH = re.compile(
    rf"(?<![\w/.~-])(?:{FOLDERS})/[\w./-]*(?:\.(?:py|md|yaml|yml|ipynb|png|svg|txt|j2|json|toml)\b|/(?=[`\s),]))"
)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
_PLACEHOLDER = re.compile(r"[A-Z]{3,}|\.\.\.|<|\*|\{|\bmy[-_/]|\bnew-|\bbrand")
_CALL = re.compile(r"^\$? ?(?:[A-Z_]+=\S+ )*(?:coterie|python -m coterie\.benchmark) (.+)$")


def documents() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split() if path not in HISTORY and "submissions/" not in path]


def code_in(text: str) -> Iterator[str]:
    """Lines of code blocks, and code inside sentences."""
    for block, indented in _BLOCK.findall(text):
        yield from (block or indented).replace("\\\n", " ").splitlines()
    yield from _INLINE.findall(text)


def calls_in(text: str) -> Iterator[list[str]]:
    """The words of each call of `coterie`."""
    for line in code_in(text):
        for part in re.split(r"&&|\||;|\$\(", line.partition("  #")[0]):
            if call := _CALL.match(part.strip()):
                try:
                    yield shlex.split(call[1], comments=True)
                except ValueError:
                    yield call[1].split()


@cache
def every_option() -> frozenset[str]:
    def of(command: Any) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        for inner in getattr(command, "commands", {}).values():
            yield from of(inner)

    return frozenset(of(get_command(app))) | {"--help"}


def known_values(command: str, parameter: Any) -> set[str] | None:
    """The values that an option or argument may have in a document; None where anything may stand."""
    tasks, methods = set(list_tasks()), set(list_methods())
    by_name = {
        "task": tasks,
        "method": methods,
        "suite": set(SUITES),
        "part": set(list_parts()),
    }
    annotation = parameter.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    if command == "info":
        return tasks | methods | set(SUITES) | set(list_metrics())
    return by_name.get(parameter.name)


def wrong_values(name: str, command: Any, words: list[str]) -> set[str]:
    """Options and values in the words after a command that the command does not have."""
    options = {
        flag: p for p in command.params for flag in (*p.opts, *p.secondary_opts) if p.param_type_name == "option"
    }
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    wrong, waiting = set(), [word.rstrip(",.)") for word in words]
    while waiting:
        word = waiting.pop(0)
        if re.match(r"--?[a-z]", word):
            flag, _, value = word.partition("=")
            option = options.get(flag)
            if option is None:
                wrong |= set() if flag == "--help" else {f"{flag} of coterie {name}"}
                continue
            if option.is_flag:
                continue
            parameter, value = option, value or (waiting.pop(0) if waiting else "")
        elif arguments:
            parameter, value = arguments[0], word
            arguments = arguments[0 if arguments[0].nargs == -1 else 1 :]
        else:
            continue
        known = known_values(name, parameter)
        if known is not None and not _PLACEHOLDER.search(value) and not value.endswith((".yaml", ".py")):
            wrong |= {f"{bare} of coterie {name}" for bare in [value.partition("[")[0]] if bare and bare not in known}
    return wrong


def wrong_commands(text: str) -> set[str]:
    """Commands, options and values in a text that the command line does not have."""
    wrong = set()
    for words in calls_in(text):
        command, rest = get_command(app), list(words)
        while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
            name = rest[0].rstrip(":,.")
            if _PLACEHOLDER.search(name):
                break
            if name not in command.commands:
                wrong.add(f"coterie {name}")
                break
            command, rest = command.commands[name], rest[1:]
        else:
            wrong |= wrong_values(str(command.name), command, rest)
    return wrong


def wrong_names(text: str, folder: Path = ROOT) -> set[str]:
    """Files, folders, modules, options and variables in a text that do not exist.

    A page of the site counts as the notebook that it is made from.
    """
    paths = {path for path in (*_PATH.findall(text), *_LINK.findall(text)) if not _PLACEHOLDER.search(path)}
    places = (ROOT, folder, ROOT / "docs")
    exist = {p for p in paths if any((f / p).exists() or (f / p).with_suffix(".ipynb").exists() for f in places)}
    tags = {value for name, value in vars(mlflow_fields).items() if name.endswith("_TAG")}
    names = {*_MODULE.findall(text), *(f"{m}.{n.strip()}" for m, ns in _FROM.findall(text) for n in ns.split(","))}
    return (
        {
            path
            for path in paths - exist
            if not path.startswith(("reference/", "../reference/", "../../", "contributing.md"))
        }
        | {name for name in names if name not in tags and not exists(name)}
        | (set(_BARE_OPTION.findall(text)) - every_option())
        | (set(_VARIABLE.findall(text)) - variables())
    )


@cache
def variables() -> frozenset[str]:
    """The environment variables of ours that the code reads."""
    code = [path.read_text() for room in ("benchmark", "tasks", "tracking") for path in (ROOT / room).rglob("*.py")]
    return frozenset(name for text in code for name in re.findall(r"[\"\'](COTERIE_[A-Z_]+)[\"\']", text))


@pytest.mark.parametrize("document", documents())
def test_commands_options_and_values_in_documents_exist(document: str) -> None:
    assert wrong_commands((ROOT / document).read_text()) == set()


@pytest.mark.parametrize("document", documents())
def test_names_in_documents_exist(document: str) -> None:
    assert wrong_names((ROOT / document).read_text(), (ROOT / document).parent) == set()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`coterie rum`", "coterie rum"),
        ("`coterie run --fast`", "--fast of coterie run"),
        ("\n    coterie run --quiet && coterie leaderboard built --from x   # a comment\n", "coterie built"),
        ("```bash\ncoterie run \\\n  --fast 3\n```\n", "--fast of coterie run"),
        ("\n    OMP_NUM_THREADS=1 coterie run --fast\n", "--fast of coterie run"),
        ("`python -m coterie.benchmark run --fast`", "--fast of coterie run"),
        ("`coterie perf gemmm`", "gemmm of coterie perf"),
        ("`coterie ls taskss`", "taskss of coterie ls"),
        ("`coterie info nothing`", "nothing of coterie info"),
        ("`coterie run -t planted/nothing -m random`", "planted/nothing of coterie run"),
        ("`coterie run -m 'nothing[k=3]'`", "nothing of coterie run"),
        ("`coterie run --suite nothing`", "nothing of coterie run"),
        ("`coterie run --executor slow`", "slow of coterie run"),
    ],
)
def test_wrong_commands_are_found(text: str, wrong: str) -> None:
    assert wrong_commands(text) == {wrong}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("in `tasks/nowhere.py`", "tasks/nowhere.py"),
        ("in `tasks/nowhere/`", "tasks/nowhere/"),
        ("[here](nowhere.md)", "nowhere.md"),
        ("`coterie.tasks.nowhere`", "coterie.tasks.nowhere"),
        ("\n    from coterie.tasks.errors import Nowhere\n", "coterie.tasks.errors.Nowhere"),
        ("Use `--fast`.", "--fast"),
        ("Set `COTERIE_NOWHERE`.", "COTERIE_NOWHERE"),
    ],
)
def test_wrong_names_are_found(text: str, wrong: str) -> None:
    assert wrong_names(text) == {wrong}


def test_right_names_are_not_found() -> None:
    text = (
        "`coterie run -t 'pydoc-llama/relevance[layer=1]' -m 'hedonic-oca[k=3]' --suite quick --executor local`, "
        "`coterie perf gemm scale`, `coterie info synergy_joint`, `coterie run -t my_task.yaml`, `coterie train NAME`, "
        "`tasks/engine/replay.py`, `coterie.benchmark.run`, [docs](docs/tasks.md), `--timeout 30m`, `COTERIE_CACHE`"
    )
    assert wrong_commands(text) == wrong_names(text) == set()
