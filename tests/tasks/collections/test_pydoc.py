"""The collection pydoc: what is read, what is masked, and that it is the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.tasks.collections import pydoc
from coterie.tasks.collections.candidates import BM25, SPLITS, candidates, in_hash_order, split_of
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


def test_public_docstrings_only() -> None:
    names = {name for name, _ in pydoc.public_docstrings(SOURCE, "m")}
    assert names == {"m.widget", "m.Machine", "m.Machine.run", "m.fallback"}


def test_own_name_is_masked_as_a_word() -> None:
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
def test_too_short_or_too_long_is_left_out(docstring: str, why: str) -> None:
    assert pydoc.split_docstring("f", docstring) is None, why


def test_duplicates_are_kept_once_over_all_domains() -> None:
    rows = {
        "a": [("a.f", "Get the first thing 1.", "Document one."), ("a.g", "Get the first thing 2.", "Another.")],
        "b": [("b.h", "Something else entirely.", "document: ONE"), ("b.i", "A new summary here.", "A new text.")],
    }
    kept = pydoc._deduplicate(rows)
    assert [name for name, *_ in kept["a"]] == ["a.f"]
    assert [name for name, *_ in kept["b"]] == ["b.i"], "a transfer text that was in training is left out"


def test_installed_packages(pydoc_domains: dict[str, Domain]) -> None:
    sizes = {name: len(domain.queries) for name, domain in pydoc_domains.items()}
    assert set(sizes) == set(pydoc.DOMAINS)
    assert sum(sizes.values()) > 5000
    assert min(sizes.values()) > 500
    for domain in pydoc_domains.values():
        assert domain.queries.keys() == domain.documents.keys() == domain.qrels.keys()
        assert not any(name.rsplit(".", 1)[-1].startswith("_") for name in domain.queries)


def test_cache_is_used_and_a_damaged_one_is_made_anew(
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


def tiny_domain() -> Domain:
    documents = {
        f"d{i}": f"{word} common text" for i, word in enumerate(["alpha", "beta", "gamma", "delta", "alpha beta"])
    }
    return Domain("tiny", {"q": "alpha"}, documents, {"q": {"d3": 1}})


def test_candidates_are_the_relevant_one_and_the_best_of_bm25() -> None:
    rows = candidates(tiny_domain(), ["q"], depth=3)
    assert [r.document_id for r in rows] == ["d0", "d3", "d4"]
    assert [r.grade for r in rows] == [0, 1, 0]


def test_bm25_equals_the_formula() -> None:
    """Lucene's BM25 by hand: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + k1 (1 - b + b len / mean))."""
    import numpy as np

    idf = np.log(1 + (5 - 2 + 0.5) / (2 + 0.5))
    mean = (3 * 4 + 4) / 5
    expected = {
        "d0": idf / (1 + 1.5 * (0.25 + 0.75 * 3 / mean)),
        "d4": idf / (1 + 1.5 * (0.25 + 0.75 * 4 / mean)),
        "d1": 0.0,
    }
    assert BM25(tiny_domain()).score("alpha", list(expected)) == pytest.approx(list(expected.values()), rel=1e-5)
    assert not BM25(tiny_domain()).scores("unheard").any()


def test_too_few_documents_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"5 documents.*ask for 9"):
        candidates(tiny_domain(), ["q"], depth=9)


def test_splits_are_stable_and_of_the_stated_sizes() -> None:
    names = [f"package.module.name{i}" for i in range(4000)]
    shares = {split: sum(split_of(n) == split for n in names) / len(names) for split in SPLITS}
    assert shares == pytest.approx({"train": 0.8, "dev": 0.04, "discovery": 0.08, "heldout": 0.08}, abs=0.02)
    assert in_hash_order(names) == in_hash_order(names[::-1])
    assert split_of("torch.nn.Linear") == split_of("torch.nn.Linear")
