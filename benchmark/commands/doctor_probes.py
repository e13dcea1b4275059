"""What `coterie doctor` examines. Probes change nothing and import what they need when called: any of it may be broken."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from coterie.benchmark.commands.import_check import ImportProblem, import_problems
from coterie.benchmark.commands.logs import LogLevel
from coterie.benchmark.quantities import format_bytes, format_count

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from coterie.tracking.errors import MlflowError

Level = Literal["ok", "note", "warning", "problem"]
"""ok; note: optional and missing; warning: runs work, but less well; problem: runs fail."""

VARIABLES = {
    "COTERIE_CACHE": "folder for texts and other data that can be computed again",
    "COTERIE_LOG_LEVEL": "default of --log-level",
    "MLFLOW_TRACKING_URI": "default of --tracking-uri",
    "MLFLOW_EXPERIMENT_NAME": "experiment of the runs; default: coterie",
    "MLFLOW_ALLOW_FILE_STORE": "true: MLflow may write to a folder",
    "MLFLOW_TRACKING_USERNAME": "user of an MLflow server",
    "MLFLOW_TRACKING_PASSWORD": "password of an MLflow server",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false: do not sample processor and memory during a run",
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "seconds between these samples",
    "OMP_NUM_THREADS": "threads of torch",
    "MKL_NUM_THREADS": "threads of MKL",
    "OPENBLAS_NUM_THREADS": "threads of OpenBLAS",
    "NUMBA_NUM_THREADS": "threads of numba",
    "GOMP_SPINCOUNT": "how long idle threads of torch spin; coterie sets it to 100000",
    "RAY_ADDRESS": "default of --address",
    "HF_HOME": "folder of downloaded checkpoints",
    "HF_HUB_OFFLINE": "1: download nothing from the hub",
    "HF_TOKEN": "token for private checkpoints on the hub",
    "HTTPS_PROXY": "proxy for downloads",
    "IR_DATASETS_HOME": "folder of the collections of ir_datasets",
}
"""The environment variables that change what coterie does, and how."""

_SECRETS = ("PASSWORD", "TOKEN")
_SERVER_SECONDS = 2.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    """What was examined."""
    value: str
    """What was found."""
    level: Level = "ok"
    """How serious that is."""
    fix: str = ""
    """What to do about it."""


@dataclass(frozen=True)
class Place:
    """The options of a run that decide what is examined."""

    output_folder: Path
    """`--output-folder`."""
    tracking_uri: str | None
    """`--tracking-uri`."""


Found = Iterator[Finding]


def _versions(_place: Place) -> Found:
    from coterie.benchmark.runner.environment import git_hash

    yield Finding("coterie", version("coterie"))
    yield Finding("commit", git_hash() or "none: installed from a wheel")
    yield Finding("Python", f"{platform.python_version()}, {platform.platform()}")


def _requirements(extra: str | None) -> Iterator[Requirement]:
    """What coterie requires, or what an extra adds."""
    from packaging.requirements import Requirement

    for line in requires("coterie") or []:
        requirement, marker = Requirement(line), Requirement(line).marker
        wanted = marker is None or marker.evaluate({"extra": extra or ""})
        always = marker is None or marker.evaluate({"extra": ""})
        if wanted and (extra is None or not always) and requirement.name != "coterie":
            yield requirement


def _state_of(requirement: Requirement) -> tuple[str, bool]:
    """The installed version or what is wrong with it, and whether the requirement is met."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing", False
    if not requirement.specifier.contains(found, prereleases=True):
        return f"{requirement.name} {found} is installed, {requirement.specifier} is needed", False
    return found, True


def _packages(_place: Place) -> Found:
    from coterie.benchmark.runner.environment import REPORTED_PACKAGES

    others, broken = 0, broken_imports()
    for requirement in _requirements(None):
        state, good = _state_of(requirement)
        if not good:
            yield Finding(requirement.name, state, "problem", f"pip install '{requirement}'")
        elif problem := broken.get(requirement.name):
            what, culprit = f"{state}, cannot be imported: {problem.what}", (requirement.name, *problem.through)[-1]
            yield Finding(requirement.name, what, "problem", f"pip install --force-reinstall {culprit}")
        elif requirement.name in REPORTED_PACKAGES:
            yield Finding(requirement.name, state)
        else:
            others += 1
    yield Finding("others", f"{others} other required packages, all suitable")


@cache
def broken_imports() -> dict[str, ImportProblem]:
    """Why required packages cannot be imported, by name; `through` has only the packages that coterie requires."""
    modules = _modules([requirement.name for requirement in _requirements(None) if _state_of(requirement)[1]])
    found = import_problems(list(modules))
    return {
        modules[name]: replace(problem, through=[modules[passed] for passed in problem.through if passed in modules])
        for name, problem in found.items()
    }


