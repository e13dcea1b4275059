"""Random numbers per seed and task: a seed draws independently in every task, so that results can be averaged over tasks."""

from __future__ import annotations

import numpy as np


def generator(task_fingerprint: str, *numbers: int) -> np.random.Generator:
    """The generator of a task (its SHA-256, hexadecimal) for `numbers`: a seed, then whatever distinguishes its uses."""
    return np.random.default_rng([int(task_fingerprint[:32], 16), *numbers])
