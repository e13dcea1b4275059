"""The site in a real browser, from file://: what tests of the HTML cannot check."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coterie.leaderboard.display.links import link
from coterie.leaderboard.display.site import write_site
from coterie.leaderboard.reports.gather import Gathered
from tests.leaderboard.display.test_render import HOSTILE, hostile_record
from tests.leaderboard.made_reports import with_everything
from tests.records import METRICS, MadeUpMethod, make_measure, make_record

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed; fix: apt-get install chromium")
PATIENCE = 600_000  # milliseconds: the machine may be busy
METHODS = [
    MadeUpMethod("random", sees=()),
    MadeUpMethod("good", 1.0, seconds=20, sees=("activations", "weights")),
    MadeUpMethod("cheap", 0.5, seconds=2),
]
TASKS = ["a", "b/x[layer=1]", "c"]
REPORTED = ('id="layers"', 'id="fidelity"', 'id="submissions"', 'class="carded"', 'class="heat"')
REASON = "no coalition of an eligible size: 2 to 44 of 352 neurons"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    records = [make_record(method, task=task) for method in METHODS for task in TASKS]
    layer = records[1].task.model_copy(update={"layer": 7})
    records = [r.model_copy(update={"task": layer}) if r.task_name == TASKS[1] else r for r in records]
    write_site(Gathered([*records, hostile_record(HOSTILE)]), folder)
    return folder


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with every kind of report, two submissions, and an entry without values."""
    folder = tmp_path_factory.mktemp("site")
    gathered = with_everything(tmp_path_factory.mktemp("sources"), HOSTILE)
    none = make_record("random", task="a/x[layer=1]", scores=[make_measure(m, 0, reason=REASON) for m in METRICS])
    more = [none, make_record(METHODS[1], task="a/x[layer=1]")]
    write_site(replace(gathered, records=[*gathered.records, *more]), folder)
    return folder


def pages_with(site: Path, text: str) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if text in path.read_text()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=PATIENCE)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page whose console must stay silent and which may request only files of the site."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    messages: list[str] = []
    ours = tmp_path_factory.getbasetemp().as_uri()
    opened = context.new_page()
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("dialog", lambda dialog: messages.append(f"dialog {dialog.message}"))
    opened.on(
        "request",
        lambda request: None if request.url.startswith((ours, "data:", "blob:")) else messages.append(request.url),
    )
    yield opened
    context.close()
    assert messages == []


def every_kind(site: Path) -> list[Path]:
    return [
        site / "index.html",
        site / "results.html",
        *(sorted((site / f).glob("*.html"))[-1] for f in ("tasks", "methods", "coalitions")),
    ]


def names(page: Any, table: str) -> list[str]:
    return [n for n in page.locator(f"#{table} tbody tr:visible th a").all_inner_texts() if "alert" not in n]


