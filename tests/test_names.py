"""Whatever documents name exists: commands, options, files, modules, parts of the performance table, tasks and suites."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from coterie.benchmark.cli.main import app
from coterie.tracking import mlflow_fields

ROOT = Path(__file__).parent.parent
HISTORY = ("CHANGELOG.md",)  # names what existed at the time
FOLDERS = "benchmark|docs|examples|leaderboard|methods|tasks|tests|tracking"
_BLOCK = re.compile(r"^(?:```|~~~).*?\n(.*?)^(?:```|~~~)|^((?:(?: {4}|\t)[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_MODULE = re.compile(r"(?<![\w./-])coterie(?:\.[a-z_0-9]+)+")
_PATH = re.compile(rf"(?<![\w/.~-])(?:{FOLDERS})/[\w./-]*\.(?:py|md|yaml|yml|ipynb|png|svg|txt|j2|json|toml)\b")
_PLACEHOLDER = re.compile(r"[A-Z]{3,}|\.\.\.|<|\*|\bmy[-_/]")


def documents() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split() if path not in HISTORY and "submissions/" not in path]


def code_in(text: str) -> Iterator[str]:
    """Lines of code blocks, and code inside sentences."""
    for block, indented in _BLOCK.findall(text):
        yield from (block or indented).replace("\\\n", " ").splitlines()
    yield from _INLINE.findall(text)


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each call of `coterie`."""
    for line in code_in(text):
        for part in re.split(r"&&|\||;|\$\(", line.partition("  #")[0]):
            words = part.strip().removeprefix("$ ").split()
            if words[:1] == ["coterie"] and len(words) > 1:
                try:
                    yield shlex.split(part.strip().removeprefix("$ "), comments=True)[1:]
                except ValueError:
                    yield words[1:]


def wrong_commands(text: str) -> set[str]:
    """Commands and options in a text that the command line does not have."""
    wrong = set()
    for words in commands_in(text):
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
            known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
            flags = {re.split(r"[=,.)]", word)[0] for word in rest if re.match(r"--?[a-z]", word)}
            wrong |= {f"{flag} of coterie {' '.join(words)}" for flag in flags - known}
    return wrong


def wrong_names(text: str, folder: Path = ROOT) -> set[str]:
    """Files and modules in a text that do not exist; a page of the site counts as the notebook that it is made from."""
    paths = {path for path in _PATH.findall(text) if not _PLACEHOLDER.search(path)}
    exist = {
        p for p in paths if any((f / p).exists() or (f / p).with_suffix(".ipynb").exists() for f in (ROOT, folder))
    }
    tags = {value for name, value in vars(mlflow_fields).items() if name.endswith("_TAG")}
    return (paths - exist) | {name for name in _MODULE.findall(text) if name not in tags and not _exists(name)}


@pytest.mark.parametrize("document", documents())
def test_commands_and_options_in_documents_exist(document: str) -> None:
    assert wrong_commands((ROOT / document).read_text()) == set()


@pytest.mark.parametrize("document", documents())
def test_files_and_modules_in_documents_exist(document: str) -> None:
    assert wrong_names((ROOT / document).read_text(), (ROOT / document).parent) == set()


def _exists(name: str) -> bool:
    """Whether a dotted name is a module of ours, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    try:
        if find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    try:
        return hasattr(import_module(module), attribute)
    except ModuleNotFoundError:
        return False


def test_wrong_names_are_detected() -> None:
    text = (
        "Run `coterie rum` or `coterie run --fast`, and\n\n"
        "    coterie run --quiet && coterie leaderboard built --from x   # a comment\n\n"
        "in `tasks/nowhere.py`, `coterie.tasks.nowhere` and `coterie.benchmark.run`.\n"
    )
    assert wrong_commands(text) == {"coterie rum", "--fast of coterie run --fast", "coterie built"} | wrong_commands(
        "`coterie leaderboard built`"
    )
    assert wrong_names(text) == {"tasks/nowhere.py", "coterie.tasks.nowhere"}
