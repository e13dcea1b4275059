"""Random numbers by seed and task: one seed in two tasks gives independent draws, so that tasks can be averaged over."""

from __future__ import annotations

import numpy as np


def generator(task_fingerprint: str, *numbers: int) -> np.random.Generator:
    """The random numbers of a task (SHA-256, hexadecimal) for a seed and whatever else tells one use from another."""
    return np.random.default_rng([int(task_fingerprint[:32], 16), *numbers])
