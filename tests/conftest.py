"""What all tests share: one thread a process, shapes checked at run time, the installed texts read once.

Hypothesis knows no deadlines here: on a busy machine they fail tests that are right. It tries the same examples every time,
so that a test that passes goes on passing; ``pytest --hypothesis-profile search`` looks for others, and for more where a
test does not say how many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs on several processes
os.environ["MPLBACKEND"] = "agg"

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

NO_CLOCK: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("coterie", derandomize=True, database=None, **NO_CLOCK)
settings.register_profile("search", max_examples=1000, **NO_CLOCK)
settings.load_profile("coterie")

torch.set_num_threads(1)
CHECKED = ["game", "engine.replay", "engine.last_layer", "engine.rotary_layer", "engine.tokens"]
install_import_hook([f"coterie.tasks.{name}" for name in CHECKED], "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def own_methods() -> Iterator[None]:
    """What the tests of one file include is gone with them: names are unique in a process, and files share one."""
    from coterie.methods.registry import _registry

    _registry.scan()
    methods, included = dict(_registry._methods), dict(_registry._included)
    yield
    for kept, before in ((_registry._methods, methods), (_registry._included, included)):
        kept.clear()
        kept.update(before)


@pytest.fixture(scope="session")
def pydoc_domains() -> dict[str, Any]:
    """The four domains of the collection pydoc, from the installed packages."""
    from coterie.tasks.collections.pydoc import load_pydoc

    return dict(load_pydoc())
