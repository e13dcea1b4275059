"""The collection `pydoc`: the docstrings of the packages that coterie depends on.

It is real text that every installation has, without a download. A *query* is the summary line of the docstring of a public
function or class; its *document* is the rest of that docstring, with the name of the object masked. Source files are parsed
with `ast`; nothing is imported or executed.

Judgements are binary: the document of the same object is relevant (grade 1), all others are not. An intermediate grade for
siblings that a docstring refers to was tried and dropped, because the share of documents that name a sibling reflects the
habits of a package rather than relevance: 9 % in the source domain, 4 % in mlflow, 34 % in scientific and 53 % in pandas,
whose docstrings have "See Also" sections (python docs/tables/pydoc_siblings.py). With that grade, nDCG drops on different
transfer domains could not be compared.

Domains are groups of packages. The bundled rerankers were trained on the first; the others are for transfer. The texts
depend on the installed versions: `Domain.fingerprint` shows whether they are those that the bundled weights and results were
made with.
"""

from __future__ import annotations

import ast
import gc
import importlib.metadata
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from coterie.tasks.cache import cached_json
from coterie.tasks.collections.types import Domain

DOMAINS: dict[str, tuple[str, ...]] = {
    "deep-learning": ("torch", "transformers", "datasets", "peft", "matplotlib"),
    "pandas": ("pandas",),
    "mlflow": ("mlflow",),
    "scientific": ("numpy", "scipy", "sklearn"),
}
MASK = "_"
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # packages whose distribution has another name
_FORMAT = 2  # part of the cache key: increase it whenever the reading rules below change
_SKIPPED_FOLDERS = frozenset({"tests", "test", "testing", "externals", "_vendor", "vendored"})
_QUERY_WORDS = range(4, 25)
_MIN_DOCUMENT_WORDS = 25


def load_pydoc() -> dict[str, Domain]:
    """Read the four domains from the installed packages (about 10 s; later from the cache).

    A text that occurs twice (the same summary or remainder up to case, digits and punctuation) is kept once, under its
    first qualified name over all domains in the order of `DOMAINS`, so that no transfer text was trained on. Raises
    `ModuleNotFoundError` if a package is not installed.
    """
    packages = [p for group in DOMAINS.values() for p in group]
    pairs_by_domain = cached_json("pydoc", pydoc_key(), lambda: _read(packages))
    return {name: _domain(name, pairs) for name, pairs in pairs_by_domain.items()}


def pydoc_key() -> list[Any]:
    """The cache key of the texts: reading rules and installed versions."""
    return [_FORMAT, DOMAINS, _versions([p for group in DOMAINS.values() for p in group])]


def _read(packages: list[str]) -> dict[str, list[tuple[str, str, str]]]:
    with ProcessPoolExecutor(max_workers=min(4, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        harvested = dict(zip(packages, pool.map(_harvest, packages), strict=True))
    return _deduplicate({d: [p for g in group for p in harvested[g]] for d, group in DOMAINS.items()})


def split_docstring(name: str, docstring: str) -> tuple[str, str] | None:
    """Split a docstring into its summary and the rest with `name` masked; None if either is too short or too long."""
    summary, _, rest = inspect.cleandoc(docstring).partition("\n\n")
    query, document = " ".join(summary.split()), " ".join(rest.split())
    document = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", MASK, document)
    if len(query.split()) not in _QUERY_WORDS or len(document.split()) < _MIN_DOCUMENT_WORDS:
        return None
    return query, document


def public_docstrings(source: str, module: str) -> Iterator[tuple[str, str]]:
    """Yield the qualified name and docstring of each public function and class in the source of a module."""
    stack: list[tuple[ast.AST, str]] = [(ast.parse(source), module)]
    while stack:
        node, prefix = stack.pop()
        for child in _statements(node):
            if isinstance(child, ast.If | ast.Try | ast.With):
                stack.append((child, prefix))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if child.name.startswith("_"):
                    continue
                docstring = ast.get_docstring(child)
                if docstring:
                    yield f"{prefix}.{child.name}", docstring
                if isinstance(child, ast.ClassDef):
                    stack.append((child, f"{prefix}.{child.name}"))


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    for field in ("body", "orelse", "finalbody"):
        yield from getattr(node, field, [])
    for handler in getattr(node, "handlers", []):
        yield from handler.body


def _harvest(package: str) -> list[tuple[str, str, str]]:
    """The (qualified name, query, document) triples of an installed package, sorted by name."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"collection pydoc: expected the package {package!r}, which is not installed; fix: pip install {package}"
        )
    root = Path(spec.submodule_search_locations[0])
    gc.disable()  # halves the time of ast.parse; this runs in a worker process that exits right after
    found: dict[str, tuple[str, str, str]] = {}
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if _SKIPPED_FOLDERS.intersection(relative.parts[:-1]):
            continue
        source = path.read_text(encoding="utf8", errors="replace")
        module = ".".join((package, *relative.with_suffix("").parts)).removesuffix(".__init__")
        try:
            docstrings = list(public_docstrings(source, module))
        except SyntaxError:  # templates and Python 2 leftovers that some packages ship
            continue
        for name, docstring in docstrings:
            split = split_docstring(name.rsplit(".", 1)[-1], docstring)
            if split is not None:
                found.setdefault(name, (name, *split))
    return [found[name] for name in sorted(found)]


def _deduplicate(domains: dict[str, list[tuple[str, str, str]]]) -> dict[str, list[tuple[str, str, str]]]:
    seen: set[str] = set()
    kept: dict[str, list[tuple[str, str, str]]] = {}
    for domain, pairs in domains.items():
        kept[domain] = []
        for name, query, document in pairs:
            keys = {"q:" + _letters(query), "d:" + _letters(document)}
            if not keys & seen:
                kept[domain].append((name, query, document))
            seen |= keys
    return kept


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]+", " ", text.lower()).strip()


def _domain(name: str, pairs: list[tuple[str, str, str]]) -> Domain:
    return Domain(
        name=name,
        queries={n: query for n, query, _ in pairs},
        documents={n: document for n, _, document in pairs},
        qrels={n: {n: 1} for n, _, _ in pairs},
    )


def _versions(packages: list[str]) -> list[str]:
    """The installed versions, determined without importing anything."""
    return [importlib.metadata.version(_DISTRIBUTIONS.get(p, p)) for p in packages]
