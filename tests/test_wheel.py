"""The wheel contains every module and data file of the tree and nothing else, and coterie is its only top-level name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmark", "leaderboard", "methods", "tasks", "tracking")
OTHERS = ("LICENSE", "README.md", "pyproject.toml", "setup.py")


def files_of_the_tree() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [path for path in listed.stdout.split() if (ROOT / path).exists()]
    results = "leaderboard/submissions/"  # not part of the package
    return [path for path in paths if not path.startswith(results)]


def test_wheel_contains_exactly_the_tree(tmp_path: Path) -> None:
    """It is built from a copy, because setuptools would also pack what an earlier build left in `build/`."""
    files = files_of_the_tree()
    assert len(files) > 50
    source = tmp_path / "source"
    for path in (*files, *OTHERS):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)],
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {f"coterie/{path}" for path in files}
    assert any(name.endswith("py.typed") for name in names)
