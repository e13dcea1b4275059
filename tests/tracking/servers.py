"""Real MLflow servers and a real PostgreSQL for tests, only on 127.0.0.1 and on free ports."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from coterie.tracking.database import prepare_sqlite
from coterie.tracking.quiet import quiet_mlflow
from coterie.tracking.uris import sqlite_uri

PASSWORD = "pa55w/rd@of:bob"
QUOTED = "pa55w%2Frd%40of%3Abob"
_INITDB = ("-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale", "C")
_START_SECONDS = 600  # even on a busy machine
# Correct passwords are cached: most of the time would otherwise go into hashing them for each request.
_AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 600
"""


@dataclass
class Server:
    """An `mlflow server`. Its `uri` includes user and password if it requires them."""

    folder: Path
    backend: str
    port: int
    auth: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://{f'admin:{QUOTED}@' if self.auth else ''}127.0.0.1:{self.port}"

    def start(self) -> Server:
        command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--backend-store-uri", self.backend]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
        if self.auth:
            command += ["--app-name", "basic-auth"]
            (self.folder / "auth.ini").write_text(_AUTH)
            environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini")}
            environment |= {"MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def ready(self) -> Server:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                if requests.get(f"http://127.0.0.1:{self.port}/health", timeout=60).ok:
                    return self
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        """Kill the server with all its workers."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sqlite_server(folder: Path, auth: bool = False) -> Server:
    """A server that is not started yet. Its database is created first, in 1 s; the server would take 10 s."""
    folder.mkdir(exist_ok=True)
    with quiet_mlflow():
        prepare_sqlite(folder / "server.db")
    return Server(folder, sqlite_uri(folder / "server.db"), free_port(), auth)


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The URI of a fresh database. Skips the test if PostgreSQL is not installed."""
    programs = _postgresql_programs()
    as_root = os.geteuid() == 0
    if as_root:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL refuses to run as root and there is no user postgres")
    user = "postgres" if as_root else None
    group = "postgres" if as_root else None
    folder = Path(tempfile.mkdtemp(prefix="coterie-pg-"))
    if as_root:
        shutil.chown(folder, "postgres", "postgres")
    port, process = free_port(), None
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    try:
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "bob", "--pwfile", folder / "password", *_INITDB],
            check=True, capture_output=True, user=user, group=group, cwd=folder,
        )  # fmt: skip
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-p", str(port), *options],
                stdout=log, stderr=log, user=user, group=group, cwd=folder,
            )  # fmt: skip
        _wait_for_postgresql(port)
        yield f"postgresql://bob:{QUOTED}@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_postgresql(port: int) -> None:
    import psycopg

    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="bob", password=PASSWORD, dbname="postgres").close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def _postgresql_programs() -> Path:
    """Their folder, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = shutil.which("initdb") or (str(found[-1]) if found else None)
    if path is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return Path(path).parent


class Silent:
    """A server that accepts connections and never answers."""

    def __enter__(self) -> Silent:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(64)
        self.uri = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
