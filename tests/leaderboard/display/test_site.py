import json
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from coterie.leaderboard import Board
from coterie.leaderboard.display.evaluated import evaluated
from coterie.leaderboard.display.links import link
from coterie.leaderboard.display.site import write_site
from coterie.leaderboard.errors import SourceError
from coterie.leaderboard.reports.card import Inspection
from coterie.leaderboard.reports.gather import Gathered
from coterie.leaderboard.reports.read import KINDS
from tests.leaderboard.display.test_render import HOSTILE, Page, hostile_record
from tests.leaderboard.made_reports import with_everything
from tests.leaderboard.reports.test_gather import CARD
from tests.records import METRICS, MadeUpMethod, make_measure, make_record

RECORDS = [
    make_record(MadeUpMethod(name, effect), task=task, seed=seed)
    for name, effect in (("random", 0.0), ("good", 1.0))
    for task in ("a/x", "b[layer=1]")
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gathered = with_everything(tmp_path_factory.mktemp("sources"), HOSTILE)
    assert gathered.unreadable == []
    folder = tmp_path_factory.mktemp("site")
    write_site(replace(gathered, records=[*gathered.records, *RECORDS, hostile_record(HOSTILE)]), folder)
    return folder


def only(folder: Path, pattern: str, text: str) -> str:
    """The one page that matches the pattern and has the text in its heading."""
    (page,) = (p for p in (path.read_text() for path in folder.glob(pattern)) if text in p.split("</h1>")[0])
    return page


def test_every_link_leads_to_a_file_and_every_fragment_to_an_id(folder: Path) -> None:
    pages = {path.resolve(): Page(path.read_text()) for path in folder.rglob("*.html")}
    assert len(pages) == 2 + 5 + 5 + 8 + 1
    ids = {path: {unescape(a["id"] or "") for _, a in page.tags if "id" in a} for path, page in pages.items()}
    for path, page in pages.items():
        for target in (a.get("href") or "" for a in page.all("a")):
            if target == CARD["code"]:
                assert path.parent.name == "methods"
                continue
            file, _, fragment = target.partition("#")
            found = (path.parent / file).resolve() if file else path
            assert found.is_file(), (path.name, target)
            assert found.is_relative_to(folder.resolve())
            assert not fragment or unquote(fragment) in ids[found], (path.name, target)


def test_the_policy_admits_no_external_content_and_ids_are_unique(folder: Path) -> None:
    for path in folder.rglob("*.html"):
        page, card = Page(path.read_text()), path.parent.name == "reports"
        policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv")) or ""
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "'unsafe-inline'" not in policy.replace("style-src-attr 'unsafe-inline'", "")
        assert len(page.all("script")) == (0 if card else 1)
        assert not any("src" in a or any(name.startswith("on") for name in a) for _, a in page.tags)
        found = [a["id"] for _, a in page.tags if "id" in a]
        assert len(found) == len(set(found)), path


def test_the_downloads_hold_the_board(folder: Path) -> None:
    board = Board.model_validate_json((folder / "leaderboard.json").read_text())
    assert board.n_records == len(RECORDS) + 1 + 3
    assert json.loads((folder / "leaderboard-schema.json").read_text()) == Board.model_json_schema()
    table = pd.read_parquet(folder / "results.parquet")
    rows = json.loads((folder / "results.json").read_text())
    assert [row["entry"] for row in rows] == list(table["entry"])
    assert len(pd.read_csv(folder / "results.csv")) == len(table) == len(rows)


def test_a_second_build_replaces_the_first_and_other_folders_are_refused(tmp_path: Path) -> None:
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


def test_a_methods_page_has_the_history_of_its_versions(tmp_path: Path) -> None:
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


def test_a_methods_page_has_its_parameters_and_the_cards_of_all_versions(folder: Path) -> None:
    html = only(folder, "methods/*.html", "louvain[k=3,mode=None,of=best] (code c0dec0d)")
    assert "<code>k</code></th><td><code>3</code>" in html
    assert "<code>mode</code></th><td><code>none</code>" in html
    assert "<code>of</code></th><td><code>best</code>" in html
    cards = html.split('id="submissions"')[1].split("</section>")[0]
    newer, older = cards.split("<details>")
    for text in (
        "Version 2.0",
        'class="badge">verified',
        "protocol coterie-2 on 2026-11-24",
        "Ada Lovelace, Grace Hopper",
    ):
        assert text in newer
    assert f'<a href="{CARD["code"]}" rel="noreferrer nofollow">' in newer
    assert "1.0 (not verified)" in older
    assert "Coterie verify has not scored its coalitions again." in older
    assert "badge" not in older


def test_method_and_coalitions_pages_show_coalition_flows_with_a_table(folder: Path) -> None:
    pages = [
        only(folder, "methods/*.html", "(code c0dec0d)"),
        *(p for p in (path.read_text() for path in folder.glob("coalitions/*.html")) if 'id="layers"' in p),
    ]
    assert len(pages) == 3, "the method's, and those of its two layers"
    for html in pages:
        section = html.split('id="layers"')[1].split("</section>")[0]
        (figure,) = (a["data-figure"] or "" for _, a in Page(section).tags if "data-figure" in a)
        (trace,) = json.loads(figure)["data"]
        assert trace["type"] == "sankey"
        assert sorted(trace["link"]["value"]) == [2, 2, 3], "three neurons persist, two vanish, two emerge"
        assert "<script" not in section
        rows = section.split("<tr>")[2:]
        assert [row.split('scope="row">')[1].split("<")[0] for row in rows] == [
            "persist",
            "split",
            "merge",
            "vanish",
            "emerge",
        ]
        assert "50\N{NO-BREAK SPACE}%" in rows[0]
        assert "10\N{NO-BREAK SPACE}% to 50\N{NO-BREAK SPACE}%" in rows[0]


def test_a_coalition_and_its_card_link_to_each_other(folder: Path) -> None:
    (path,) = folder.glob("reports/inspect-*.html")
    pages = {p: p.read_text() for p in folder.glob("coalitions/*.html") if path.name in p.read_text()}
    ((listing, html),) = pages.items()
    first, second = (html.split(f'id="seed-0-coalition-{n}"')[1].split("</tr>")[0] for n in (0, 1))
    assert f'href="../reports/{path.name}#coalition-0"' in first
    assert "0.250</b>" in first
    assert "(0.050)" in first
    assert ">none</td>" in second, "it has no card"
    assert f'href="../coalitions/{listing.name}#seed-0"' in path.read_text()
    assert Inspection.model_validate_json(path.with_suffix(".json").read_text()).cards[0].number == 0


def test_a_tasks_page_shows_affinity_fidelity(folder: Path) -> None:
    pages = [p for p in (path.read_text() for path in folder.glob("tasks/*.html")) if 'id="fidelity"' in p]
    (html,) = pages
    section = html.split('id="fidelity"')[1].split("</section>")[0]
    (figure,) = (json.loads(a["data-figure"] or "") for _, a in Page(section).tags if "data-figure" in a)
    assert figure["data"][0]["x"] == [0.9, -0.1]
    assert figure["data"][0]["y"][1].startswith("&lt;script&gt;"), "plotly reads markup"
    for text in ("<b>0.900</b>", "[0.80, 0.95]", "needs lens", "rank 3"):
        assert text in section


def test_reports_and_their_schemas_can_be_downloaded(folder: Path) -> None:
    for kind, model in KINDS.items():
        (path,) = folder.glob(f"reports/{kind}-*.json")
        assert isinstance(model.model_validate_json(path.read_text()), model)
        assert json.loads((folder / f"{kind}-schema.json").read_text()) == model.model_json_schema()


def test_the_table_of_all_results_is_small_and_says_why_values_are_missing(tmp_path: Path) -> None:
    methods = [MadeUpMethod(name, 0.1 * i) for i, name in enumerate(("random", "kmeans-weights", "hedonic-oca"))]
    records = [make_record(m, task=f"pydoc-llama/relevance[layer={n}]") for m in methods for n in range(20)]
    reason = "no coalition of an eligible size"
    none = make_record("louvain", scores=[make_measure(m, 0, reason=reason) for m in METRICS])
    write_site(Gathered([*records, none]), tmp_path)
    html = (tmp_path / "results.html").read_text()
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("<tr>") == 3 * 20 * len(METRICS) + len(METRICS)
    assert len(body) / body.count("<tr>") < 480, "965 characters a row with classes and attributes"
    assert body.count(f'\N{EN DASH}<span class="note">seed 0: {reason}</span>') == len(METRICS)


def test_a_task_without_layers_has_no_layer_on_any_page(tmp_path: Path) -> None:
    record = make_record("random", task="planted/decoys")
    planted = record.model_copy(update={"task": record.task.model_copy(update={"layer": None})})
    write_site(Gathered([planted, make_record("random", task="a/x")]), tmp_path)
    html = only(tmp_path, "tasks/*.html", "planted/decoys")
    assert "LlamaForSequenceClassification, 352 neurons" in html
    for path in tmp_path.rglob("*.html"):
        assert "None" not in path.read_text().split("<script>")[0]
    layers = pd.read_parquet(tmp_path / "results.parquet").set_index("task")["layer"]
    assert layers["planted/decoys"].isna().all()
    assert set(layers["a/x"]) == {2}
