"""Share of documents in the collection pydoc that name a sibling of their own object, the reason why judgements are binary.

    python docs/tables/pydoc_siblings.py

prints one line per domain.
"""

from __future__ import annotations

import re

from coterie.tasks.collections.pydoc import load_pydoc
from coterie.tasks.collections.types import Domain

_MARKED = re.compile(r"`+~?\.?(?:[\w.]*\.)?(\w+)(?:\(\))?`+")  # names in backticks, last part
_SEE_ALSO_CHARACTERS = 300


def share_naming_a_sibling(domain: Domain) -> float:
    """Share of documents that name another object of their class or module, in backticks or after "See Also"."""
    siblings: dict[str, set[str]] = {}
    for name in domain.documents:
        parent, _, own = name.rpartition(".")
        siblings.setdefault(parent, set()).add(own)
    count = 0
    for name, text in domain.documents.items():
        parent, _, own = name.rpartition(".")
        after = re.findall(r"\w+", text.partition("See Also")[2][:_SEE_ALSO_CHARACTERS])
        count += bool({*_MARKED.findall(text), *after} & (siblings[parent] - {own}))
    return count / len(domain.documents)


if __name__ == "__main__":
    for name, domain in load_pydoc().items():
        print(f"{name}: {len(domain.documents)} documents, {share_naming_a_sibling(domain):.3f} name a sibling")
