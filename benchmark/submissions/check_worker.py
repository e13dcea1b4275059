"""What ``coterie check`` runs in a process of its own, one JSON line per order.

An order names a file, and a method of it with a check; without these two the answer is which methods the file has.
"""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

from pydantic import BaseModel

from coterie.benchmark.runner.worker import served
from coterie.methods.base import Method, MethodError


class CheckOrder(BaseModel):
    path: str
    method: str = ""
    check: str = ""


class CheckAnswer(BaseModel):
    """``problem``: what is wrong, None where nothing is. ``methods``: those of the file, for an order without a check."""

    problem: str | None = None
    methods: list[str] = []


def serve() -> None:
    """Answer orders until stdin ends."""
    orders, answers = served()
    while True:
        answers.write(_answered(CheckOrder.model_validate_json(orders.get())).model_dump_json() + "\n")
        answers.flush()


def methods_of(path: Path) -> dict[str, type[Method]]:
    """The methods of a file, of the package or outside it. Raises ``MethodError`` where it does not load or has none."""
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


def _answered(order: CheckOrder) -> CheckAnswer:
    from coterie.benchmark.submissions.contract import CHECKS, BrokenContractError

    try:
        methods = methods_of(Path(order.path))
    except MethodError as error:
        return CheckAnswer(problem=str(error))
    if not order.check:
        return CheckAnswer(methods=sorted(methods))
    try:
        CHECKS[order.check].run(methods[order.method])
    except BrokenContractError as error:
        return CheckAnswer(problem=str(error))
    except BaseException as error:  # the method is the user's: it may raise anything, SystemExit too
        return CheckAnswer(problem=_told(error, Path(order.path)))
    return CheckAnswer()


def _told(error: BaseException, path: Path) -> str:
    """The error in one line, with the place in the user's file that it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == path.name]
    where = f" at {path.name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}: {' '.join(str(error).split())}"


if __name__ == "__main__":
    serve()