def _modules(packages: Sequence[str]) -> dict[str, str]:
    """The modules that the packages install, and the package of each: that of the same name or, without one, all public ones."""
    from packaging.utils import canonicalize_name

    installed: dict[str, list[str]] = {}
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            if module.isidentifier() and not module.startswith("_"):
                installed.setdefault(canonicalize_name(distribution), []).append(module)
    found: dict[str, str] = {}
    for package in packages:
        name = canonicalize_name(package).replace("-", "_")
        modules = installed.get(canonicalize_name(package), [name])
        found |= dict.fromkeys([name] if name in modules else modules, package)
    return found


def _extras(_place: Place) -> Found:
    for extra in metadata("coterie").get_all("Provides-Extra") or []:
        states = [(requirement, *_state_of(requirement)) for requirement in _requirements(extra)]
        missing = [state for _, state, good in states if not good]
        if missing:
            yield Finding(extra, ", ".join(missing), "note", f"pip install 'coterie[{extra}]'")
        else:
            yield Finding(extra, ", ".join(f"{requirement.name} {state}" for requirement, state, _ in states))


def _devices(_place: Place) -> Found:
    import psutil

    from coterie.benchmark.runner.executors.process import available_cores

    limit = _cgroup_cores()
    limited = "" if limit is None else f", limited to {limit:g} by the container"
    yield Finding("cores", f"{os.cpu_count()}, of which {available_cores()} available to this process{limited}")
    memory = psutil.virtual_memory()
    most = _cgroup_number("memory.max")
    limited = "" if most is None or most >= memory.total else f", limited to {format_bytes(most)} by the container"
    yield Finding("memory", f"{format_bytes(memory.total)}, of which {format_bytes(memory.available)} free{limited}")
    if "torch" in broken_imports():
        yield Finding("torch", "cannot be imported, so its devices are unknown", "note", "see Packages")
        return
    import torch

    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        yield Finding(f"cuda:{number}", f"{properties.name}, {format_bytes(properties.total_memory)}")
    if not torch.cuda.is_available():
        yield Finding("cuda", "no device")
    yield Finding("mps", "available" if torch.backends.mps.is_available() else "no device")


def _cgroup_number(name: str) -> int | None:
    """The first number in a file of the container's limits; None without a limit."""
    path = Path("/sys/fs/cgroup") / name
    word = path.read_text().split()[0] if path.is_file() else "max"
    return None if word == "max" else int(word)


def _cgroup_cores() -> float | None:
    quota = _cgroup_number("cpu.max")
    return None if quota is None else quota / int(Path("/sys/fs/cgroup/cpu.max").read_text().split()[1])


def _threads(_place: Place) -> Found:
    from coterie.benchmark.runner.executors.process import THREAD_VARIABLES, available_cores

    if "torch" not in broken_imports():
        import torch

        yield Finding("torch", f"{torch.get_num_threads()} threads")
    cores = available_cores()
    fix = f"unset it, or set it to {cores}"
    for name in THREAD_VARIABLES:
        value = os.environ.get(name)
        number = _whole((value or "").split(",")[0])  # OpenMP takes a list, one number per level of nesting
        if value is None:
            yield Finding(name, f"not set: up to {cores} threads, divided among workers")
        elif number is not None and number > cores:
            yield Finding(name, f"{value}, more than the available cores", "warning", fix)
        elif number is None or number < 1:
            level: Level = "problem" if number is not None and name.startswith("NUMBA") else "warning"  # numba raises
            yield Finding(name, f"expected a number of threads, at least 1, got {value!r}", level, fix)
        else:
            yield Finding(name, value)


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _cache(_place: Place) -> Found:
    from coterie.tasks.cache import cache_dir
    from coterie.tasks.errors import DataError

    fix = "set COTERIE_CACHE to a folder that you can write"
    try:
        folder = cache_dir()
    except DataError as error:
        what = str(error).partition("; fix: ")[0]
        yield Finding("folder", f"{what}; tasks with texts would fail", "warning", fix)
        return
    if (problem := _why_unwritable(folder)) is not None:
        consequence = f"{problem}; texts are read again in every run"
        yield Finding("folder", consequence, "warning", fix)
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    yield Finding("folder", f"{folder}, writable, {format_bytes(size)}" if size else f"{folder}, writable, empty")


def _results(place: Place) -> Found:
    from coterie.tracking.store import RecordStore

    store = RecordStore(place.output_folder)
    if (problem := _why_unwritable(store.root) or _why_unwritable(store.folder)) is not None:
        yield Finding("output folder", problem, "problem", "choose another with --output-folder")
        return
    if not store.folder.is_dir():
        yield Finding("output folder", f"{store.root}, to be created by the first run")
        return
    count = sum(1 for _ in store.folder.rglob("*.json"))
    yield Finding("output folder", f"{store.root}, writable, {format_count(count, 'record')}")


