"""The documentation site builds offline, has an entry for everything registered, and has no broken links or raw markup."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from typer.main import get_command

from coterie.benchmark.cli.main import app
from coterie.benchmark.protocol.metrics.registry import list_metrics
from coterie.benchmark.protocol.suites import SUITES
from coterie.methods.registry import list_methods
from coterie.tasks.registry import get_task_spec, list_tasks

ROOT = Path(__file__).parent.parent
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings_handlers") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}; fix: pip install -e '.[docs]'")
CHROMIUM = shutil.which("chromium")
PATIENCE = 900_000  # milliseconds: the search first builds its index, which takes minutes on a busy machine
NOT_PROSE = ("code", "pre", "script", "style")
RAW_MARKUP = re.compile(r"`|:(?:class|func|meth|mod|attr|data):|^Args:", re.MULTILINE)
LOADS = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("image", "href")}


@dataclass
class Parsed(HTMLParser):
    """The resources, links, anchors and text of a page."""

    loads: list[str] = field(default_factory=list)
    """URLs that a browser loads with the page."""
    links: list[str] = field(default_factory=list)
    """Targets of its links."""
    ids: set[str] = field(default_factory=set)
    """Anchors that links can point to."""
    text: list[str] = field(default_factory=list)
    """Pieces of text."""
    prose: list[str] = field(default_factory=list)
    """Pieces of text outside code and scripts."""
    skipped: int = 0
    """Open elements of code or scripts."""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.skipped += tag in NOT_PROSE
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        self.loads += [values[name] for of, name in LOADS if of == tag and name in values]
        if tag == "link" and values.get("rel") not in ("prev", "next", "canonical"):
            self.loads.append(values["href"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])

    def handle_endtag(self, tag: str) -> None:
        self.skipped -= tag in NOT_PROSE

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if not self.skipped:
            self.prose.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Parsed]:
    found = {}
    for path in sorted(site.rglob("*.html")):
        found[path] = Parsed()
        found[path].feed(path.read_text())
    return found


def test_every_method_has_a_page_with_every_parameter(site: Path, pages: dict[Path, Parsed]) -> None:
    for name, cls in list_methods().items():
        text = "".join(pages[site / "reference" / "methods" / name / "index.html"].text)
        assert cls.reference.split(",")[0] in text
        schema = cls.parameter_schema()
        for parameter in (f.name for f in fields(cls)):
            assert parameter in text
            assert schema[parameter]["description"].split("`")[0] in text, (name, parameter)


def test_every_task_metric_suite_and_command_has_an_entry(site: Path, pages: dict[Path, Parsed]) -> None:
    for name, path in list_tasks().items():
        text = "".join(pages[site / "reference" / "tasks" / name.replace("/", "-") / "index.html"].text)
        assert f"coterie run -t {name}" in text
        layers = getattr(get_task_spec(name), "layers", ())
        assert not layers or f"layers: {', '.join(map(str, layers))}" in text, name
        if (path.parent / "card.json").exists():
            assert "without LoRA" in text, name
    assert set(list_metrics()) <= pages[site / "reference" / "metrics" / "index.html"].ids
    assert set(SUITES) <= pages[site / "reference" / "suites" / "index.html"].ids
    commands = "".join(pages[site / "reference" / "commands" / "index.html"].text)
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"coterie {name}" in commands
        for option in command.params:
            names = [option.metavar] if option.param_type_name == "argument" else option.opts
            assert all(part in commands for part in names), (name, names)


def test_no_raw_markup_reaches_readers(pages: dict[Path, Parsed]) -> None:
    for path, page in pages.items():
        assert RAW_MARKUP.findall("".join(page.prose)) == [], path


def test_links_lead_to_existing_pages_and_anchors(site: Path, pages: dict[Path, Parsed]) -> None:
    internal = 0
    for path, page in pages.items():
        for link in page.links:
            url, fragment = urldefrag(link)
            if urlparse(url).scheme or (path.name == "404.html"):
                continue
            target = (path.parent / unquote(url)).resolve() if url else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_relative_to(site), (path, link)
            assert target.exists(), (path, link)
            if fragment and target in pages:
                assert unquote(fragment) in pages[target].ids | {"__skip"}, (path, link)
            internal += 1
    assert internal > 1000


def test_pages_load_nothing_from_other_hosts(site: Path, pages: dict[Path, Parsed]) -> None:
    for path, page in pages.items():
        assert page.loads
        assert [url for url in page.loads if urlparse(url).netloc or url.startswith("//")] == [], path
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", path.read_text()) == [], path


def test_stored_pictures_match_their_script(tmp_path: Path) -> None:
    """The last digits may differ, because they depend on the processor."""
    number = re.compile(r"-?\d+(?:\.\d+)?")
    subprocess.run([sys.executable, "docs/pictures.py", str(tmp_path)], cwd=ROOT, check=True)
    drawn = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    stored = {path.name: path.read_text() for path in (ROOT / "docs" / "images" / "concepts").glob("*.svg")}
    assert drawn.keys() == stored.keys()
    for name, text in drawn.items():
        assert number.sub("", text) == number.sub("", stored[name]), name
        assert [*map(float, number.findall(text))] == pytest.approx(
            [*map(float, number.findall(stored[name]))], abs=0.11
        )


def test_pages_of_the_notebooks_show_their_outputs(site: Path, pages: dict[Path, Parsed]) -> None:
    notebooks = [path.stem for path in (ROOT / "examples").glob("*.ipynb")]
    assert notebooks
    for name in notebooks:
        assert f"python examples/execute.py {name}" in "".join(pages[site / "examples" / name / "index.html"].text)
    assert any("compare-" in url for url in pages[site / "examples" / "compare" / "index.html"].loads)  # the plot


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium; fix: apt-get install chromium")
@pytest.mark.skipif(find_spec("playwright") is None, reason="needs playwright; fix: pip install -e '.[test]'")
def test_the_site_works_in_a_browser(served: str) -> None:
    """Search finds a method, dark mode works, phones do not scroll sideways, and there are no errors or other requests."""
    from playwright.sync_api import expect, sync_playwright

    problems: list[str] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=PATIENCE)
        context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((served, "data:", "blob:")) else problems.append(r.url))
        for path in ("", "concepts/", "reference/methods/hedonic-oca/", "reference/python/", "examples/compare/"):
            page.goto(f"{served}/{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
            assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(served)
        # Type the keys instead of filling in the text: the page searches on key-up, and once when its index is ready, which
        # may be before the text is filled in.
        page.get_by_role("textbox", name="Search").press_sequentially("top-covering")
        expect(page.locator(".md-search-result__item").first).to_contain_text("over", timeout=PATIENCE)
        browser.close()
    assert problems == []
