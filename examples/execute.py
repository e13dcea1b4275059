"""Execute the notebooks of this folder and keep their outputs.

    python examples/execute.py                     # all of them, in place: some minutes on two cores
    python examples/execute.py compare SEEDS=1     # one, with another value for a name of its first code cell

Each runs in an empty folder, so what it prints is what a newcomer sees. Times and paths of this machine are taken out.
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
SHOWN = "/home/you/example"  # in place of the folder in which a notebook was executed
LARGEST = 200_000  # bytes of an executed notebook


def execute(source: Path, values: Mapping[str, object] | None = None) -> nbformat.NotebookNode:
    """The notebook, executed in an empty folder; ``values`` replace those that its cell tagged `parameters` gives.

    Raises ``nbclient.exceptions.CellExecutionError`` where a cell fails, ``ValueError`` on an unknown name.
    """
    notebook = nbformat.read(source, as_version=4)
    if values:
        [cell] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        cell.source = _assigned(cell.source, values)
    # commands in cells are those of the interpreter that runs this
    bin_folder = str(Path(sys.executable).parent)
    env = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # plots into the notebook, whatever is set here
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm's, about bars that are not kept anyway
    }
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=900, resources={"metadata": {"path": folder}}, record_timing=False, kernel_name="python3",
            coalesce_streams=True,
        )  # fmt: skip
        client.execute(env=env)
        _cleaned(notebook, folder)
    return notebook


def _assigned(source: str, values: Mapping[str, object]) -> str:
    """The cell's assignments with other values."""
    lines = source.splitlines()
    for name, value in values.items():
        places = [i for i, line in enumerate(lines) if re.match(rf"{name} = ", line)]
        if not places:
            raise ValueError(f"{name}: expected a name that the cell of parameters assigns, got none of that name")
        lines[places[0]] = f"{name} = {value!r}"
    return "\n".join(lines)


def _cleaned(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Take out what differs from run to run and machine to machine without meaning anything."""
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
                    holder[key] = holder[key].replace(folder, SHOWN)


def main() -> None:
    """Execute in place what is named."""
    names = [argument for argument in sys.argv[1:] if "=" not in argument]
    values = {name: ast.literal_eval(value) for name, _, value in (a.partition("=") for a in sys.argv[1:] if "=" in a)}
    for path in [FOLDER / f"{name}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb")):
        text = nbformat.writes(execute(path, values))
        if len(text) > LARGEST:
            raise SystemExit(f"{path}: expected at most {LARGEST} bytes, got {len(text)}; fix: print and draw less")
        path.write_text(json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n")
        sys.stdout.write(f"{path}: {len(text) / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
