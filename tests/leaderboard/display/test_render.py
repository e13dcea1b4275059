import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from coterie.leaderboard import Board, compile_board, print_board, render_html, render_markdown, write_board
from coterie.leaderboard.display import format as fmt
from coterie.leaderboard.display.page import task_view
from coterie.tracking.record import Record
from tests.records import METRICS, MadeUpMethod, MadeUpMetric, make_measure, make_record

HOSTILE = "<script>alert(1)</script>\"'&|`*_[x](javascript:alert(2))\n# \x1b[31m {{ 7*7 }} \u202e 🦊"
METHODS = [
    MadeUpMethod("random", sees=()),
    MadeUpMethod("kmeans-weights", effect=0.4, parameters={"k": 8}, seconds=1.25),
    MadeUpMethod("hedonic-oca", effect=1.0, sees=("activations",), evaluations={"activations": 1200}, seconds=132.0),
]


@pytest.fixture(scope="module")
def board() -> Board:
    records = [make_record(m, seed=seed, metrics=METRICS[:2]) for m in METHODS for seed in range(2)]
    return compile_board([*records, make_record("louvain", status="failed", reason="out of memory")])


def hostile_record(text: str) -> Record:
    """A record with `text` in every free-text field."""
    measure = make_measure(METRICS[0], 0).model_copy(update={"unit": text, "meaning": text})
    record = make_record("evil", scores=[measure], settings={text: text}, protocol=text, dataset_revision=text)
    info = {"architecture": text, "objective": text, "warnings": [text]}
    method = {"selector": text, "sees": [text], "reference": text, "summary": text}
    return record.model_copy(
        update={"task": record.task.model_copy(update=info), "method": record.method.model_copy(update=method)}
    )


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.content.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def printed(board: Board, width: int = 100) -> str:
    out = StringIO()
    print_board(board, Console(file=out, width=width))
    return out.getvalue()


def test_the_terminal_shows_every_method_best_first_with_interval_and_cost(board: Board) -> None:
    text = printed(board)
    first = text.split("synergy-excess/heldout")[1]
    order = [first.index(name) for name in ("hedonic-oca", "kmeans-weights[k=8]", "random", "louvain")]
    assert order == sorted(order)
    assert re.search(r"1  hedonic-oca +\+0\.\d+ \[0\.\d+, 0\.\d+\] +1,200 +132\n", first)
    assert "louvain: seed 0 failed: out of memory" in " ".join(text.split())
    assert "Rank: 1 + the number of methods" in text
    assert "higher is better" in text


