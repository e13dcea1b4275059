"""Task selectors: `name[layer=1,queries=40]` changes a few parameters of a reranker's task without a file."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from coterie.tasks.collections.data_spec import MIN_QUERIES, Count, count_range
from coterie.tasks.config.text import explain_problem
from coterie.tasks.errors import UnknownTaskError
from coterie.tasks.task_spec import RerankerTaskSpec

SELECTABLE = ("layer", "players", "intervention", "readout", "queries")
"""The parameters that a selector can change, in the order in which the task's new name lists them."""
FILE_SUFFIXES = (".yaml", ".yml")
_MINIMUM = {"layer": 0, "queries": MIN_QUERIES}  # of the parameters that are whole numbers


def split_task_selector(selector: str) -> tuple[str, str | None]:
    """`name[layer=1]` to `("name", "layer=1")`; the second is None if no brackets end the selector.

    Brackets elsewhere belong to the name, which may be a path.
    """
    match = re.fullmatch(r"(.*?)\[([^\[\]]*)\]?", selector, re.DOTALL)
    if match is None or (selector.endswith(FILE_SUFFIXES) and not selector.endswith("]")):
        return selector, None
    return match[1], match[2] if selector.endswith("]") else ""


def apply_changes(spec: RerankerTaskSpec, selector: str, changes: str) -> RerankerTaskSpec:
    """Change the specification by the text in the brackets of `selector`, and its name accordingly.

    Raises `UnknownTaskError` for a parameter that is not in `SELECTABLE`, is repeated or has an invalid value.
    """
    parsed = _parse_changes(selector, changes)
    name = f"{spec.name}[{','.join(f'{key}={parsed[key]}' for key in SELECTABLE if key in parsed)}]"
    values: dict[str, Any] = {**spec.model_dump(), **parsed, "name": name}
    if (most := values.pop("queries", None)) is not None:
        values["data"] |= {"queries": _at_most(spec, most)}
    try:
        changed = RerankerTaskSpec.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        message = explain_problem(problem)
        raise UnknownTaskError(f"task {selector!r}: {problem['loc'][0]}: {message}, got {problem['input']!r}") from None
    return changed.read_at(spec.origin.changed_by(f"task {selector!r}", set(parsed)))


def _parse_changes(selector: str, text: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for part in text.split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in SELECTABLE or not re.fullmatch(r"[a-z0-9:._-]{1,60}", value):
            raise UnknownTaskError(
                f"task {selector!r}: expected name[parameter=value,...] with {', '.join(SELECTABLE)}, got {part!r}; "
                f"fix: pydoc-llama/relevance[layer=1]"
            )
        if key in changes:
            raise UnknownTaskError(f"task {selector!r}: {key}: expected once, got twice; fix: leave one out")
        if key in _MINIMUM and (not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < _MINIMUM[key]):
            raise UnknownTaskError(
                f"task {selector!r}: {key}: expected a whole number of at least {_MINIMUM[key]}, got {value!r}"
            )
        changes[key] = int(value) if key in _MINIMUM else value
    return changes


def _at_most(spec: RerankerTaskSpec, most: int) -> dict[str, Any]:
    """Query counts limited to `most` per split; the transfer domains share `most` equally, rounded up for each."""
    counts, domains = spec.data.queries, max(1, len(spec.data.transfer))
    share = max(MIN_QUERIES, -(-most // domains))

    def limited(count: Count) -> Count:
        own = count_range(count)[1]
        limit = share if own is None else min(own, share)
        return limit if isinstance(count, int) else f"at most {limit}"

    transfer = counts.transfer
    return {
        "discovery": min(counts.discovery, most),
        "heldout": min(counts.heldout, most),
        "transfer": {n: limited(c) for n, c in transfer.items()} if isinstance(transfer, dict) else limited(transfer),
    }
