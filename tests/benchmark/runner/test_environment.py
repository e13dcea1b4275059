"""The device to run on."""

from __future__ import annotations

import pytest

from coterie.benchmark.errors import UsageError
from coterie.benchmark.runner.environment import resolve_device


def test_auto_is_an_available_device() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda", "mps")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="expected auto, cpu, cuda, mps, got 'tpu'"):
        resolve_device("tpu")
