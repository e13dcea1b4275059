"""Configuration for all tests: one thread per process, run-time checks of shapes, and shared fixtures.

Hypothesis has no deadlines, because on a busy machine correct tests would miss them. It tries the same examples every time, so
that a passing test keeps passing. `pytest --hypothesis-profile search` tries other examples, and more of them in tests that do
not set a number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests already run in several processes
os.environ["MPLBACKEND"] = "agg"

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

NO_DEADLINE: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("coterie", derandomize=True, database=None, **NO_DEADLINE)
settings.register_profile("search", max_examples=1000, **NO_DEADLINE)
settings.load_profile("coterie")

torch.set_num_threads(1)
CHECKED = ["game", "engine.replay", "engine.last_layer", "engine.rotary_layer", "engine.tokens"]
install_import_hook([f"coterie.tasks.{name}" for name in CHECKED], "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def restored_registry() -> Iterator[None]:
    """Forget the methods that a test file includes: names are unique per process, and test files share processes."""
    from coterie.methods.registry import _registry

    _registry.scan()
    methods, included = dict(_registry._methods), dict(_registry._included)
    yield
    for current, before in ((_registry._methods, methods), (_registry._included, included)):
        current.clear()
        current.update(before)


@pytest.fixture(scope="session")
def pydoc_domains() -> dict[str, Any]:
    """The four domains of the collection pydoc, read once from the installed packages."""
    from coterie.tasks.collections.pydoc import load_pydoc

    return dict(load_pydoc())
