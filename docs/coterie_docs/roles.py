"""griffe extension: the roles of our docstrings (``:class:`...```) as cross-references."""

from __future__ import annotations

from typing import Any

import griffe

from coterie_docs.prose import markdown_of


class Roles(griffe.Extension):
    """Rewrites each docstring as Markdown when it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for modules, classes, functions and attributes alike."""
        if obj.docstring is not None:
            obj.docstring.value = markdown_of(obj.docstring.value)
