import json
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from coterie.leaderboard import Board, compile_board
from coterie.leaderboard.links import link
from coterie.leaderboard.site import evaluated, write_site
from coterie.leaderboard.sources import Gathered, SourceError
from tests.leaderboard.test_render import HOSTILE, Page, hostile_record
from tests.records import MadeUpMethod, make_record

RECORDS = [
    make_record(MadeUpMethod(name, effect), task=task, seed=seed)
    for name, effect in (("random", 0.0), ("good", 1.0))
    for task in ("a/x", "b[layer=1]")
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_site(Gathered([*RECORDS, hostile_record(HOSTILE)]), folder)
    return folder


def test_every_link_leads_to_a_file_and_every_fragment_to_an_id(folder: Path) -> None:
    pages = {path.resolve(): Page(path.read_text()) for path in folder.rglob("*.html")}
    assert len(pages) == 2 + 3 + 3 + 5
    ids = {path: {unescape(a["id"] or "") for _, a in page.tags if "id" in a} for path, page in pages.items()}
    for path, page in pages.items():
        for target in (a.get("href") or "" for a in page.all("a")):
            file, _, fragment = target.partition("#")
            found = (path.parent / file).resolve() if file else path
            assert found.is_file(), (path.name, target)
            assert found.is_relative_to(folder.resolve())
            assert not fragment or unquote(fragment) in ids[found], (path.name, target)


def test_the_policy_admits_nothing_from_outside_and_ids_are_unique(folder: Path) -> None:
    for path in folder.rglob("*.html"):
        page = Page(path.read_text())
        policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv")) or ""
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "'unsafe-inline'" not in policy.replace("style-src-attr 'unsafe-inline'", "")
        assert len(page.all("script")) == 1
        assert not any("src" in a or any(name.startswith("on") for name in a) for _, a in page.tags)
        found = [a["id"] for _, a in page.tags if "id" in a]
        assert len(found) == len(set(found)), path


def test_the_downloads_hold_the_board(folder: Path) -> None:
    board = Board.model_validate_json((folder / "leaderboard.json").read_text())
    assert board == compile_board([*RECORDS, hostile_record(HOSTILE)])
    assert json.loads((folder / "leaderboard-schema.json").read_text()) == Board.model_json_schema()
    table = pd.read_parquet(folder / "results.parquet")
    rows = json.loads((folder / "results.json").read_text())
    assert [row["entry"] for row in rows] == list(table["entry"])
    assert len(pd.read_csv(folder / "results.csv")) == len(table) == len(rows)


def test_a_second_build_replaces_the_first_and_no_other_folder_is_touched(tmp_path: Path) -> None:
    write_site(Gathered(RECORDS), tmp_path / "site")
    gone = tmp_path / "site" / link("methods", "good")
    assert gone.is_file()
    write_site(Gathered([r for r in RECORDS if r.method_name == "random"]), tmp_path / "site")
    assert not gone.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("precious")
    with pytest.raises(SourceError, match="expected a new or empty folder"):
        write_site(Gathered(RECORDS), tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "precious"


def test_addresses_are_safe_and_differ() -> None:
    names = ["a/b", "a-b", "a b", "A-B", "../../etc/passwd", "", "🦊", HOSTILE, "x" * 500, "a[layer=1]"]
    found = [link("tasks", name) for name in names]
    assert len(set(found)) == len(names)
    for address in found:
        assert address.startswith("tasks/")
        assert set(address) <= set("abcdefghijklmnopqrstuvwxyz0123456789-./")
        assert ".." not in address
    assert link("tasks", "a-b") == "tasks/a-b.html"


def test_evaluated_coalitions_follow_the_records_settings() -> None:
    settings = {"max_coalitions": 2, "smallest": 2, "largest_share": 0.01}  # 2 to 3 of 352 neurons
    record = make_record("random", settings=settings)
    assert record.coalitions is not None
    groups = [[1], [1, 2], [1, 2, 3, 4], [3, 4, 5], [6, 7]]
    record = record.model_copy(update={"coalitions": record.coalitions.model_copy(update={"groups": groups})})
    assert evaluated(record)[0] == [(1, [1, 2]), (3, [3, 4, 5])]
    assert "do not say" in evaluated(make_record("random"))[1]


def test_versions_of_a_method_stand_in_its_history(tmp_path: Path) -> None:
    old = make_record(MadeUpMethod("good", 0.1, code_hash="0" * 64), date="2026-01-01T00:00:00+00:00")
    new = make_record(MadeUpMethod("good", 1.0, code_hash="1" * 64))
    write_site(Gathered([old, new]), tmp_path)
    pages = [path.read_text() for path in (tmp_path / "methods").glob("*.html")]
    assert len(pages) == 2
    for html in pages:
        history = html.split('id="history"')[1]
        assert "000000000000" in history
        assert "111111111111" in history
        assert "2026-01-01" in history
