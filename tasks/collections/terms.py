"""What counts as a term: one rule for BM25, the signals and the objectives."""

from __future__ import annotations


def terms(texts: list[str]) -> list[list[str]]:
    """The terms of each text in order: words of two characters and more, lower case, without English stop words."""
    import bm25s

    return bm25s.tokenize(
        texts, stopwords="en", token_pattern=r"(?u)\b\w\w+\b", return_ids=False, show_progress=False, leave=False
    )
