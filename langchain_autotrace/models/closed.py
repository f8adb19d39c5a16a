"""Closes the network of the process that rebuilds chains.

A file that runs its chain when it is imported would call the model again, at the user's cost. Here it fails, and the
reason says what to do.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Final

DUMMY: Final = "not-a-key"
"""The key that models are built with."""
_CONNECTING: Final = frozenset(
    {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendmsg", "socket.sendto"}
)
"""Python's audit events that come before a connection is opened."""


class NetworkClosedError(ConnectionRefusedError):
    """A file or module opened a connection while a chain was rebuilt."""


class Attempts:
    """The connections that were tried since the last :meth:`clear`."""

    def __init__(self) -> None:
        self.any: str | None = None
        """Address of the first one; None when there was none."""
        self.in_main_thread: str | None = None
        """The same of the main thread alone: what packages do in the background is not the program's doing."""

    def clear(self) -> None:
        """Forget all attempts."""
        self.any = self.in_main_thread = None

    def note(self, address: str) -> None:
        """Record an attempt to connect to ``address``."""
        self.any = self.any or address
        if threading.current_thread() is threading.main_thread():
            self.in_main_thread = self.in_main_thread or address


attempts: Final = Attempts()


def close_network() -> None:
    """Refuse connections of this process to any host, from now on. Those of the machine's own sockets still work."""
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event not in _CONNECTING:
        return
    address = args[0] if event in {"socket.getaddrinfo", "socket.gethostbyname"} else args[1]
    if isinstance(address, str | bytes) and event in {"socket.connect", "socket.sendto"}:
        return  # a Unix socket
    if event == "socket.getaddrinfo":
        address = args[:2]
    shown = ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)
    attempts.note(shown)
    msg = f"the network is closed while a chain is rebuilt ({shown})"
    raise NetworkClosedError(msg)
