"""Errors that speak to the user about a reranker: one line that says what was expected, what was found and how to fix it."""

from __future__ import annotations


class RerankerError(ValueError):
    """A checkpoint that would load but give wrong scores, or that does not load."""
