import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.protocol import suites
from coterie.leaderboard.display.section import BEGIN, END
from coterie.tracking.store import RecordStore
from tests.benchmark.submissions.made import CARD_VALUES, SELECTOR, SUITE, run_suite
from tests.records import make_record


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for method in ("random", "louvain"):
        RecordStore(tmp_path / "out").write(make_record(method))
    return tmp_path / "out"


def invoke(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, words)])
    return done.exit_code, done.output


def coterie(*words: str | Path) -> tuple[int, str]:
    return invoke("leaderboard", *words)


def test_without_a_subcommand_the_board_is_printed_and_written(output: Path) -> None:
    code, text = coterie("--output-folder", output)
    assert code == 0
    assert "louvain" in text
    assert {p.name for p in output.iterdir()} >= {
        "leaderboard.json",
        "leaderboard-schema.json",
        "leaderboard.md",
        "index.html",
    }


def test_section_is_updated_only_if_it_differs(output: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    assert f"{readme}: updated" in coterie("--output-folder", output, "--update", readme)[1]
    assert f"{readme}: up to date" in coterie("--output-folder", output, "--update", readme)[1]
    assert "louvain" in readme.read_text()
    readme.write_text("no markers")
    code, text = coterie("--output-folder", output, "--update", readme)
    assert code == 2
    assert "put both" in text


def test_build_writes_a_site_and_names_unreadable_files(output: Path, tmp_path: Path) -> None:
    (output / "records" / "old.json").write_text('{"schema_version": 0}')
    code, text = coterie("build", "--from", output, "--site", tmp_path / "site")
    assert code == 0
    assert "from 2 records" in text
    assert "left out" in text
    assert (tmp_path / "site" / "index.html").is_file()


def test_build_refuses_sources_without_records_and_folders_in_use(output: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert coterie("build", "--from", tmp_path / "empty", "--site", tmp_path / "site")[0] == 2
    assert coterie("build", "--from", tmp_path / "nowhere", "--site", tmp_path / "site")[0] == 2
    code, text = coterie("build", "--from", output, "--site", output)
    assert code == 2
    assert "expected a new or empty folder" in text.replace("\n", " ")


def test_site_shows_the_card_of_a_submission_and_its_badge_once_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(suites.SUITES, "tiny", SUITE)
    run_suite(tmp_path / "out")
    (tmp_path / "card.yaml").write_text(json.dumps(CARD_VALUES))
    submitted = ("--suite", "tiny", "--card", tmp_path / "card.yaml", "--to", tmp_path / "to")
    assert invoke("submit", tmp_path / "out", "-m", SELECTOR, *submitted)[0] == 0
    build = ("build", "--from", tmp_path / "to", "--site", tmp_path / "site")
    for badge in ("not verified", 'class="badge">verified'):
        code, printed = coterie(*build)
        assert code == 0, printed
        assert "left out" not in printed
        (page,) = (path.read_text() for path in (tmp_path / "site" / "methods").glob("*.html"))
        card = page.split('id="submissions"')[1].split("</section>")[0]
        assert badge in card
        assert "Ada Lovelace" in card
        assert f'href="{CARD_VALUES["code"]}"' in card
        assert invoke("verify", tmp_path / "to")[0] == 0
