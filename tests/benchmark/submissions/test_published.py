"""The published board as it lies in the repository: complete, sound and verified.

What the present version of coterie made must also be of its code, weights and texts. What an earlier version made is not
wrong: it must be sound, and carry the badge of that version.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.commands.verify import another_version, verify
from coterie.benchmark.protocol.settings import PROTOCOL
from coterie.benchmark.protocol.suites import SUITES
from coterie.benchmark.runner.loading import plan_task
from coterie.benchmark.submissions.claims import check_claims
from coterie.benchmark.submissions.rescoring import Rescored, check_scores
from coterie.leaderboard.entries.submission import BADGE, Submission, Verification, read_submission, submissions_in
from coterie.methods import get_method, list_methods
from coterie.tasks.registry import get_task_spec

ROOT = Path(__file__).parents[3] / "leaderboard/submissions"
RENEW = "fix: bash .ci/board"


@pytest.fixture(scope="module")
def published() -> list[Submission]:
    return [read_submission(folder) for folder in submissions_in(ROOT)]


def test_the_suite_has_every_built_in_method() -> None:
    there = {get_method(selector).name for selector in SUITES["board"].methods}
    assert there == {name for name, cls in list_methods().items() if cls.__module__.startswith("coterie.methods")}


def test_quick_is_a_part_of_the_board() -> None:
    quick, board = SUITES["quick"], SUITES["board"]
    assert set(quick.tasks) <= set(board.tasks)
    assert set(quick.methods) <= set(board.methods)
    assert (quick.seeds, quick.budget, quick.settings) == (board.seeds, board.budget, board.settings)


def test_every_method_of_the_suite_is_published(published: list[Submission]) -> None:
    there = {found.manifest.selector for found in published if found.manifest}
    assert {get_method(selector).selector for selector in SUITES["board"].methods} <= there, RENEW


def test_what_is_published_is_sound_and_verified(published: list[Submission]) -> None:
    for found in published:
        assert not found.problems, found.folder
        if another_version(found) is None:
            assert not list(check_claims(found)), f"{found.folder}: {RENEW}"
        badge = Verification.model_validate_json((found.folder / BADGE).read_text())
        assert found.manifest is not None
        assert badge.submission == found.manifest.digest(), f"{found.folder}: the badge of other files; {RENEW}"
        assert (badge.protocol, badge.cells) == (PROTOCOL, len(found.records))
        made_by = {record.environment.coterie_version for record in found.records.values()}
        assert made_by == {badge.coterie_version}, f"{found.folder}: the badge of another version"


def test_what_an_earlier_version_made_is_not_called_wrong(published: list[Submission]) -> None:
    earlier = next((found for found in published if another_version(found) is not None), None)
    if earlier is None:
        pytest.skip("all of the board was made by this version")
    before = (earlier.folder / BADGE).read_text()
    (outcome,) = verify([earlier.folder])
    assert (outcome.badge, outcome.problems) == (None, [])
    assert outcome.made_by is not None
    result = CliRunner().invoke(app, ["verify", str(earlier.folder)])
    assert result.exit_code == 1
    assert "was made by coterie" in result.output
    assert (earlier.folder / BADGE).read_text() == before, "the badge is that version's"


def test_it_is_of_the_texts_and_weights_that_are_here(published: list[Submission]) -> None:
    here = {name: plan_task(get_task_spec(name)).fingerprint for name in SUITES["board"].tasks}
    for found in published:
        for record in found.records.values() if another_version(found) is None else ():
            assert record.identity.task_fingerprint == here[record.task_name], f"{record.task_name}: {RENEW}"
            assert not [warning for warning in record.task.warnings if "texts differ" in warning]


@pytest.mark.slow
def test_it_scores_again(published: list[Submission]) -> None:
    """One cell of two methods; ``coterie verify leaderboard/submissions`` does all, in half an hour."""
    chosen = [found for found in published if found.manifest and found.manifest.method in ("random", "hedonic-oca")]
    if any(another_version(found) is not None for found in chosen):
        pytest.skip("made by an earlier version, whose tasks were others")
    again = [
        Rescored({p: r for p, r in found.records.items() if (r.task_name, r.seed) == ("pydoc-llama/relevance", 0)})
        for found in chosen
    ]
    check_scores(again, "cpu", lambda _line: None)
    assert [submission.compared.cells for submission in again] == [1, 1]
    assert [problem for submission in again for problem in submission.problems] == []
