"""Measure one part in its own process: `python -m coterie.benchmark.perf NAME` prints its rows as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from coterie.benchmark.perf.parts import measure

print(json.dumps([asdict(row) for row in measure(sys.argv[1])], default=float))
