"""Run the command of the quick start in an empty folder, and write its output to docs/outputs/.

python docs/outputs.py      # about a minute and a half on two cores; writes run.txt and board.txt
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

OUTPUTS = Path(__file__).parent / "outputs"
COMMAND = ("coterie", "run")
_PARTS = re.compile(
    r"(?P<run>coterie run: .*?)\n(?!  )"  # the plan and one line per cell, which are indented
    r".*?\n(?P<board>Overall: .*?)\n +Agreement of seeds",  # then come legends and the folders of this machine
    re.DOTALL,
)


def main() -> None:
    """Run the command as a reader would, in a terminal as wide as the page."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            COMMAND, cwd=folder, env={**os.environ, "COLUMNS": "84"}, text=True, capture_output=True, check=True
        )
    parts = _PARTS.search(done.stdout)
    if parts is None:
        raise SystemExit(
            f"{' '.join(COMMAND)}: expected cells, an overall table and 'Agreement of seeds', got:\n{done.stdout}"
        )
    for name, text in parts.groupdict().items():
        (OUTPUTS / f"{name}.txt").write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


if __name__ == "__main__":
    main()