def test_terminal_output_fits_into_80_columns(board: Board) -> None:
    text = printed(board, 80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "kmeans-weights[k=8]" in text


def test_markdown_has_one_table_per_metric(board: Board) -> None:
    text = render_markdown(board)
    assert "### synergy-excess/heldout" in text
    assert re.search(r"\| 1 \| `hedonic-oca` \| \+0\.\d+ \[0\.\d+, 0\.\d+\] \|", text)
    assert "| - | `louvain` | - | - | - | - | - | - | 1 | seed 0 failed: out of memory |" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1


def test_json_holds_the_exact_board_and_its_schema_version(board: Board, tmp_path: Path) -> None:
    write_board(board, tmp_path)
    text = (tmp_path / "leaderboard.json").read_text()
    assert json.loads(text)["schema_version"] == 1
    assert Board.model_validate_json(text) == board


def test_either_all_files_are_written_or_none(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_board(board, tmp_path / "new")
    assert [path.name for path in paths] == [
        "leaderboard.json",
        "leaderboard-schema.json",
        "leaderboard.md",
        "index.html",
    ]
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)

    def broken(_: Board) -> str:
        raise RuntimeError

    monkeypatch.setattr("coterie.leaderboard.display.render.render_html", broken)
    with pytest.raises(RuntimeError):
        write_board(board, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_page_makes_no_requests(board: Board) -> None:
    page = Page(render_html(board))
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert [page.all(tag) for tag in ("img", "iframe", "object", "embed", "base", "form")] == [[]] * 6
    targets = [attributes.get("href") or "" for attributes in page.all("a")]
    assert all(target.startswith("#") or target in ("leaderboard.json", "leaderboard.md") for target in targets)
    assert not any("url(" in text or "@import" in text for text in page.content["style"])
    assert all("src" not in attributes for _, attributes in page.tags)


def test_the_policy_admits_only_the_pages_own_style_and_script(board: Board) -> None:
    page = Page(render_html(board))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy") or ""
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind in ("style", "script"):
        digest = hashlib.sha256("".join(page.content[kind]).encode()).digest()
        assert rules[f"{kind}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert not any(name == "style" or name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_the_page_can_be_sorted_by_keyboard_and_read_aloud(board: Board) -> None:
    html = render_html(board)
    page = Page(html)
    tables = html.split("<table")[1:]
    assert len(tables) == 3
    for table in tables:
        head = table.split("</thead>")[0]
        sortable = [th for th in re.findall(r"<th\b.*?</th>", head, re.DOTALL) if 'class="plot"' not in th]
        assert all("<button" in th and 'scope="col"' in th for th in sortable)
        assert head.count("aria-sort=") == 1
    assert all(a.get("aria-hidden") == "true" for a in page.all("svg"))
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"#pydoc-llama:relevance::synergy-excess:heldout"} <= {a.get("href") for a in page.all("a")}
    labels = [a.get("aria-labelledby") for a in page.all("section")]
    assert set(labels) <= set(ids)


def test_the_plot_shows_value_and_interval_of_every_ranked_row(board: Board) -> None:
    html = render_html(board)
    metric = board.tasks[0].metrics[0]
    section = html.split(f'id="{"pydoc-llama:relevance::synergy-excess:heldout"}"')[1].split("</table>")[0]
    assert section.count("<circle") == section.count('class="whisker') == len([r for r in metric.rows if r.rank])
    assert section.count("dot leading") == len([row for row in metric.rows if row.rank == 1])
    body = section.split("<tbody>")[1]
    values = [float(v) for v in re.findall(r'<td class="number" data-value="([^"]+)"', body)]
    assert values == [row.value for row in metric.rows if row.value is not None]


def test_hostile_text_is_escaped_in_all_renderings() -> None:
    records = [hostile_record(HOSTILE), make_record("louvain", status="failed", reason=HOSTILE)]
    board = compile_board([*records, hostile_record(HOSTILE).model_copy(update={"date": "2020-01-01"})])
    html = render_html(board)
    page = Page(html)
    assert len(page.all("script")) == 1
    assert "alert" not in "".join(page.content["script"])
    assert all("javascript:" not in (a.get("href") or "") for a in page.all("a"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in html
    markdown = render_markdown(board)
    outside_code = re.sub(r"`[^`]*`", "", re.sub(r"\\.", "", markdown))  # without escaped characters and code spans
    assert "<" not in outside_code
    assert "](" not in outside_code
    assert "&lt;script&gt;" in outside_code
    assert "\x1b" not in markdown + printed(board)


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40))
def test_no_text_changes_the_structure_of_page_and_tables(text: str) -> None:
    plain = compile_board([hostile_record("plain words")])
    board = compile_board([hostile_record(text)])
    assert [t for t, _ in Page(render_html(board)).tags] == [t for t, _ in Page(render_html(plain)).tags] or not text
    markdown = render_markdown(board)
    assert markdown.count("\n") == render_markdown(plain).count("\n") or not text.strip()
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (6, 7, 11)
    assert Board.model_validate_json(board.model_dump_json()) == board


def test_ids_of_domains_are_plain_and_unique_for_any_names() -> None:
    domains = ("heldout", "My_Other Data", "My_Other:32:Data", "日本", "a&b", "a:38:b", "NFCorpus")
    metrics = [MadeUpMetric("ndcg-drop", domain, "nDCG@10", 0.1) for domain in domains]
    view = task_view(compile_board([make_record(metrics=metrics)]).tasks[0])
    anchors = [metric.anchor for metric in view.metrics]
    assert len(set(anchors)) == len(domains)
    assert all(re.fullmatch(r"[A-Za-z0-9._:-]+", anchor) for anchor in anchors)
    assert "pydoc-llama:relevance::ndcg-drop:heldout" in anchors


def test_all_renderings_show_warnings_and_notes() -> None:
    old = make_record("random", protocol="coterie-0", date="2020-01-01T00:00:00+00:00")
    board = compile_board([make_record("random", warnings=["the texts differ"]), old])
    for text in (printed(board, 200), render_markdown(board), render_html(board)):
        assert "the texts differ" in text
        assert "1 older record is left out: protocol coterie-0 instead of coterie-2" in text.replace("\\", "")


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [(0.0314, 3, "+0.031"), (-0.0314, 3, "-0.031"), (-0.0001, 3, "0.000"), (None, 3, "-")],
)
def test_numbers_have_a_sign_unless_they_round_to_zero(value: float | None, places: int, expected: str) -> None:
    assert fmt.signed(value, places) == expected


@pytest.mark.parametrize(("scale", "places"), [(0.003, 5), (0.08, 3), (0.3, 3), (50.0, 2)])
def test_digits_follow_the_interval(scale: float, places: int) -> None:
    metric = type(METRICS[0])("m", "d", "u", scale)
    board = compile_board([make_record(m, metrics=[metric]) for m in METHODS])
    assert fmt.decimals(board.tasks[0].metrics[0]) == places


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean of all", "Mean of all"),
        ("groups of ``size`` in `n`", "Groups of 'size' in 'n'"),
        ("nDCG@10 lost", "nDCG@10 lost"),
        ("R2 of x", "R2 of x"),
        ("", ""),
    ],
)
def test_sentences_start_with_a_capital_but_names_are_kept(text: str, expected: str) -> None:
    assert fmt.sentence(text) == expected


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    heavy = {"mlflow", "torch", "pandas", "plotly", "jinja2", "matplotlib", "sqlalchemy", "rich"}
    code = f"""
import sys
import coterie.leaderboard.board.table, coterie.leaderboard.display.render, coterie.tracking.store, coterie.tracking.mlflow_log
print(sorted({heavy} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_judging_imports_only_the_statistics() -> None:
    code = """
import sys
import coterie.leaderboard.statistics.agreement, coterie.leaderboard.statistics.bootstrap, coterie.leaderboard.statistics.sizes
rooms = {name.split(".")[2] for name in sys.modules if name.startswith("coterie.leaderboard.")}
print(sorted(rooms | ({"pydantic", "sklearn"} & set(sys.modules))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['statistics']"


def test_all_renderings_work_without_results() -> None:
    board = compile_board([make_record("random", status="skipped", reason="needs gradients")])
    values: dict[str, Any] = {"html": render_html(board), "md": render_markdown(board), "tty": printed(board)}
    for text in values.values():
        assert "needs gradients" in text
        assert "Nothing is ranked yet." in text
