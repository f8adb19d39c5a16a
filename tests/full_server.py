"""Servers of the full mlflow, which has an environment of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE

FULL = "AUTOTRACE_FULL_MLFLOW"


def full_python() -> str:
    """The Python of an environment that has the full mlflow, this package and its neighbours."""
    python = os.environ.get(FULL)
    if not python:
        pytest.fail(f"{FULL} names no Python with the full mlflow; run: make check-server")
    return str(Path(python).absolute())


@contextmanager
def tracking_server(
    python: str, folder: Path, *options: str, port: str = "", stop: str = "SIGTERM", **environment: str
) -> Iterator[str]:
    """Run a tracking server on the SQLite file of a folder, and end it with a signal; its address."""
    port = port or str(free_port())
    command = [python, "-m", "mlflow", "server", "--port", port, "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
        *options,
    ]
    address = f"http://127.0.0.1:{port}"
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with running(command, folder, f"{address}/health", stop=stop, **environment):
        yield address


def passwords(folder: Path) -> dict[str, str]:
    """The environment in which a server with the option ``--app-name basic-auth`` has a user ada."""
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = ada\nadmin_password = secret-secret-1\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "key"}


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str], folder: Path, health: str, *, stop: str = "SIGTERM", **environment: str
) -> Iterator[None]:
    """Run a server in a folder until the block ends, which begins when it answers."""
    with (folder / "log").open("w") as log:
        everything = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **environment}
        process = subprocess.Popen(command, cwd=folder, env=everything, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(health, process, folder / "log")
        yield
    finally:
        os.killpg(process.pid, signal.Signals[stop])
        process.wait(PATIENCE)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text()}")
