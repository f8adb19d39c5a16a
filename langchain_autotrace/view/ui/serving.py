"""Runs the server of ``langchain-autotrace ui`` until it is stopped."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import AutotraceError, SettingsError
from langchain_autotrace.view import deliver, store
from langchain_autotrace.view.ui.admission import is_loopback
from langchain_autotrace.view.ui.routes import Site
from langchain_autotrace.view.ui.web_server import WebServer

if TYPE_CHECKING:
    from langchain_autotrace.view.ui.admission import Guard
    from langchain_autotrace.view.ui.web_server import Answer

DEFAULT_PORT: Final = 7788
_DELIVER_SECONDS: Final = 10.0


def open_server(uri: str, *, host: str, port: int | None, allow_remote: bool) -> WebServer:
    """Return a server that listens; its requests wait until :func:`serve` is called.

    Args:
        uri: the store's tracking URI.
        host: address or name to listen on.
        port: the port; None takes ``DEFAULT_PORT``, or a free one when that is taken.
        allow_remote: whether ``host`` may be reached from other machines.

    Raises:
        SettingsError: ``host`` may be reached from other machines, and ``allow_remote`` is False.
        OSError: the server cannot listen there.
    """
    if not is_loopback(host) and not allow_remote:
        msg = f"--host {host} lets other machines read your traces; add --allow-remote if that is what you want."
        raise SettingsError(msg)

    def answer(guard: Guard) -> Answer:
        site = Site(uri, guard)
        threading.Thread(target=_prepare, args=(site,), daemon=True).start()
        return site.answer

    if port is not None:
        return WebServer(host, port, answer)
    try:
        return WebServer(host, DEFAULT_PORT, answer)
    except OSError:
        return WebServer(host, 0, answer)


def serve(server: WebServer, stop: threading.Event, *, open_at: str | None, opener: Callable[[str], object]) -> None:
    """Answer requests until ``stop`` is set.

    Args:
        server: the server.
        stop: ends it.
        open_at: address to open in the browser; None opens none.
        opener: opens an address.
    """
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    if open_at is not None:
        threading.Thread(target=opener, args=(open_at,), daemon=True).start()
    stop.wait()
    server.shutdown()
    server.server_close()


def open_browser(address: str) -> None:
    """Open an address in the user's browser; where there is none, the terminal has the address."""
    webbrowser.open(address)


def _prepare(site: Site) -> None:
    """Deliver what waits, once the first page has its data: where something does, that imports MLflow, for seconds."""
    site.has_answered.wait()
    try:
        store.probe(site.uri)
        deliver.freshen(site.uri, timeout=_DELIVER_SECONDS)
    except (AutotraceError, OSError):
        return  # the pages say what is wrong with the store
