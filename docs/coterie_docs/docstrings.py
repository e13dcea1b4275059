"""griffe extension that turns the docstrings on the Python page into Markdown."""

from __future__ import annotations

from typing import Any

import griffe

from coterie_docs.prose import markdown_of


class Docstrings(griffe.Extension):
    """Converts each docstring when griffe reads it."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Convert the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown_of(obj.docstring.value)
