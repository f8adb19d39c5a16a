"""Closes the gap through which vcrpy lets threads reach the network.

To make or to use a real connection vcrpy puts the real classes back for the whole process (``vcr.patch.force_reset``).
A thread that opens a connection in that moment gets a real one: it reaches the server even in record mode ``none``, and
what it is answered is not recorded. Here opening a connection and putting the classes back exclude each other.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import vcr.patch

_lock: Final = threading.RLock()
_MARK: Final = "langchain_autotrace"


def install() -> None:
    """Install the gate, once a process. Where no cassette is open it costs a lock that nobody else holds."""
    original = vcr.patch.force_reset
    if getattr(original, _MARK, False):
        return

    @contextlib.contextmanager
    def force_reset() -> Iterator[None]:
        with _lock, original():
            yield

    setattr(force_reset, _MARK, True)
    vcr.patch.force_reset = force_reset
    with contextlib.suppress(ImportError):
        from urllib3 import connectionpool as pools  # noqa: PLC0415 - a program may do without it

        for pool in (pools.HTTPConnectionPool, pools.HTTPSConnectionPool):
            for name in ("_new_conn", "_get_conn"):
                if name in vars(pool):
                    setattr(pool, name, _locked(getattr(pool, name)))


def _locked(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def locked(pool: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - urllib3's
        # A pool that waits for a free connection must not hold the lock: who has the connection may need it.
        if method.__name__ == "_get_conn" and getattr(pool, "block", False):
            return method(pool, *args, **options)
        with _lock:
            return method(pool, *args, **options)

    return locked
