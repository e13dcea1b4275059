"""matplotlib with this package's settings, whatever the user or the working folder has set."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

from coterie.tracking.text import printable

_SETTINGS = "matplotlibrc"


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """While active, pictures look the same everywhere; afterwards the settings are restored.

    Before any other settings, matplotlib reads `matplotlibrc` in the working folder: it can change colours, fonts and even
    the file format, and fails to import if that file is not text. Create the figure, draw and save inside. SVG files are
    byte-identical every time.
    """
    _import()
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "coterie"
        yield


def without_math(text: str, most: int | None = None) -> str:
    """The first `most` characters of a text as matplotlib draws literally: no formulas, no control characters."""
    return printable(text, most).replace("$", r"\$")


def _import() -> None:
    """Import matplotlib; if the working folder's settings are unreadable, print a line and import it without them."""
    if "matplotlib" in sys.modules or not os.path.isfile(_SETTINGS):
        return
    try:
        with open(_SETTINGS, encoding="utf8") as file:
            file.read()
    except (UnicodeError, OSError) as error:
        with _without_the_folders_settings():
            import matplotlib as mpl  # noqa: F401
        reason = " ".join(str(error).split())
        print(  # noqa: T201
            f"{os.path.abspath(_SETTINGS)}: expected matplotlib settings as UTF-8 text, got: {reason}; drawing without "
            "them; fix: correct or remove that file",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _without_the_folders_settings() -> Iterator[None]:
    """While active, hide the working folder's settings from matplotlib, which has no option to ignore them."""
    exists = os.path.exists
    os.path.exists = lambda path: path != _SETTINGS and exists(path)
    try:
        yield
    finally:
        os.path.exists = exists
