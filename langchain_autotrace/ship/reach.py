"""Check within seconds whether a server answers; MLflow itself would retry for minutes."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import Final
from urllib.parse import urlsplit

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.redaction import error_line, without_password

_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_ERRNO: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)")


def check_answers(uri: str, *, timeout: float) -> None:
    """Check that the server of a tracking URI answers; do nothing for a URI without a server.

    Args:
        uri: a tracking URI.
        timeout: seconds to wait for the answer.

    Raises:
        SinkUnavailable: the server does not answer.
    """
    parts = urlsplit(uri)
    dialect = parts.scheme.partition("+")[0].lower()
    try:
        if dialect in {"http", "https"}:
            _request(uri, timeout)
        elif dialect in _PORTS and parts.hostname:
            address = (parts.hostname, parts.port or _PORTS[dialect])
            socket.create_connection(address, timeout=timeout).close()
    except OSError as error:  # the errors of requests are OSErrors too
        raise unreachable(uri, error, timeout=timeout) from error


def unreachable(uri: str, error: Exception, *, timeout: float) -> SinkUnavailable:
    """Return the error that says why the server of a tracking URI does not answer.

    Args:
        uri: a tracking URI.
        error: of the system, http.client or requests.
        timeout: seconds that were waited for the answer.
    """
    return SinkUnavailable(f"{without_password(uri)}: cannot reach the server ({_network_reason(error, timeout)}).")


def _request(uri: str, timeout: float) -> None:
    import requests  # noqa: PLC0415 - slow, and only needed for servers

    # Any answer will do, even an error: a proxy may refuse this page while the server takes traces.
    with contextlib.suppress(requests.exceptions.SSLError):
        requests.get(f"{uri.rstrip('/')}/health", timeout=timeout, allow_redirects=False)


def _network_reason(error: Exception, timeout: float) -> str:
    """Return the system's error text, which requests wraps in three layers of exceptions."""
    if "timed out" in str(error).lower():
        return f"no response within {timeout:.0f} s"
    found = _ERRNO.search(str(error))
    return found[1] if found else error_line(error)
