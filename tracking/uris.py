"""Tracking URIs: where runs go, how that is told without giving a password away, and how the store is opened."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from urllib.parse import unquote

MASK = "***"
# A password runs to the last @: one that holds a slash or an @ is not a valid URI, but must not be printed either.
_USER_INFO = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]{0,40}://)(?P<user>[^/?#\s@]*?)(?::(?P<password>\S*))?@")
_SECRET_FIELD = re.compile(
    r"(?P<name>[?&;](?:[\w.-]*(?:password|passwd|pwd|secret|token|api_?key|access_?key|signature))=)(?P<value>[^&;#\s]+)",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(
    r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE
)
_SHORTEST_SECRET = 6  # a shorter value of such a variable is a word that may stand anywhere
_SQLITE = "sqlite:///"


def sqlite_uri(path: Path) -> str:
    """``sqlite:///<absolute path>``. Where the path itself has a ``%`` or ``?``, SQLAlchemy needs them encoded."""
    return _SQLITE + path.resolve().as_posix().replace("%", "%25").replace("?", "%3F")


def resolve_uri(tracking_uri: str | None, output_folder: Path) -> str:
    """The URI in force: the given one, else ``MLFLOW_TRACKING_URI``, else the sqlite file in the output folder."""
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(output_folder / "mlflow.db")


def is_server(uri: str) -> bool:
    """Whether MLflow reaches the store over HTTP, so that the server decides where artifacts lie."""
    return uri.startswith(("http://", "https://", "databricks"))


def is_database_server(uri: str) -> bool:
    """Whether MLflow reaches the store over a database connection."""
    return uri.startswith(("postgresql", "mysql", "mssql"))


def sqlite_path(uri: str) -> Path | None:
    """The database file of a sqlite URI, or None for any other and for a database in memory."""
    if not uri.startswith(_SQLITE):
        return None
    from sqlalchemy import make_url  # the same reading of the URI as the program that will use it

    name = make_url(uri).database
    return Path(name).resolve() if name and name != ":memory:" else None


def secrets_in(uri: str) -> set[str]:
    """The passwords and tokens that stand in the URI, as written and percent-decoded."""
    found = [m["password"] for m in _USER_INFO.finditer(uri)] + [m["value"] for m in _SECRET_FIELD.finditer(uri)]
    # A user without a password is how some services pass a token, but over HTTP only: elsewhere it is a name.
    found += [m["user"] for m in _USER_INFO.finditer(uri) if m["password"] is None and m["scheme"].startswith("http")]
    return {form for secret in found if secret for form in (secret, unquote(secret))}


def mask_uri(uri: str) -> str:
    """The URI with every password and token replaced by ``***``: the only form that may be printed or stored."""
    return mask_secrets(uri, uri)


def mask_secrets(text: str, uri: str) -> str:
    """``text`` (an error message, say) without the secrets of ``uri`` and of any other URI that stands in it."""
    text = _USER_INFO.sub(_masked_user_info, text)
    text = _SECRET_FIELD.sub(rf"\g<name>{MASK}", text)
    for secret in sorted(secrets_in(uri), key=len, reverse=True):
        # A one- or two-character password would blank every such letter of the message and thereby give itself away.
        text = text.replace(secret, MASK) if len(secret) > 2 else text
    return text


def without_secrets(text: str) -> str:
    """``text`` without the passwords of URIs in it and without the values of this process's secret variables.

    For what others wrote and we keep: the reason and trace of a failed cell. Variables are secret by their name
    (``HF_TOKEN``, ``MLFLOW_TRACKING_PASSWORD``, ``AWS_SECRET_ACCESS_KEY``, ...).
    """
    values = {value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)}
    for uri in (value for name, value in os.environ.items() if name.endswith("_URI")):
        values |= secrets_in(uri)
    text = mask_secrets(text, "")
    for value in sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def _masked_user_info(match: re.Match[str]) -> str:
    if match["password"] is not None:
        return f"{match['scheme']}{match['user']}:{MASK}@"
    return f"{match['scheme']}{MASK if match['scheme'].startswith('http') else match['user']}@"


def ui_command(uri: str) -> str:
    """What to type (or, for a server, which address to open) to look at the runs. Safe to print."""
    if uri.startswith(("http://", "https://")):
        return re.sub(r"//[^/@]*@", "//", mask_uri(uri))  # the browser asks for user and password itself
    if mask_uri(uri) != uri:
        return 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"  # set it to the URI with its password'
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
