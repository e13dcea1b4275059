"""The wheel holds every module and data file of the tree, and no top-level name but coterie."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmark", "leaderboard", "methods", "tasks", "tracking")


def test_wheel_holds_the_whole_tree(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"coterie"}
    tracked = subprocess.run(["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True)
    shipped = [name for name in tracked.stdout.split() if not name.startswith("leaderboard/submissions/")]  # data
    expected = {f"coterie/{name}" for name in shipped}
    assert len(expected) > 50
    assert expected - names == set()
    assert any(name.endswith("py.typed") for name in names)
