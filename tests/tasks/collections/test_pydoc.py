"""The collection pydoc: which docstrings are read, what is masked, and that the result is reproducible."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.tasks.collections import pydoc
from coterie.tasks.collections.types import Domain

LONG = "The remainder must be long enough to be a document, so it goes on and on about what widget does, "
LONG += "what widgets do not, and why a widget is never a gadget, until there are more than twenty five words."

SOURCE = f'''
def widget(x):
    """Turn a number into a widget.

    {LONG}
    """

def _private():
    """Turn nothing into a private thing.

    {LONG}
    """

class Machine:
    """A machine that makes many widgets.

    {LONG}
    """
    def run(self):
        """Run the machine until it stops.

        {LONG}
        """
        def inner():
            """Not public because it is local.

            {LONG}
            """

try:
    pass
except ImportError:
    def fallback():
        """Stand in where the import failed.

        {LONG}
        """
'''


def test_only_public_docstrings_are_read() -> None:
    names = {name for name, _ in pydoc.public_docstrings(SOURCE, "m")}
    assert names == {"m.widget", "m.Machine", "m.Machine.run", "m.fallback"}


def test_name_of_the_object_is_masked_as_a_whole_word() -> None:
    query, document = pydoc.split_docstring("widget", f"Turn a number into a widget.\n\n{LONG}") or ("", "")
    assert query == "Turn a number into a widget."
    assert " widget " not in document
    assert "what _ does" in document
    assert "widgets do not" in document, "only the whole word is the object's name"


@pytest.mark.parametrize(
    ("docstring", "why"),
    [
        ("One line only, with enough words.", "no remainder"),
        (f"Too short.\n\n{LONG}", "summary of two words"),
        (f"{'word ' * 25}\n\n{LONG}", "summary of 25 words"),
        ("A summary of enough words.\n\nshort", "remainder of one word"),
    ],
)
def test_docstring_of_the_wrong_length_is_dropped(docstring: str, why: str) -> None:
    assert pydoc.split_docstring("f", docstring) is None, why


def test_duplicate_texts_are_kept_once_over_all_domains() -> None:
    rows = {
        "a": [("a.f", "Get the first thing 1.", "Document one."), ("a.g", "Get the first thing 2.", "Another.")],
        "b": [("b.h", "Something else entirely.", "document: ONE"), ("b.i", "A new summary here.", "A new text.")],
    }
    kept = pydoc._deduplicate(rows)
    assert [name for name, *_ in kept["a"]] == ["a.f"]
    assert [name for name, *_ in kept["b"]] == ["b.i"], "a transfer text that was in training is dropped"


def test_installed_packages_yield_enough_queries(pydoc_domains: dict[str, Domain]) -> None:
    sizes = {name: len(domain.queries) for name, domain in pydoc_domains.items()}
    assert set(sizes) == set(pydoc.DOMAINS)
    assert sum(sizes.values()) > 5000
    assert min(sizes.values()) > 500
    for domain in pydoc_domains.values():
        assert domain.queries.keys() == domain.documents.keys() == domain.qrels.keys()
        assert not any(name.rsplit(".", 1)[-1].startswith("_") for name in domain.queries)


def test_cache_is_used_and_a_damaged_one_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pydoc_domains: dict[str, Domain]
) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path))
    monkeypatch.setattr(pydoc, "DOMAINS", {"small": ("peft",)})
    first = pydoc.load_pydoc()["small"].fingerprint()
    monkeypatch.setattr(pydoc, "_harvest", lambda _package: pytest.fail("read again although it is cached"))
    assert pydoc.load_pydoc()["small"].fingerprint() == first
    monkeypatch.undo()
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path))
    monkeypatch.setattr(pydoc, "DOMAINS", {"small": ("peft",)})
    next(tmp_path.rglob("*.json")).write_text("{ cut off")
    assert pydoc.load_pydoc()["small"].fingerprint() == first