def test_tables_sort_by_click_and_by_key(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    seconds = page.locator("#overall-table th", has_text="Seconds")
    seconds.get_by_role("button").click()
    assert seconds.get_attribute("aria-sort") == "ascending"
    assert names(page, "overall-table") == ["random", "cheap", "good"]
    seconds.get_by_role("button").press("Enter")
    assert seconds.get_attribute("aria-sort") == "descending"
    assert names(page, "overall-table") == ["good", "cheap", "random"]


def test_filters_and_search_show_the_number_of_matching_rows(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    panel = page.locator('[data-filters="overall-table"]')
    panel.locator("[data-filter=sees]").select_option("weights")
    assert set(names(page, "overall-table")) == {"cheap", "good"}
    assert panel.locator("[aria-live]").inner_text() == "2 of 4 rows"
    panel.get_by_label("Search").fill("GOO")
    assert names(page, "overall-table") == ["good"]
    panel.get_by_role("button", name="Reset").click()
    assert len(names(page, "overall-table")) == 3
    tasks = page.locator('[data-filters="task-table"]')
    tasks.locator("[data-filter=layer]").select_option("7")
    assert names(page, "task-table") == [TASKS[1]]


def test_the_address_keeps_the_filters(page: Any, site: Path) -> None:
    page.goto((site / "results.html").as_uri())
    page.locator("[data-filter=metric]").select_option("predictivity/pandas")
    page.locator("[data-filter=layer]").select_option("7")
    shown = names(page, "results-table")
    assert shown == [TASKS[1]] * 3
    page.reload()
    assert names(page, "results-table") == shown
    assert page.locator("[data-filter=layer]").input_value() == "7"


def test_columns_can_be_chosen(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    panel = page.locator('[data-filters="overall-table"]')
    panel.locator("summary").press("Enter")
    panel.get_by_label("Evaluations").uncheck()
    assert page.locator("#overall-table th", has_text="Evaluations").is_hidden()
    assert page.locator("#overall-table tbody tr").first.locator("td:visible").count() == 7
    panel.get_by_label("Evaluations").check()
    assert page.locator("#overall-table th", has_text="Evaluations").is_visible()


def test_plots_are_drawn_in_both_colour_schemes_and_links_work(page: Any, site: Path) -> None:
    from playwright.sync_api import expect

    page.goto((site / "index.html").as_uri())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for figure in page.locator("[data-figure]").all():
            figure.scroll_into_view_if_needed()  # and on only when it is drawn: a busy browser may not see it pass
            expect(figure).to_have_attribute("data-drawn", scheme, timeout=PATIENCE)
            figure.locator("svg").first.wait_for()
    page.locator("#overall-table").get_by_role("link", name="good").click()
    page.wait_for_url((site / link("methods", "good")).as_uri())
    page.get_by_role("link", name=TASKS[1]).first.click()
    page.wait_for_url(lambda url: link("tasks", TASKS[1]) in url)
    page.locator("h3:target").wait_for()
    page.get_by_role("navigation").get_by_role("link", name="coterie").click()
    page.wait_for_url((site / "index.html").as_uri())


def test_hostile_text_stays_text(page: Any, site: Path, reported: Path) -> None:
    for path in site.rglob("*.html"):
        page.goto(path.as_uri())
        assert page.locator("body script").count() == 1
    for kind in REPORTED:
        page.goto(pages_with(reported, kind)[0].as_uri())
        assert page.locator("body script").count() == (0 if kind == 'class="heat"' else 1)
        assert kind == 'id="submissions"' or page.get_by_text("<script>alert(1)</script>").count() > 0, kind
    page.goto((site / "index.html").as_uri())
    assert page.get_by_text("<script>alert(1)</script>").count() > 0


def test_flows_and_fidelity_are_drawn(page: Any, reported: Path) -> None:
    for kind, drawn in (('id="layers"', ".sankey-link"), ('id="fidelity"', ".scatterlayer .point")):
        for path in pages_with(reported, kind):
            page.goto(path.as_uri())
            section = page.locator(f"section:has({'#layers' if 'layers' in kind else '#fidelity'})")
            section.locator("[data-figure]").scroll_into_view_if_needed()
            section.locator("[data-drawn] svg").first.wait_for()
            section.locator(drawn).nth(1).wait_for(state="attached")
            assert section.locator("table").is_visible()
            assert section.locator(".xaxislayer-above text").count() == 0 or "fidelity" in kind, "a diagram has no axes"


def test_links_lead_from_a_coalition_to_its_card_and_back(page: Any, reported: Path) -> None:
    (path,) = pages_with(reported, 'class="carded"')
    page.goto(path.as_uri())
    page.get_by_role("link", name="Card of coalition 0").click()
    page.wait_for_url(lambda url: url.endswith("#coalition-0"))
    assert page.locator("section:target h2").inner_text().startswith("Coalition 0")
    page.get_by_role("link", name="back to all coalitions").click()
    page.wait_for_url(f"{path.as_uri()}#seed-0")


def test_reasons_for_missing_values_are_visible_at_any_width_and_sort_last(page: Any, reported: Path) -> None:
    page.goto((reported / "results.html").as_uri())
    reason = page.locator("#results-table .note", has_text=REASON).first
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 850})
        assert reason.is_visible()
    page.set_viewport_size({"width": 1280, "height": 850})
    for direction in ("descending", "ascending"):
        page.locator("#results-table th", has_text="Value").get_by_role("button").click()
        rows = page.locator("#results-table tbody tr")
        values = [row.get_attribute("data-value") for row in rows.locator("td:nth-child(5)").all()]
        known = [float(value) for value in values if value is not None]
        assert known == sorted(known, reverse=direction == "descending")
        assert values == [*(v for v in values if v is not None), *[None] * len(METRICS)]
    page.locator("#results-table th", has_text="Seconds").get_by_role("button").click()
    seconds = [float(cell) for cell in page.locator("#results-table tbody td:nth-child(8)").all_inner_texts()]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_pass_axe_and_fit_the_screen(browser: Any, site: Path, reported: Path, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # axe itself is inserted as a script, which the page's policy forbids
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, bypass_csp=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    both = [pages_with(reported, kind)[-1] for kind in REPORTED] if (width == 390) == (scheme == "dark") else []
    for path in dict.fromkeys([*every_kind(site), *both]):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        found = Axe().run(page).response["violations"]
        violations = [(v["id"], v["impact"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in found]
        assert violations == [], path
    context.close()
