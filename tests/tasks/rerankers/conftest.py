"""Fixtures for the tests of rerankers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coterie.tasks.rerankers.spec import RerankerSpec
from tests.tasks.rerankers.popular import POPULAR


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RerankerSpec]:
    """A function from a stand-in's name to its specification; each is saved once and must not be changed."""
    specs: dict[str, RerankerSpec] = {}

    def of(name: str) -> RerankerSpec:
        if name not in specs:
            specs[name] = POPULAR[name].save(tmp_path_factory.mktemp(name.replace(".", "-")))
        return specs[name]

    return of
