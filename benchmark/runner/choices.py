"""Options of a run that take one of a few words. This file imports nothing else, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal

Overwrite = Literal["only-missing", "always", "never"]
"""Which cells run: those without a record, all of them, or none."""

ExecutorName = Literal["local", "ray", "inline"]
"""Where cells run: in worker processes on this machine, on a Ray cluster, or in this process."""

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
"""Where models run; auto is the first that is available of cuda, mps and cpu."""
