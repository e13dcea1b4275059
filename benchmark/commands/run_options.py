"""The options of `coterie run` as a value, checked the same way from the command line, a config file and Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from coterie.benchmark.errors import UsageError
from coterie.benchmark.quantities import parse_bytes, parse_duration
from coterie.benchmark.runner.choices import ExecutorName, Overwrite
from coterie.tasks.config.paths import expand_home
from coterie.tasks.config.text import explain_problem


def _list(value: object) -> object:
    """Refuse a single string in place of a list: Python would treat it as a list of letters. None is the default."""
    if value is None:
        return ()
    if isinstance(value, str | bytes | Path) or not isinstance(value, Iterable):
        raise ValueError(f"expected a list, got {value!r}; fix: [{value!r}]")
    return tuple(value)


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str | Path) else _list(value)


def _number(value: object) -> object:
    """A number of any type, numpy's included, as an int if it is whole and a float otherwise; not a boolean."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return int(number) if number.is_integer() else number


def _seconds(value: object) -> object:
    return parse_duration(value, "timeout") if isinstance(value, str) else _number(value)


def _bytes(value: object) -> object:
    return parse_bytes(value, "memory_limit") if isinstance(value, str) else _number(value)


Texts = Annotated[tuple[str, ...], BeforeValidator(_list)]
Whole = Annotated[int, Field(strict=True), BeforeValidator(_number)]
Flag = Annotated[bool, Field(strict=True)]
HomePath = Annotated[Path, AfterValidator(lambda path: Path(expand_home(str(path))))]


@dataclass(frozen=True)
class RunOptions:
    """The options of `coterie run`. Tasks, methods, seeds and budgets that are empty or None come from the suite."""

    tasks: Texts = ()
    """Task names, selections such as `name[layer=1]`, or paths of task files."""
    methods: Texts = ()
    """Method selectors: `name` or `name[parameter=value,...]`."""
    suite: str = "quick"
    """Name of the suite that supplies the tasks, methods, seeds and budget that are not given."""
    seeds: Whole | None = None
    """Number of seeds; each method runs with seeds 0 to N-1."""
    budgets: Annotated[tuple[Whole, ...], BeforeValidator(_list)] = ()
    """Evaluations that a method may spend on the discovery game, one cell per budget."""
    include: Annotated[tuple[HomePath, ...], BeforeValidator(_one_or_more)] = ()
    """Python files with the user's methods."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    output_folder: HomePath = Path("coterie-out")
    """Where records, the leaderboard and the MLflow store are written."""
    tracking_uri: str | None = None
    """MLflow store; None for `MLFLOW_TRACKING_URI`, or sqlite in the output folder."""
    overwrite: Overwrite = "only-missing"
    """Which cells run: those without a record, all of them, or none."""
    retry_failed: Flag = False
    """Whether failed cells run again."""
    fail_fast: Flag = False
    """Whether the run stops at the first failed cell."""
    n_jobs: Whole | None = None
    """Number of cells that run concurrently; None for 1 or, on Ray, as many as the cluster holds."""
    executor: ExecutorName = "local"
    """Where cells run."""
    address: str | None = None
    """Address of the Ray cluster; None for `RAY_ADDRESS`, or a cluster on this machine."""
    timeout: Annotated[Annotated[float, Field(strict=True, gt=0)] | None, BeforeValidator(_seconds)] = None
    """Seconds after which a cell is killed; None for no limit."""
    memory_limit: Annotated[Annotated[int, Field(strict=True, gt=0)] | None, BeforeValidator(_bytes)] = None
    """Bytes of resident memory above which a cell is killed; None for no limit."""
    quiet: Flag = False
    """Whether only errors and the locations of the results are printed."""
    started: float | None = None
    """`time.perf_counter()` when the process began, to report the start-up time; None to leave it out."""


def checked_options(values: Mapping[str, Any]) -> RunOptions:
    """The options with these values, by field name. Raises `UsageError` for the first wrong one."""
    try:
        return _adapter().validate_python(dict(values))
    except ValidationError as error:
        problem = error.errors()[0]
        raised = problem.get("ctx", {}).get("error")
        if isinstance(raised, UsageError):
            raise raised from None
        where = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in problem["loc"][:2])
        message = explain_problem(problem)
        got = "" if raised else f", got {problem['input']!r}"
        raise UsageError(f"{where}: {message}{got}") from None


@cache
def _adapter() -> TypeAdapter[RunOptions]:
    return TypeAdapter(RunOptions)
