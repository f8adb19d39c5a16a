"""Delivers all journals until it is stopped: the shipper of a machine or a pod, for ``shipper="external"``."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.journal.folder import state_dir
from langchain_autotrace.ship import connect
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.view import backlog, deliver

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder

_LOOK_SECONDS: Final = 0.5
"""How often to look for new destinations and for changes to report."""
_RETRY_SECONDS: Final = 10.0
"""How long to wait before trying a destination again whose store could not be opened."""
_LAST_SECONDS: Final = 5.0
"""How long to go on delivering after ``stop`` is set, for the records that programs wrote last."""
_JOIN_SECONDS: Final = 15.0

Say = Callable[[str], None]


def follow(uri: str | None, stop: threading.Event, say: Say) -> list[deliver.Delivery]:
    """Deliver the journals of every destination, including later ones, until ``stop`` is set.

    Args:
        uri: the one tracking URI to serve; None for all.
        stop: ends the delivery when set; what was written last is still delivered.
        say: called with one line of text when deliveries begin, fail, and resume.

    Returns:
        The result for each destination that has a folder.
    """
    serving: dict[str, _Destination] = {}
    say(f"waiting for traces in {state_dir()}; stop with Ctrl-C or SIGTERM")
    with deliver.known(uri):
        while not stop.wait(_LOOK_SECONDS):
            for folder in backlog.folders(uri):
                one = serving.setdefault(str(folder.path), _Destination(folder, stop, say))
                one.look()
        return [one.join() for one in serving.values()]


@contextlib.contextmanager
def until_signal() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C or SIGTERM sets; the second one is handled as before."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Destination:
    """A destination served by its own thread, so that a slow store does not delay the others."""

    def __init__(self, folder: DestinationFolder, stop: threading.Event, say: Say) -> None:
        self._folder = folder
        self._before = folder.read_status()
        self._stop = stop
        self._tell = say
        self._said = ""
        self._failed: str | None = None
        self._begin_at = 0.0
        self._shipper: Shipper | None = None
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Start delivering if nobody does yet, and report changes."""
        self._say_how()
        running = self._thread is not None and self._thread.is_alive()
        if not running and time.monotonic() >= self._begin_at:
            self._begin()

    def join(self) -> deliver.Delivery:
        """Wait until the last records are delivered, and return the result."""
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
        return deliver.outcome(self._folder, self._before, self._error())

    def _error(self) -> str | None:
        return self._failed or (self._shipper.error if self._shipper else None)

    def _say_how(self) -> None:
        if error := self._error():
            self._say(f"delivery failed, retrying: {error}")
        elif self._thread is not None:
            self._say(f"delivering to {self._folder.public_uri()}")

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._tell(line)

    def _begin(self) -> None:
        """Start the thread, unless the folder is empty or another shipper serves it."""
        lock = self._folder.shipper_lock()
        with contextlib.suppress(Timeout):
            lock.acquire()
        if not lock.is_locked:
            return
        if not self._folder.processes() or not self._open():
            lock.release()
            return
        self._thread = threading.Thread(target=self._run, args=(lock,), name="langchain-autotrace-ship", daemon=True)
        self._say_how()
        self._thread.start()

    def _open(self) -> bool:
        """Open the store; return whether that worked."""
        self._failed = self._shipper = None
        try:
            self._shipper = Shipper(self._folder, connect.open_sink(self._folder))
        except (AutotraceError, OSError) as error:
            self._give_up(error)
        return self._failed is None

    def _run(self, lock: FileLock) -> None:
        try:
            if self._shipper is not None:
                self._shipper.serve(linger=float("inf"), patience=float("inf"), stop=self._stop.is_set)
                self._shipper.drain(timeout=_LAST_SECONDS)
                if self._shipper.is_refused:  # let a shipper with other credentials have the folder for a while
                    self._begin_at = time.monotonic() + _RETRY_SECONDS
        except (AutotraceError, OSError) as error:
            self._give_up(error)
        finally:
            lock.release()

    def _give_up(self, error: Exception) -> None:
        self._failed = str(error)
        self._begin_at = time.monotonic() + _RETRY_SECONDS
