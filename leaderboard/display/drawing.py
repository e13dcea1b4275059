"""matplotlib as this package draws with it: its own defaults, whatever settings of the user or of the working folder say."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

_SETTINGS = "matplotlibrc"


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """While active, what is drawn and saved looks the same everywhere; afterwards the settings are as they were.

    matplotlib reads ``matplotlibrc`` of the working folder, before any other: colours, fonts, even the file's format are
    what it says, and a file that is no text ends the import. Create the figure, draw and save inside. SVG files are the
    same bytes every time.
    """
    _import()
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "coterie"
        yield


def _import() -> None:
    """Import matplotlib; where the working folder's settings cannot even be read, without them, and say so."""
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
            f"{os.path.abspath(_SETTINGS)}: expected settings of matplotlib as UTF-8 text, got: {reason}; drawn without "
            "them; fix: correct or remove that file",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _without_the_folders_settings() -> Iterator[None]:
    """While active, nobody finds a file of this name in the working folder: matplotlib has no switch for it."""
    exists = os.path.exists
    os.path.exists = lambda path: path != _SETTINGS and exists(path)
    try:
        yield
    finally:
        os.path.exists = exists
