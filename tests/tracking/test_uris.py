import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coterie.tracking.uris import mask_secrets, mask_uri, resolve_uri, sqlite_path, sqlite_uri, ui_command


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("postgresql://bob:s3cr%40t@db:5432/runs", "postgresql://bob:***@db:5432/runs"),
        ("postgresql://bob@db/runs", "postgresql://bob@db/runs"),
        ("http://bob:p@ss/word@host:5000", "http://bob:***@host:5000"),
        ("https://token-only@host/", "https://***@host/"),
        ("mysql+pymysql://db/runs?password=abc&charset=utf8", "mysql+pymysql://db/runs?password=***&charset=utf8"),
        ("https://host/x?access_token=1234#top", "https://host/x?access_token=***#top"),
        ("sqlite:////home/a:b@c/mlflow.db", "sqlite:////home/a:b@c/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_only_passwords_and_tokens_are_masked(uri: str, masked: str) -> None:
    assert mask_uri(uri) == masked


@given(st.text(st.characters(codec="utf8", exclude_categories=["C", "Z"]), min_size=4, max_size=30))
def test_any_password_is_masked_in_messages(password: str) -> None:
    around = "connection to postgresql://bob:***@db/runs failed: password is wrong"
    assume(password not in around)  # such as "runs", which is then masked everywhere
    uri = f"postgresql://bob:{quote(password, safe='')}@db/runs"
    message = f"connection to {uri} failed: password {password!s} is wrong"
    assert mask_uri(uri) == "postgresql://bob:***@db/runs"
    masked = mask_secrets(message, uri)
    assert password not in masked.replace("***", "")
    assert "bob:***@db/runs failed" in masked


def test_a_password_outside_a_uri_is_masked() -> None:
    assert mask_secrets("bad key hunter2!", "http://bob:hunter2%21@host") == "bad key ***"


@pytest.mark.parametrize("name", ["out", "my runs", "100%", "what?", "a'b\"c", "ünï", "%20", "a#b;c&d"])
def test_any_folder_name_survives_in_a_sqlite_uri(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "mlflow.db"
    assert sqlite_path(sqlite_uri(path)) == path.resolve()


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "postgresql://h/d", "http://h"])
def test_other_stores_have_no_database_file(uri: str) -> None:
    assert sqlite_path(uri) is None


def test_the_given_uri_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert resolve_uri(None, tmp_path) == "http://server:5000"
    assert resolve_uri("sqlite:///mine.db", tmp_path) == "sqlite:///mine.db"


def test_the_command_for_a_database_is_quoted_for_the_shell(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "it's; rm -rf $HOME" / "mlflow.db")
    assert shlex.split(ui_command(uri)) == ["mlflow", "ui", "--backend-store-uri", uri]


def test_a_server_is_opened_at_its_address_without_the_password() -> None:
    assert ui_command("http://bob:secret@host:5000/mlflow") == "http://host:5000/mlflow"
    assert "secret" not in ui_command("postgresql://bob:secret@db/runs")
