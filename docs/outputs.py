"""Write what the quick start shows: the output of its command, made anew in an empty folder.

    python docs/outputs.py      # about a minute and a half on two cores; writes docs/outputs/quick.txt
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

OUTPUTS = Path(__file__).parent / "outputs"
COMMAND = ("coterie", "run")


def main() -> None:
    """Run the command as a reader would, in a terminal of 100 columns."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            COMMAND, cwd=folder, env={**os.environ, "COLUMNS": "100"}, text=True, capture_output=True, check=True
        )
    shown, written, _ = done.stdout.partition("Written: ")  # what follows names folders of this machine
    if not written:
        raise SystemExit(f"{' '.join(COMMAND)}: expected a line 'Written: ...', got none in:\n{done.stdout}")
    (OUTPUTS / "quick.txt").write_text("\n".join(line.rstrip() for line in shown.rstrip().splitlines()) + "\n")


if __name__ == "__main__":
    main()
