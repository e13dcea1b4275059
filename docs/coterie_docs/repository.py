"""Pages made from files of the repository, with links that work on the site and pictures inside the page."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

# Files outside docs/ that become pages of the site
PAGES = {"CONTRIBUTING.md": "contributing.md", "examples/README.md": "examples/index.md"}
_LINK = re.compile(r"(?<!!)\[([^\]\n]+(?:\n[^\]\n]+)?)\]\((?!\w+:|#)([^)\s#]*)(#[^)\s]*)?\)")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+\.svg)\)")
_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)


def pages() -> dict[str, str | bytes]:
    """The texts of the files, by path in the site."""
    return {page: (ROOT / file).read_text() for file, page in PAGES.items()}


def with_links(markdown: str, src_uri: str) -> str:
    """Change the relative links of a repository file into links between pages of the site.

    A link to a file without a page becomes plain text, so that no page links to a host that a fork may not have.
    """
    source = _source(src_uri)
    if source is None:
        return markdown  # a generated page already has the site's links

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        page = PAGES.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
        if target.endswith(".ipynb"):
            page = f"{target.removesuffix('.ipynb')}.md"
        elif (ROOT / target).is_dir() and posixpath.dirname(target) == "examples":
            page = PAGES["examples/README.md"]
        if page is None:
            named = posixpath.basename(target) == posixpath.basename(link[1].strip("`"))
            return f"`{target}`" if named else f"{link[1]} (`{target}`)"
        return f"[{link[1]}]({posixpath.relpath(page, posixpath.dirname(src_uri))}{link[3] or ''})"

    return _LINK.sub(moved, markdown)


def _source(src_uri: str) -> str | None:
    """The repository file that a page shows, or None."""
    sources = {page: file for file, page in PAGES.items()}
    notebook = f"{src_uri.removesuffix('.md')}.ipynb"
    candidates = (sources.get(src_uri), notebook, f"docs/{src_uri}")
    return next((file for file in candidates if file is not None and (ROOT / file).exists()), None)


def with_pictures(markdown: str, src_uri: str) -> str:
    """Put the SVG pictures into the page, without their own colours: assets/extra.css has those of the theme."""

    def inlined(picture: re.Match[str]) -> str:
        path = DOCS / posixpath.normpath(posixpath.join(posixpath.dirname(src_uri), picture[2]))
        svg = _STYLE.sub("", path.read_text()).strip()
        return f'<figure class="picture" tabindex="0" markdown="0">{svg}</figure>'

    return _PICTURE.sub(inlined, markdown)
