"""Requests that are no part of a test's recordings: to the tracking server, to LangSmith, to this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from langchain_autotrace import destination, settings

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - a host to compare with
_LANGSMITH: Final = "smith.langchain.com"
_VARIABLES: Final = (
    *("LANGSMITH_ENDPOINT", "LANGCHAIN_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    *("MLFLOW_TRACKING_URI", f"{settings.PREFIX}TRACKING_URI"),
)
"""Variables that name where traces go."""
_OLLAMA_PORT: Final = 11434

Address = tuple[str | None, int | None]
Hook = Callable[[Any], Any]


def passing_by(hook: Hook | None, *, records_localhost: bool) -> Hook:
    """Return a ``before_record_request`` for vcrpy: None for what passes by, else what ``hook`` says.

    Args:
        hook: the one that vcrpy has made of its options.
        records_localhost: whether requests to this machine are recorded; those to Ollama always are.
    """

    def before_record_request(request: Any) -> Any:  # noqa: ANN401 - vcrpy's
        if passes_by(str(request.uri), records_localhost=records_localhost):
            return None
        return request if hook is None else hook(request)

    return before_record_request


def passes_by(uri: str, *, records_localhost: bool = False) -> bool:
    """Return whether a request goes to the network, unseen by the cassette."""
    address = host, _ = _address(uri)
    if host is None or address in _trackers():
        return host is not None
    if host == _LANGSMITH or host.endswith(f".{_LANGSMITH}"):
        return True
    return host in _LOCAL and not records_localhost and address not in _ollama()


def _address(uri: str) -> Address:
    parts = urlsplit(uri)
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def _trackers() -> Iterator[Address]:
    """Yield the addresses that traces are sent to."""
    uris = [os.environ.get(name) for name in _VARIABLES]
    uris.append(destination.default_uri())
    control = sys.modules.get("langchain_autotrace.control")
    current = control.current_settings() if control is not None else None
    uris.append(None if current is None else current.tracking_uri)
    yield from (_address(uri) for uri in uris if uri and uri.startswith(("http://", "https://")))


def _ollama() -> set[Address]:
    """Return the addresses of Ollama, a model on this machine."""
    given = os.environ.get("OLLAMA_HOST", "")
    host, port = _address(given if "://" in given else f"http://{given}") if given else (None, None)
    has_port = given.rpartition(":")[2].isdigit()
    return {*((local, _OLLAMA_PORT) for local in _LOCAL), (host, port if has_port else _OLLAMA_PORT)}
