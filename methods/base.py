"""What a method is: typed parameters, a declaration of what it sees, and one function that proposes coalitions."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from coterie.tasks.config.text import did_you_mean
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    import numpy as np

    from coterie.methods.coalitions import Coalitions
    from coterie.tasks.game import Game

_PLAIN = re.compile(r"[A-Za-z0-9_./:+-]+")  # strings that a selector shows without quotes
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|.', re.DOTALL)  # a JSON string, or a character
_NOISE = re.compile(r"^Input should be |, unable to parse.*|, got a number.*")  # in pydantic's messages


class MethodError(ValueError):
    """A method, a parameter or a plug-in is not as it should be. Its text is one line that says what to change."""


@dataclass(frozen=True)
class Method(ABC):
    """A way to propose coalitions. A subclass is a frozen dataclass whose fields, all with defaults, are its parameters.

    The file of a method, whole::

        @dataclass(frozen=True)
        class FirstPairs(Method):
            \"\"\"Neighbouring players in pairs.\"\"\"

            name = "first-pairs"
            sees = frozenset()
            reference = "nobody (1970)"

            count: Annotated[int, Field(ge=1, description="how many pairs")] = 8

            def discover(self, game, budget, rng):
                pairs = [(i, i + 1) for i in range(0, game.n_players - 1, 2)]
                return Coalitions.of(game.n_players, pairs[: self.count])

    ``sees`` may depend on the parameters (:class:`coterie.methods.affinity.AffinityMethod`): read it from the instance
    that runs. At the class it is what the method sees with its defaults.

    Constructors check nothing; :meth:`build`, :attr:`parameters` and :attr:`selector` do, so that no invalid method gets
    a name. ``tiny`` holds parameters with which the contract suite can afford to run the method often.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False, revalidate_instances="always")

    name: ClassVar[str]
    sees: ClassVar[frozenset[Capability]]
    reference: ClassVar[str]
    tiny: ClassVar[Mapping[str, JsonValue]] = {}

    @abstractmethod
    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """Propose coalitions of the players of `game`, strongest first.

        ``game`` gives what the method declared in ``sees`` and refuses more than ``budget`` evaluations; all
        randomness comes from ``rng``. Raises ``ValueError`` (expected, got, fix) on a game that it cannot answer.
        """

    @classmethod
    def build(cls, parameters: Mapping[str, object]) -> Self:
        """The method with these parameters, given as JSON values or as the strings of a command line.

        Raises :class:`MethodError` on an unknown parameter, a wrong type, a value out of range, and on parameters that
        exclude each other (:meth:`contradiction`).
        """
        names = [field.name for field in fields(cls)]
        for unknown in sorted(set(parameters) - set(names)):
            raise MethodError(f"{cls.name}: unknown parameter {unknown!r}{did_you_mean(unknown, names)}")
        try:
            method: Self = _adapter(cls).validate_python({key: _parsed(value) for key, value in parameters.items()})
        except ValidationError as error:
            raise MethodError(_explained(cls, error)) from error
        method._check()
        return method

    def contradiction(self) -> str | None:
        """Which parameters, each fine by itself, exclude each other (expected, got, fix); None where none do.

        Asked before anything runs, so that what no game can answer is no failed cell.
        """
        return None

    def _check(self) -> None:
        """Raises :class:`MethodError` where parameters exclude each other."""
        if problem := self.contradiction():
            raise MethodError(f"{self.name}: {problem}")

    @property
    def parameters(self) -> dict[str, JsonValue]:
        """All parameters as JSON values; ``build(parameters)`` gives an equal method back."""
        adapter = _adapter(type(self))
        try:
            valid = adapter.validate_python(self)
        except ValidationError as error:
            raise MethodError(_explained(type(self), error)) from error
        self._check()
        values: dict[str, JsonValue] = adapter.dump_python(valid, mode="json")
        return values

    @property
    def selector(self) -> str:
        """The canonical ``name[parameter=value,...]``: only what differs from the defaults, in order of declaration."""
        defaults = type(self)().parameters
        changed = {key: value for key, value in self.parameters.items() if value != defaults[key]}
        inside = ",".join(f"{key}={_written(value)}" for key, value in changed.items())
        return f"{self.name}[{inside}]" if inside else self.name

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @classmethod
    def parameter_schema(cls) -> dict[str, Any]:
        """Parameter name -> its JSON schema (type, default, range, description), for help texts."""
        properties: dict[str, Any] = _adapter(cls).json_schema().get("properties", {})
        return properties

    def skip_reason(self, game: Game) -> str | None:
        """Why this method, with its parameters, cannot run on this game, or None where it can. Asked before anything runs."""
        missing = sorted(self.sees - game.capabilities)
        if not missing:
            return None
        return f"{self.selector} needs {', '.join(missing)}; the game gives {', '.join(sorted(game.capabilities)) or 'nothing'}"


def split_selector(selector: str) -> tuple[str, dict[str, str]]:
    """``name[a=1,b=[2,3]]`` -> ``("name", {"a": "1", "b": "[2,3]"})``. Commas inside brackets and quotes do not split."""
    name, bracket, rest = selector.strip().partition("[")
    if not name or (bracket and not rest.endswith("]")):
        raise MethodError(f"method {selector!r}: expected name or name[parameter=value,...]; fix: hedonic-oca[k=4]")
    parameters: dict[str, str] = {}
    for part in _split_at_commas(rest[:-1]):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or not equals or not value:
            raise MethodError(
                f"method {selector!r}: expected parameter=value, got {part!r}; fix: {name}[parameter=value]"
            )
        if key in parameters:
            raise MethodError(f"method {selector!r}: parameter {key!r} stands twice; fix: give it once")
        parameters[key] = value
    return name.strip(), parameters


def _split_at_commas(text: str) -> list[str]:
    if not text.strip():
        return []
    parts, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth += (token in "[{") - (token in "]}")
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _parsed(value: object) -> object:
    """Strings that are JSON beyond a plain word (quoted, list, object, null) become values; pydantic reads the rest."""
    if isinstance(value, str) and (value == "null" or value[:1] in ('"', "[", "{")):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _written(value: JsonValue) -> str:
    """The inverse of :func:`_parsed`."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value != "null":
        return value
    return json.dumps(value, separators=(",", ":"))


@cache
def _adapter(cls: type[Method]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _explained(cls: type[Method], error: ValidationError) -> str:
    """One line for the first parameter at fault: expected, got, fix."""
    details = error.errors(include_url=False)
    name = str(details[0]["loc"][0])
    expected = " or ".join(_NOISE.sub("", d["msg"]) for d in details if d["loc"][0] == name)
    default = _written(_adapter(cls).dump_python(cls(), mode="json", warnings=False)[name])
    return f"{cls.name}[{name}]: expected {expected}, got {details[0]['input']!r}; fix: {cls.name}[{name}={default}] (default)"
