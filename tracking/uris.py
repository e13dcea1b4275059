"""Tracking URIs: where runs are logged, how to print a URI without its password, and how to open the store."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from urllib.parse import unquote

MASK = "***"
# A password extends to the last @. One with a slash or an @ in it makes the URI invalid, but must still not be printed.
_USER_INFO = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]{0,40}://)(?P<user>[^/?#\s@]*?)(?::(?P<password>\S*))?@")
_SECRET_FIELD = re.compile(
    r"(?P<name>[?&;](?:[\w.-]*(?:password|passwd|pwd|secret|token|api_?key|access_?key|signature))=)(?P<value>[^&;#\s]+)",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(
    r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE
)
_SHORTEST_SECRET = 6  # a shorter value may be an ordinary word, which must not be masked everywhere
_SQLITE = "sqlite:///"


def sqlite_uri(path: Path) -> str:
    """`sqlite:///<absolute path>`, with `%` and `?` encoded as SQLAlchemy requires."""
    return _SQLITE + path.resolve().as_posix().replace("%", "%25").replace("?", "%3F")


def resolve_uri(tracking_uri: str | None, output_folder: Path) -> str:
    """The given URI, else `MLFLOW_TRACKING_URI`, else the sqlite file in the output folder."""
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(output_folder / "mlflow.db")


def is_server(uri: str) -> bool:
    """Whether MLflow reaches the store over HTTP, so that the server decides where to keep artifacts."""
    return uri.startswith(("http://", "https://", "databricks"))


def is_database_server(uri: str) -> bool:
    """Whether MLflow reaches the store over a database connection."""
    return uri.startswith(("postgresql", "mysql", "mssql"))


def sqlite_path(uri: str) -> Path | None:
    """The database file of a sqlite URI; None for any other URI and for a database in memory."""
    if not uri.startswith(_SQLITE):
        return None
    from sqlalchemy import make_url  # parses the URI exactly as MLflow will

    name = make_url(uri).database
    return Path(name).resolve() if name and name != ":memory:" else None


def secrets_in(uri: str) -> set[str]:
    """The passwords and tokens in the URI, both as written and percent-decoded."""
    found = [m["password"] for m in _USER_INFO.finditer(uri)] + [m["value"] for m in _SECRET_FIELD.finditer(uri)]
    # Some services pass a token as a user without a password, but only over HTTP: elsewhere it is a user's name.
    found += [m["user"] for m in _USER_INFO.finditer(uri) if m["password"] is None and m["scheme"].startswith("http")]
    return {form for secret in found if secret for form in (secret, unquote(secret))}


def mask_uri(uri: str) -> str:
    """The URI with every password and token replaced by `***`: the only form that may be printed or stored."""
    return mask_secrets(uri, uri)


def mask_secrets(text: str, uri: str) -> str:
    """`text`, such as an error message, without the secrets of `uri` and of any other URI in it."""
    text = _USER_INFO.sub(_masked_user_info, text)
    text = _SECRET_FIELD.sub(rf"\g<name>{MASK}", text)
    for secret in sorted(secrets_in(uri), key=len, reverse=True):
        # Masking a password of one or two characters throughout the message would reveal it.
        text = text.replace(secret, MASK) if len(secret) > 2 else text
    return text


def without_secrets(text: str) -> str:
    """`text` without the passwords of URIs in it and without the values of secret environment variables.

    For text written by other programs that coterie stores: the reason and trace of a failed cell. Variables count as
    secret by their names (`HF_TOKEN`, `MLFLOW_TRACKING_PASSWORD`, `AWS_SECRET_ACCESS_KEY`, ...).
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
    """The command to type, or the server's address to open, to look at the runs. Safe to print."""
    if uri.startswith(("http://", "https://")):
        return re.sub(r"//[^/@]*@", "//", mask_uri(uri))  # the browser asks for user and password
    if mask_uri(uri) != uri:
        return 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"  # set it to the URI with its password'
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
