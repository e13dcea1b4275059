"""MkDocs hook that generates pages from the registry, the command line and the repository's files during the build.

These pages use the same sources as `coterie info` and `--help`, so they cannot disagree with the code.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from coterie_docs import commands, notebooks, reference, repository

ROOT = Path(__file__).parent.parent
PACKAGES = ("benchmark", "leaderboard", "methods", "tasks", "tracking")

_trees: list[tempfile.TemporaryDirectory[str]] = []  # at most one, created by the first build


@event_priority(100)  # before mkdocstrings reads its configuration
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let griffe find the root folders under their import names, and fill in the navigation."""
    if not _trees:
        _trees.append(tempfile.TemporaryDirectory(prefix="coterie-docs-"))
        package = Path(_trees[0].name, "coterie")
        package.mkdir()
        for name in PACKAGES:
            (package / name).symlink_to(ROOT / name)
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [_trees[0].name]
    config.nav = _expanded(config.nav, sorted(_pages()))
    config.watch.extend(str(ROOT / name) for name in (*PACKAGES, "examples", "CONTRIBUTING.md"))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for path, content in _pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Adapt links to the site, and put pictures into the page, where they follow its colours."""
    return repository.with_pictures(repository.with_links(markdown, page.file.src_uri), page.file.src_uri)


def on_shutdown() -> None:
    """Remove the temporary folder."""
    while _trees:
        _trees.pop().cleanup()


def _pages() -> dict[str, str | bytes]:
    return {**reference.pages(), **commands.pages(), **repository.pages(), **notebooks.pages()}


def _expanded(nav: Any, paths: list[str]) -> Any:
    """The navigation, with each `folder/` replaced by the pages generated in it, the index first."""
    if isinstance(nav, str) and nav.endswith("/"):
        inside = [path for path in paths if path.startswith(nav) and path.endswith(".md")]
        return sorted(inside, key=lambda path: (not path.endswith("/index.md"), path))
    if isinstance(nav, dict):
        return {title: _expanded(item, paths) for title, item in nav.items()}
    return [_expanded(item, paths) for item in nav] if isinstance(nav, list) else nav
