"""What all pages share: the jinja environment, style, scripts, and the policy that admits only these."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.display import format as fmt
from coterie.leaderboard.display import legend

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
PAGE_SCRIPTS = ("sort.js",)
SITE_SCRIPTS = ("sort.js", "filter.js", "plots.js")
EMPTY_STYLE = ""  # plotly inserts an empty style element and fills it rule by rule


def environment(folder: Path = TEMPLATES) -> Environment:
    """An environment for the templates of a folder, with autoescape; an undefined name in a template is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "signed": lambda value, places: typographic(fmt.signed(value, places)),
        "number": lambda value, places: typographic(fmt.number(value, places)),
        "interval": lambda row, places: typographic(fmt.interval(row.low, row.high, places)),
        "count": lambda value: typographic(fmt.count(value)),
        "seconds": lambda value: typographic(fmt.seconds(value)),
        "settings": fmt.settings,
        "setting": fmt.setting,
        "percent": lambda share: typographic(fmt.percent(share)),
        "prose": fmt.prose,
        "sentence": fmt.sentence,
    }
    return made


def frame(scripts: tuple[str, ...] = PAGE_SCRIPTS, *, base: str = "", plots: bool = False) -> dict[str, Any]:
    """The values that `base.html.j2` needs. `base` is the path from the page to the site's root.

    With `plots`, the page's script loads plotly. 'strict-dynamic' admits what that script loads and nothing else, also
    from file://, where browsers disagree on 'self'. Plotly sets style attributes, hence style-src-attr.
    """
    from markupsafe import Markup

    style, script = _asset("style.css"), "\n".join(_asset(name) for name in scripts)
    policy = f"style-src '{policy_hash(style)}'; script-src '{policy_hash(script)}'"
    if plots:
        policy = (
            f"style-src-elem '{policy_hash(style)}' '{policy_hash(EMPTY_STYLE)}'; style-src-attr 'unsafe-inline'; "
            f"script-src '{policy_hash(script)}' 'strict-dynamic'"
        )
    return {
        "base": base,
        "policy": Markup(policy),  # noqa: S704 (hashes and keywords of ours)
        # Style and script are files of this package, not input. Nothing else in a page is marked safe.
        "style": Markup(style),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "legend": legend,
        "reserved_styles": [],
        "links": {},
        "badges": {},
    }


def typographic(number: str) -> str:
    """A number with a true minus sign; a dash if it is missing."""
    return number.replace("-", "\N{MINUS SIGN}") if number != fmt.MISSING else "\N{EN DASH}"


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf8")


def policy_hash(text: str) -> str:
    """The hash of a style or script, as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
