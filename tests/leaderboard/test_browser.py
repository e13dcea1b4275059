"""The site in a real browser, from file://: what the structure tests cannot see."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie.leaderboard.links import link
from coterie.leaderboard.site import write_site
from coterie.leaderboard.sources import Gathered
from tests.leaderboard.test_render import HOSTILE, hostile_record
from tests.records import MadeUpMethod, make_record

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; fix: apt-get install chromium")
METHODS = [
    MadeUpMethod("random", sees=()),
    MadeUpMethod("good", 1.0, seconds=20, sees=("activations", "weights")),
    MadeUpMethod("cheap", 0.5, seconds=2),
]
TASKS = ["a", "b/x[layer=1]", "c"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    records = [make_record(method, task=task) for method in METHODS for task in TASKS]
    layer = records[1].task.model_copy(update={"layer": 7})
    records = [r.model_copy(update={"task": layer}) if r.task_name == TASKS[1] else r for r in records]
    write_site(Gathered([*records, hostile_record(HOSTILE)]), folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """A page whose console must stay silent, and which asks for nothing but files of the site."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(5000)
    said: list[str] = []
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    opened.on(
        "request",
        lambda request: None if request.url.startswith((site.as_uri(), "data:", "blob:")) else said.append(request.url),
    )
    yield opened
    context.close()
    assert said == []


def every_kind(site: Path) -> list[Path]:
    return [
        site / "index.html",
        site / "results.html",
        *(sorted((site / f).glob("*.html"))[-1] for f in ("tasks", "methods", "coalitions")),
    ]


def names(page: Any, table: str) -> list[str]:
    return [n for n in page.locator(f"#{table} tbody tr:visible th a").all_inner_texts() if "alert" not in n]


def test_a_table_sorts_by_click_and_by_key(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    seconds = page.locator("#overall-table th", has_text="Seconds")
    seconds.get_by_role("button").click()
    assert seconds.get_attribute("aria-sort") == "ascending"
    assert names(page, "overall-table") == ["random", "cheap", "good"]
    seconds.get_by_role("button").press("Enter")
    assert seconds.get_attribute("aria-sort") == "descending"
    assert names(page, "overall-table") == ["good", "cheap", "random"]


def test_filters_search_and_reset_say_how_many_rows_are_left(page: Any, site: Path) -> None:
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


def test_filters_stand_in_the_address(page: Any, site: Path) -> None:
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


def test_plots_are_drawn_in_both_schemes_and_links_lead_on(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for figure in page.locator("[data-figure]").all():
            figure.scroll_into_view_if_needed()
        page.wait_for_function(
            f"document.querySelectorAll('[data-drawn={scheme}] svg').length >= document.querySelectorAll('[data-figure]').length"
        )
    page.locator("#overall-table").get_by_role("link", name="good").click()
    assert page.url == (site / link("methods", "good")).as_uri()
    page.get_by_role("link", name=TASKS[1]).first.click()
    assert link("tasks", TASKS[1]) in page.url
    assert page.locator("h3:target").count() == 1
    page.get_by_role("navigation").get_by_role("link", name="coterie").click()
    assert page.url == (site / "index.html").as_uri()


def test_hostile_text_stays_text(page: Any, site: Path) -> None:
    for path in site.rglob("*.html"):
        page.goto(path.as_uri())
        assert page.locator("body script").count() == 1
    page.goto((site / "index.html").as_uri())
    assert page.get_by_text("<script>alert(1)</script>").count() > 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_runs_over_the_edge(browser: Any, site: Path, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # axe itself is inserted as a script, which the page's policy forbids
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for path in every_kind(site):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        found = Axe().run(page).response["violations"]
        told = [(v["id"], v["impact"], v["nodes"][0]["html"][:200], len(v["nodes"])) for v in found]
        assert told == [], path
    context.close()
