"""How many documents of the collection pydoc name a sibling of their own object: why judgements are binary.

Prints one line a domain: python docs/tables/pydoc_siblings.py
"""

from __future__ import annotations

import re

from coterie.tasks.collections.pydoc import load_pydoc
from coterie.tasks.collections.types import Domain

_MARKED = re.compile(r"`+~?\.?(?:[\w.]*\.)?(\w+)(?:\(\))?`+")  # names in backticks, last part
_SEE_ALSO_CHARACTERS = 300


def share_naming_a_sibling(domain: Domain) -> float:
    """Share of documents with the name of another object of the same class or module in backticks or after See Also."""
    siblings: dict[str, set[str]] = {}
    for name in domain.documents:
        parent, _, own = name.rpartition(".")
        siblings.setdefault(parent, set()).add(own)
    naming = 0
    for name, text in domain.documents.items():
        parent, _, own = name.rpartition(".")
        listed = re.findall(r"\w+", text.partition("See Also")[2][:_SEE_ALSO_CHARACTERS])
        naming += bool({*_MARKED.findall(text), *listed} & (siblings[parent] - {own}))
    return naming / len(domain.documents)


if __name__ == "__main__":
    for name, domain in load_pydoc().items():
        print(f"{name}: {len(domain.documents)} documents, {share_naming_a_sibling(domain):.3f} name a sibling")
