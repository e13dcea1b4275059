"""The interface of methods: typed parameters, a declaration of what they see, and a function that proposes coalitions."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from coterie.tasks.config.text import did_you_mean, split_selector
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    import numpy as np

    from coterie.methods.coalitions import Coalitions
    from coterie.tasks.game import Game

_PLAIN = re.compile(r"[A-Za-z0-9_./:+-]+")  # strings that need no quotes in a selector
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|.', re.DOTALL)  # a JSON string, or a character
_NOISE = re.compile(r"^Input should be |, unable to parse.*|, got a number.*")  # in pydantic's messages


class MethodError(ValueError):
    """An invalid method, parameter or plug-in. The text is one line that says what to change."""


@dataclass(frozen=True)
class Method(ABC):
    """A way to propose coalitions. A subclass is a frozen dataclass; its fields, all with defaults, are its parameters.

    The complete file of a method:

        @dataclass(frozen=True)
        class FirstPairs(Method):
            \"\"\"Neighbouring players in pairs.

            Deviations from the paper: none; it is not from a paper.
            \"\"\"

            name = "first-pairs"
            sees = frozenset()
            reference = "nobody (1970)"

            count: Annotated[int, Field(ge=1, description="number of pairs")] = 8

            def discover(self, game, budget, rng):
                pairs = [(i, i + 1) for i in range(0, game.n_players - 1, 2)]
                return Coalitions.of(game.n_players, pairs[: self.count])

    The class docstring is what `coterie info NAME` and the documentation site show.

    Constructors check nothing, as dataclasses do not. `build`, `parameters` and `selector` check every parameter, so an
    invalid method never gets a name.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False, revalidate_instances="always")

    name: ClassVar[str]
    """Unique name in selectors and records: lower-case letters, digits, `.`, `_` and `-`."""
    sees: ClassVar[frozenset[Capability]]
    """What `discover` needs from a game. It may depend on the parameters (`coterie.methods.affinity.AffinityMethod`), so
    read it from the instance that runs; the class attribute is for the default parameters."""
    reference: ClassVar[str]
    """Where the method comes from: author (year), title."""
    tiny: ClassVar[Mapping[str, JsonValue]] = {}
    """Parameters for the contract suite, which must be able to run the method often."""

    @abstractmethod
    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """Propose coalitions of the players of `game`, strongest first.

        `game` offers only what the method declares in `sees`, and refuses more than `budget` evaluations. All randomness
        comes from `rng`. Raises `ValueError` (expected, got, fix) for a game in which it cannot find any.
        """

    @classmethod
    def build(cls, parameters: Mapping[str, object]) -> Self:
        """Return the method with these parameters, given as JSON values or as the strings of a command line.

        Raises `MethodError` for an unknown parameter, a wrong type, a value out of range, or parameters that contradict
        each other (see `contradiction`).
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
        """Explain which parameters, though each is valid, contradict each other (expected, got, fix); None if they do not.

        This is checked before anything runs, so that parameters that no game can satisfy do not show up as failed cells.
        """
        return None

    def _check(self) -> None:
        """Raise `MethodError` if parameters contradict each other."""
        if problem := self.contradiction():
            raise MethodError(f"{self.name}: {problem}")

    @property
    def parameters(self) -> dict[str, JsonValue]:
        """All parameters as JSON values; `build(parameters)` returns an equal method."""
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
        """The canonical `name[parameter=value,...]`, with the parameters that differ from their defaults, as declared."""
        defaults = type(self)().parameters
        changed = {key: value for key, value in self.parameters.items() if value != defaults[key]}
        inside = ",".join(f"{key}={_written(value)}" for key, value in changed.items())
        return f"{self.name}[{inside}]" if inside else self.name

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @classmethod
    def parameter_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of each parameter (type, default, range, description), for help texts."""
        properties: dict[str, Any] = _adapter(cls).json_schema().get("properties", {})
        return properties

    def skip_reason(self, game: Game) -> str | None:
        """Explain why this method, with its parameters, cannot run on this game; None if it can. Checked before it runs."""
        missing = sorted(self.sees - game.capabilities)
        if not missing:
            return None
        return f"{self.selector} needs {', '.join(missing)}; the game offers {', '.join(sorted(game.capabilities)) or 'nothing'}"


def parse_selector(selector: str) -> tuple[str, dict[str, str]]:
    """`name[a=1,b=[2,3]]` -> `("name", {"a": "1", "b": "[2,3]"})`. Commas inside brackets and quotes do not split.

    Raises `MethodError` for a missing name, bracket or value, and for a parameter given twice.
    """
    try:
        name, inside = split_selector(selector)
    except ValueError as error:
        raise MethodError(f"method {selector!r}: {error}; fix: hedonic-oca[k=4]") from error
    parameters: dict[str, str] = {}
    for part in _split_at_commas(inside or ""):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not key or not equals or not value:
            raise MethodError(
                f"method {selector!r}: expected parameter=value, got {part!r}; fix: {name}[parameter=value]"
            )
        if key in parameters:
            raise MethodError(f"method {selector!r}: {key}: expected once, got twice; fix: leave one out")
        parameters[key] = value
    return name, parameters


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
    """Turn strings that hold quoted text, a list, an object or null into values; pydantic converts the others."""
    if isinstance(value, str) and (value == "null" or value[:1] in ('"', "[", "{")):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _written(value: JsonValue) -> str:
    """The text of a value in a selector: the inverse of `_parsed`."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value != "null":
        return value
    return json.dumps(value, separators=(",", ":"))


@cache
def _adapter(cls: type[Method]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _explained(cls: type[Method], error: ValidationError) -> str:
    """Describe the first invalid parameter in one line: expected, got, fix."""
    details = error.errors(include_url=False)
    name = str(details[0]["loc"][0])
    expected = " or ".join(_NOISE.sub("", d["msg"]) for d in details if d["loc"][0] == name)
    default = _written(_adapter(cls).dump_python(cls(), mode="json", warnings=False)[name])
    return f"{cls.name}[{name}]: expected {expected}, got {details[0]['input']!r}; fix: {cls.name}[{name}={default}] (default)"
