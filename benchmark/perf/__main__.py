"""One part of the table in a process of its own: ``python -m coterie.benchmark.perf NAME`` prints its rows as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict

rows = importlib.import_module(f"coterie.benchmark.perf.{sys.argv[1]}").rows()
print(json.dumps([asdict(row) for row in rows], default=float))
