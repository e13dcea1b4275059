"""The worker process of `coterie check`: it reads requests from stdin, one JSON line each, and answers with JSON lines."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

from pydantic import BaseModel

from coterie.benchmark.runner.worker import open_channel
from coterie.methods.base import Method, MethodError


class CheckRequest(BaseModel):
    """Run one check on one method of a file or, if no check is named, list the file's methods."""

    path: str
    """Path of the file."""
    method: str = ""
    """Name of the method."""
    check: str = ""
    """Name of the check."""


class CheckAnswer(BaseModel):
    """The answer to an request."""

    problem: str | None = None
    """What is wrong; None if nothing is."""
    methods: list[str] = []
    """Names of the file's methods, for an request that names no check."""


def serve() -> None:
    """Answer requests until stdin ends."""
    requests, answers = open_channel()
    while True:
        answers.write(_answer(CheckRequest.model_validate_json(requests.get())).model_dump_json() + "\n")
        answers.flush()


def methods_of(path: Path) -> dict[str, type[Method]]:
    """The methods of a file, by name. Raises `MethodError` if the file does not load or has no methods.

    A file of `methods/` is already imported as a part of the package, and is not imported again.
    """
    import coterie.methods
    from coterie.methods.registry import broken_plugins, include, list_methods

    file = path.expanduser().resolve()
    if file.parent not in {Path(folder).resolve() for folder in coterie.methods.__path__}:
        return {cls.name: cls for cls in include(path)}
    broken = broken_plugins().get(f"coterie.methods.{file.stem}")
    if broken is not None:
        raise broken
    found = {name: cls for name, cls in list_methods().items() if Path(inspect.getfile(cls)).resolve() == file}
    if not found:
        raise MethodError(f"{path}:1: expected a subclass of coterie.methods.Method with `discover`, got none")
    return found


def _answer(request: CheckRequest) -> CheckAnswer:
    from coterie.benchmark.submissions.contract import CHECKS, BrokenContractError

    try:
        methods = methods_of(Path(request.path))
    except MethodError as error:
        return CheckAnswer(problem=str(error))
    if not request.check:
        return CheckAnswer(methods=sorted(methods))
    try:
        CHECKS[request.check].run(methods[request.method])
    except BrokenContractError as error:
        return CheckAnswer(problem=str(error))
    except BaseException as error:  # a method may raise anything, SystemExit included
        return CheckAnswer(problem=_describe(error, Path(request.path)))
    return CheckAnswer()


def _describe(error: BaseException, path: Path) -> str:
    """The error in one line, with the line of the user's file that raised it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == path.name]
    where = f" at {path.name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}: {' '.join(str(error).split())}"


if __name__ == "__main__":
    serve()
