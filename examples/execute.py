"""Execute the notebooks of this folder and store their outputs in them.

    python examples/execute.py                     # all of them, in place: a few minutes on two cores
    python examples/execute.py compare SEEDS=1     # one of them, with another value for a parameter of its first code cell

Each notebook runs in an empty folder, so it prints what a newcomer sees. The path of that folder is replaced.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
DISPLAYED_FOLDER = "/home/you/example"  # replaces the folder in which a notebook was executed
MOST_BYTES = 200_000  # of an executed notebook


def execute(source: Path, values: Mapping[str, object] | None = None) -> nbformat.NotebookNode:
    """Execute the notebook in an empty folder; `values` replace assignments in its cell tagged `parameters`.

    Raises `nbclient.exceptions.CellExecutionError` if a cell fails, and `ValueError` for a name that the cell does not assign.
    """
    notebook = nbformat.read(source, as_version=4)
    if values:
        [cell] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        cell.source = _with_values(cell.source, values)
    # Commands in cells must come from the environment of this interpreter.
    bin_folder = str(Path(sys.executable).parent)
    env = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # plots go into the notebook, whatever this environment sets
        "PYTHONWARNINGS": "ignore:IProgress not found",  # from tqdm, about progress bars that are not stored anyway
    }
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=900, resources={"metadata": {"path": folder}}, record_timing=False, kernel_name="python3",
            coalesce_streams=True,
        )  # fmt: skip
        client.execute(env=env)
        _clean(notebook, folder)
    return notebook


def _with_values(source: str, values: Mapping[str, object]) -> str:
    """The cell's source with other values assigned."""
    lines = source.splitlines()
    for name, value in values.items():
        places = [i for i, line in enumerate(lines) if re.match(rf"{name} = ", line)]
        if not places:
            raise ValueError(f"{name}: expected a name that the parameters cell assigns, got another")
        lines[places[0]] = f"{name} = {value!r}"
    return "\n".join(lines)


def _clean(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Remove metadata, ids and paths that differ between runs and machines without meaning."""
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        for output in cell.get("outputs", []):
            for holder, key in (
                (output, "text"),
                (output.get("data", {}), "text/plain"),
                (output.get("data", {}), "text/html"),
            ):
                if key in holder:
                    holder[key] = holder[key].replace(folder, DISPLAYED_FOLDER)


def main() -> None:
    """Execute the named notebooks, or all of them, in place."""
    names = [argument for argument in sys.argv[1:] if "=" not in argument]
    values = {name: ast.literal_eval(value) for name, _, value in (a.partition("=") for a in sys.argv[1:] if "=" in a)}
    for path in [FOLDER / f"{name}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb")):
        text = nbformat.writes(execute(path, values))
        if len(text) > MOST_BYTES:
            raise SystemExit(f"{path}: expected at most {MOST_BYTES} bytes, got {len(text)}; fix: print and draw less")
        path.write_text(json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n")
        sys.stdout.write(f"{path}: {len(text) / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
