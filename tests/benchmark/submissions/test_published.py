"""The published leaderboard in the repository is complete, sound and verified.

Submissions that this version of coterie made must also match its code, weights and texts. Those of an earlier version must be
sound and have that version's badge; they are not called wrong.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.commands.verify import another_version, verify
from coterie.benchmark.protocol.settings import PROTOCOL
from coterie.benchmark.protocol.suites import SUITES
from coterie.benchmark.submissions.claims import check_claims
from coterie.benchmark.submissions.rescoring import Rescored, check_scores
from coterie.leaderboard.entries.submission import BADGE, Submission, Verification, read_submission, submissions_in
from coterie.methods import get_method, list_methods
from coterie.tasks.kinds import plan_task
from coterie.tasks.registry import get_task_spec

ROOT = Path(__file__).parents[3] / "leaderboard/submissions"
RENEW = "fix: bash .ci/board"


@pytest.fixture(scope="module")
def published() -> list[Submission]:
    return [read_submission(folder) for folder in submissions_in(ROOT)]


def test_suite_board_has_every_built_in_method() -> None:
    suite = {get_method(selector).name for selector in SUITES["board"].methods}
    assert suite == {name for name, cls in list_methods().items() if cls.__module__.startswith("coterie.methods")}


def test_suite_quick_is_a_part_of_suite_board() -> None:
    quick, board = SUITES["quick"], SUITES["board"]
    assert set(quick.tasks) <= set(board.tasks)
    assert set(quick.methods) <= set(board.methods)
    assert (quick.seeds, quick.budget, quick.settings) == (board.seeds, board.budget, board.settings)


def test_every_method_of_the_suite_is_published(published: list[Submission]) -> None:
    selectors = {found.manifest.selector for found in published if found.manifest}
    assert {get_method(selector).selector for selector in SUITES["board"].methods} <= selectors, RENEW


def test_published_submissions_are_sound_and_verified(published: list[Submission]) -> None:
    for found in published:
        assert not found.problems, found.folder
        if another_version(found) is None:
            assert not list(check_claims(found)), f"{found.folder}: {RENEW}"
        badge = Verification.model_validate_json((found.folder / BADGE).read_text())
        assert found.manifest is not None
        assert badge.submission == found.manifest.digest(), f"{found.folder}: its badge is for other files; {RENEW}"
        assert (badge.protocol, badge.cells) == (PROTOCOL, len(found.records))
        made_by = {record.environment.coterie_version for record in found.records.values()}
        assert made_by == {badge.coterie_version}, f"{found.folder}: its badge is of another version"


def test_submission_of_an_earlier_version_is_not_called_wrong(published: list[Submission]) -> None:
    earlier = next((found for found in published if another_version(found) is not None), None)
    if earlier is None:
        pytest.skip("this version made the whole leaderboard")
    before = (earlier.folder / BADGE).read_text()
    (outcome,) = verify([earlier.folder])
    assert (outcome.badge, outcome.problems) == (None, [])
    assert outcome.made_by is not None
    result = CliRunner().invoke(app, ["verify", str(earlier.folder)])
    assert result.exit_code == 1
    assert "was made by coterie" in result.output
    assert (earlier.folder / BADGE).read_text() == before, "the badge stays"


def test_submissions_of_this_version_match_its_texts_and_weights(published: list[Submission]) -> None:
    fingerprints = {name: plan_task(get_task_spec(name)).fingerprint for name in SUITES["board"].tasks}
    for found in published:
        for record in found.records.values() if another_version(found) is None else ():
            assert record.identity.task_fingerprint == fingerprints[record.task_name], f"{record.task_name}: {RENEW}"
            assert not [warning for warning in record.task.warnings if "texts differ" in warning]


@pytest.mark.slow
def test_published_coalitions_score_the_same_again(published: list[Submission]) -> None:
    """One cell of two methods; `coterie verify leaderboard/submissions` takes half an hour for all."""
    chosen = [found for found in published if found.manifest and found.manifest.method in ("random", "hedonic-oca")]
    if any(another_version(found) is not None for found in chosen):
        pytest.skip("made by an earlier version, whose tasks differ")
    again = [
        Rescored({p: r for p, r in found.records.items() if (r.task_name, r.seed) == ("pydoc-llama/relevance", 0)})
        for found in chosen
    ]
    check_scores(again, "cpu", lambda _line: None)
    assert [submission.compared.cells for submission in again] == [1, 1]
    assert [problem for submission in again for problem in submission.problems] == []
