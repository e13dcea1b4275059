"""The progress of a run: a live view in a terminal, plain lines elsewhere, nothing with `--quiet`."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from coterie.benchmark.commands.logs import log_from
from coterie.benchmark.commands.progress import RunProgress
from coterie.benchmark.runner.grid import Run
from coterie.benchmark.runner.messages import NotRun
from coterie.tracking.store import RecordStore
from tests.benchmark.runner.test_workers import grid
from tests.records import make_record


def printed(terminal: bool, quiet: bool, folder: Path) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160, force_interactive=terminal, color_system=None)
    with RunProgress(console, quiet) as progress:
        progress.reading("my/task")
        first, second, third = (
            cell.request for cell in Run(grid("random", seeds=3), RecordStore(folder), progress).planned
        )
        progress.started(first)
        progress.started(second)
        progress.progress(first, "scoring", 120)
        if progress._live is not None:
            progress._live.refresh()
        fields = {"identity": first.identity, "identity_digest": first.identity.digest()}
        progress.finished(make_record().model_copy(update=fields), reused=False)
        progress.not_run(NotRun.of(second, "no [red]texts[/]"))
        progress.started(third)
        progress.spent("scoring", 1.5)
        progress.spent("scoring", 1.0)
        if progress._live is not None:
            progress._live.refresh()
        assert progress.seconds["scoring"] == 2.5
    return out.getvalue()


def test_without_a_terminal_progress_is_plain_lines(tmp_path: Path) -> None:
    reading, first, second = printed(terminal=False, quiet=False, folder=tmp_path).splitlines()
    assert reading == "reading texts: my/task"
    assert first.startswith("  [1/3] planted/coactive")
    assert "seed 0  ok" in first
    assert second == "  [2/3] planted/coactive: random, seed 1  not run: no [red]texts[/]"


def test_a_terminal_shows_a_live_view(tmp_path: Path) -> None:
    text = printed(terminal=True, quiet=False, folder=tmp_path)
    assert "0/3 cells" in text
    assert "2 running" in text
    assert "planted/coactive: random, seed 0: scoring (120 evaluations)" in text
    assert "1 running, 1 failed, about" in text
    assert " left" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_prints_nothing(terminal: bool, tmp_path: Path) -> None:
    assert printed(terminal, quiet=True, folder=tmp_path) == ""


def test_log_lines_below_the_level_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("coterie.worker")
    for level, expected in (("warning", ""), ("info", "INFO coterie.worker: said by a method\n"), ("error", "")):
        log_from(level)
        logger.info("said by a method")
        assert capsys.readouterr().err == expected
    log_from("warning")
