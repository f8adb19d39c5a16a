"""MLflow's settings of requests to a tracking server: the credentials, what to trust and how long to wait."""

from __future__ import annotations

import base64
import configparser
import importlib.metadata
import os
from pathlib import Path
from typing import Final, NamedTuple

_ONLY_MLFLOW: Final = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_WORKSPACE",
    "_MLFLOW_DATABRICKS_TRAFFIC_ID",
    "DATABRICKS_RUNTIME_VERSION",
)
"""Environment variables that change MLflow's requests in ways that only its client knows."""
_PLUGINS: Final = ("mlflow.request_header_provider",)
_STORE_PLUGINS: Final = "mlflow.tracking_store"
_SERVERS: Final = frozenset({"http", "https"})
_PACKAGES: Final = ("mlflow", "mlflow-skinny")
_USER, _PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_TIMEOUT: Final = 120
"""Seconds to wait for an answer, as MLflow does."""
_CONNECT_SECONDS: Final = 10.0
"""Seconds to wait for a connection. MLflow waits as long as for an answer."""


class RequestSettings(NamedTuple):
    """How requests are to be made."""

    headers: dict[str, str]
    verify: bool | str
    """Whether to check the server's certificate; a string is the file of those to trust."""
    cert: str | None
    """The client's own certificate."""
    timeout: tuple[float, float]
    """Seconds to wait for the connection and the answer."""
    follows_redirects: bool


def needs_mlflow() -> bool:
    """Return whether requests have to be made by MLflow's client: a plugin, or a way to sign them, is in use."""
    if any(os.environ.get(name) for name in _ONLY_MLFLOW) or _is_true("MLFLOW_TRACKING_AWS_SIGV4"):
        return True
    stores = importlib.metadata.entry_points(group=_STORE_PLUGINS)
    return any(importlib.metadata.entry_points(group=group) for group in _PLUGINS) or bool(_SERVERS & stores.names)


def request_settings() -> RequestSettings:
    """Return the settings as they are now in the environment, and in MLflow's file of credentials.

    Raises:
        ValueError: they contradict each other, or one of them is no value.
    """
    certificates = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    is_insecure = _is_true("MLFLOW_TRACKING_INSECURE_TLS")
    if certificates is not None and is_insecure:
        msg = "MLFLOW_TRACKING_INSECURE_TLS and MLFLOW_TRACKING_SERVER_CERT_PATH are both set"
        raise ValueError(msg)
    seconds = float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or _TIMEOUT)
    return RequestSettings(
        headers=_client_headers() | _authorization(),
        verify=not is_insecure if certificates is None else certificates,
        cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
        timeout=(min(seconds, _CONNECT_SECONDS), seconds),
        follows_redirects=_is_true("MLFLOW_ALLOW_HTTP_REDIRECTS", default="true"),
    )


def _client_headers() -> dict[str, str]:
    version = next(filter(None, map(_installed_version, _PACKAGES)), "unknown")
    return {"User-Agent": f"mlflow-python-client/{version}", "X-MLflow-Client-Version": version}


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _authorization() -> dict[str, str]:
    saved = _saved_credentials()
    user, password = (os.environ.get(name) or saved.get(name.lower()) for name in (_USER, _PASSWORD))
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _saved_credentials() -> dict[str, str]:
    """Return what is in MLflow's file of credentials."""
    config = configparser.ConfigParser()
    try:
        config.read(Path("~/.mlflow/credentials").expanduser())
        return dict(config["mlflow"]) if "mlflow" in config else {}
    except configparser.Error as error:
        msg = f"~/.mlflow/credentials: {error}"
        raise ValueError(msg) from error


def _is_true(name: str, *, default: str = "false") -> bool:
    return os.environ.get(name, default).lower() in {"true", "1"}
