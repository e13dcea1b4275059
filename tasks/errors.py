"""The errors of `tasks/`. Those derived from `TaskError` address the user; the others are mistakes in code.

The text of a `TaskError` is one line: what was expected, what was found and how to fix it. The command line prints it and
exits with code 2.
"""

from __future__ import annotations

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError


def one_line(problem: object, most: int = 200) -> str:
    """A library's message as one line of at most `most` characters."""
    return " ".join(str(problem).split())[:most]


class TaskError(ValueError):
    """Something that the user can repair in a task, its reranker, its texts or its training."""


class UnknownTaskError(TaskError):
    """A task name that is neither registered nor a file, or a selector that does not apply to the task."""


class TaskFileError(TaskError):
    """A task file that cannot be read or does not follow the schema."""


class DataError(TaskError):
    """Texts, judgements or runs that are invalid or too few; the text names file and line."""


class RerankerError(TaskError):
    """A checkpoint that does not load, or would load but give wrong scores."""


class UnknownArchitectureError(TaskError):
    """A model type that is missing from the table of architectures."""


class DoesNotFitError(RerankerError):
    """A task that needs more memory than is available."""


class AdditiveReadoutError(TaskError):
    """The outputs are additive in the ablated players, so every synergy is zero by construction."""


class TrainingError(TaskError):
    """A training run that cannot start or cannot be resumed."""


class RecipeError(TrainingError):
    """A field of a task file with a value that training does not support."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(f"{field}: {expected}, got {got!r}")
        self._detail = InitErrorDetails(
            type=PydanticCustomError("recipe", "{text}", {"text": expected}), loc=tuple(field.split(".")), input=got
        )

    def validation(self) -> ValidationError:
        """The same error as pydantic reports it, so that its line in the file can be found."""
        return ValidationError.from_exception_data("TaskSpec", [self._detail])


class CapabilityError(RuntimeError):
    """A method used information that it did not declare, or that the game does not have."""


class BudgetExceededError(RuntimeError):
    """A method used more evaluations than its budget."""


class EngineError(RuntimeError):
    """The replay does not reproduce the model: a bug or an unsupported architecture, never a result."""