def _why_unwritable(folder: Path) -> str | None:
    """Why a folder, or the nearest existing folder above it, cannot be written, with its path; None if it can."""
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    if not existing.is_dir():
        return f"{folder}: {'a file, not a folder' if existing == folder.resolve() else f'{existing} is a file'}"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return f"{folder}: cannot be written: {error.strerror}"


def _mlflow(place: Place) -> Found:
    from coterie.tracking.database import check_uri
    from coterie.tracking.errors import MlflowError
    from coterie.tracking.uris import is_database_server, mask_uri, resolve_uri, sqlite_path

    uri = resolve_uri(place.tracking_uri, place.output_folder)
    yield Finding("store", mask_uri(uri))
    try:
        check_uri(uri)
    except MlflowError as error:
        yield _refused(error)
        return
    if (path := sqlite_path(uri)) is not None:
        yield _sqlite(path)
    elif uri.startswith(("http://", "https://")):
        yield _web_server(uri)
    elif is_database_server(uri):
        yield _database_server(uri)
    else:
        yield Finding("state", "not examined")


def _refused(error: MlflowError) -> Finding:
    what, _, fix = str(error).partition("; fix: ")
    return Finding("state", what, "problem", fix)


def _sqlite(path: Path) -> Finding:
    import sqlite3

    from coterie.tracking.database import check_sqlite

    if not path.exists():
        if (problem := _why_unwritable(path.parent)) is not None:
            return Finding("state", problem, "problem", "name another store with --tracking-uri")
        return Finding("state", "to be created by the first run")
    try:
        check_sqlite(path, _SERVER_SECONDS)
    except (OSError, sqlite3.Error) as error:
        fix = "move the file away (records are kept elsewhere; `coterie sync` logs them again)"
        return Finding("state", f"{path}: {error}", "problem", fix)
    return Finding("state", f"a readable and writable database, {format_bytes(path.stat().st_size)}")


def _web_server(uri: str) -> Finding:
    from urllib.error import HTTPError, URLError
    from urllib.parse import urlsplit
    from urllib.request import urlopen

    parts = urlsplit(uri)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/health"
    try:
        with urlopen(address, timeout=_SERVER_SECONDS):  # noqa: S310 - http or https, checked by the caller
            return Finding("state", "the server answers")
    except HTTPError as error:
        return Finding("state", f"the server answers, with status {error.code} to {address}")
    except (URLError, OSError, ValueError) as error:
        return _unreachable(getattr(error, "reason", error))


def _database_server(uri: str) -> Finding:
    import socket

    from sqlalchemy import make_url

    from coterie.tracking.database import check_database_server
    from coterie.tracking.errors import MlflowError, MlflowUnavailableError

    parts = make_url(uri)
    port = parts.port or next(number for name, number in _PORTS.items() if uri.startswith(name))
    try:
        socket.create_connection((parts.host or "localhost", port), timeout=_SERVER_SECONDS).close()
        check_database_server(uri)
    except MlflowUnavailableError as error:
        return _unreachable(error)
    except MlflowError as error:
        return _refused(error)
    except OSError as error:
        return _unreachable(error)
    return Finding("state", "the database answers")


def _unreachable(error: object) -> Finding:
    """Only a warning: runs continue without a server, and their records on disk can be logged later."""
    fix = "start the server, or log the records later with `coterie sync`"
    return Finding("state", f"the server does not answer: {error}", "warning", fix)


def _variables(_place: Place) -> Found:
    from coterie.tracking.uris import mask_uri

    for name, purpose in VARIABLES.items():
        if name.endswith("_NUM_THREADS"):
            continue  # see Threads
        value = os.environ.get(name)
        if name == "COTERIE_LOG_LEVEL" and value and value not in get_args(LogLevel):
            what, fix = f"expected {', '.join(get_args(LogLevel))}, got {value!r}", "set it to one of these"
            yield Finding(name, what, "problem", fix)
            continue
        shown = "not set" if value is None else "set" if name.endswith(_SECRETS) else mask_uri(value)
        yield Finding(name, f"{shown} ({purpose})")


PROBES: dict[str, Callable[[Place], Found]] = {
    "Versions": _versions,
    "Packages": _packages,
    "Devices": _devices,
    "Threads": _threads,
    "Cache": _cache,
    "Results": _results,
    "MLflow": _mlflow,
    "Optional packages": _extras,
    "Environment variables": _variables,
}
"""The sections of the report, in order."""
