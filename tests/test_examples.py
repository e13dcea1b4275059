"""The notebooks of examples/ run with small settings and are stored with consistent outputs."""

from __future__ import annotations

import importlib.util
import json
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))
SMALL: dict[str, dict[str, object]] = {
    "compare": {"TASKS": ["planted/needed"], "METHODS": ["random", "hedonic-oca[k=3]"], "SEEDS": 1},
    "submit": {"SUITE": "planted"},
    "track": {"SEEDS": 1},
}
EXPECTED_OUTPUT = {
    "compare": "2 cells: {'ok'}",
    "submit": "Verified: 9 cells",
    "track": "1 of 2 cells were finished before and reused",
}
SLOW = ("submit", "track")  # several runs in new processes
MISSING = [name for name in ("nbclient", "nbformat", "ipykernel") if find_spec(name) is None]


@pytest.fixture(scope="module")
def execution() -> ModuleType:
    if MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}; fix: pip install -e '.[examples]'")
    spec = importlib.util.spec_from_file_location("execute_examples", EXAMPLES / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_notebook_is_tested() -> None:
    assert sorted(SMALL) == NOTEBOOKS


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in NOTEBOOKS])
def test_a_notebook_runs(execution: ModuleType, name: str) -> None:
    notebook = execution.execute(EXAMPLES / f"{name}.ipynb", SMALL[name])
    stored = json.loads((EXAMPLES / f"{name}.ipynb").read_text())
    assert [len(cell.outputs) > 0 for cell in notebook.cells if cell.cell_type == "code"] == [
        len(cell["outputs"]) > 0 for cell in stored["cells"] if cell["cell_type"] == "code"
    ]
    output = json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert EXPECTED_OUTPUT[name] in output
    assert "command not found" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_stored_outputs_come_from_one_execution(name: str) -> None:
    path = EXAMPLES / f"{name}.ipynb"
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert path.stat().st_size < 200_000
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]


def test_unknown_parameters_are_refused(execution: ModuleType) -> None:
    with pytest.raises(ValueError, match="NOPE: expected a name that the parameters cell assigns"):
        execution.execute(EXAMPLES / "track.ipynb", {"NOPE": 1})
