"""Delivers until it is told to stop: the shipper of a machine or a pod, for ``shipper="external"``."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from langchain_autotrace import destination
from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.journal.folder import home
from langchain_autotrace.ship import connect
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.view import backlog, deliver, store

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder

_LOOK_SECONDS: Final = 0.5
"""How often to look for new destinations, and for what there is to say."""
_RETRY_SECONDS: Final = 10.0
"""How long to leave a destination alone whose store could not even be opened."""
_LAST_SECONDS: Final = 5.0
"""How long, once stopped, to deliver what the programs wrote last."""
_JOIN_SECONDS: Final = 15.0

Say = Callable[[str], None]


def follow(uri: str | None, stop: threading.Event, say: Say) -> list[deliver.Delivery]:
    """Deliver the journals of every destination, those to come included, until ``stop`` is set.

    Args:
        uri: the one tracking URI to serve; all by default.
        stop: set it to end; what was written last is still delivered then.
        say: is given a line when deliveries begin, fail, and go on again.

    Returns:
        What was delivered meanwhile, for each destination that had something to deliver.
    """
    serving: dict[str, _Destination] = {}
    say(f"waiting for traces in {home()}; Ctrl-C or SIGTERM ends")
    with deliver.known(uri):
        while not stop.wait(_LOOK_SECONDS):
            for folder in backlog.folders(uri):
                one = serving.setdefault(str(folder.path), _Destination(folder, stop, say))
                one.look()
        return [one.join() for one in serving.values()]


@contextlib.contextmanager
def until_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one ends the program as usual."""
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
    """One destination, delivered by a thread of its own, so that a slow store holds up no other."""

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
        """Begin to deliver where it is not done yet, and say what has changed."""
        self._say_how()
        running = self._thread is not None and self._thread.is_alive()
        if not running and time.monotonic() >= self._begin_at:
            self._begin()

    def join(self) -> deliver.Delivery:
        """Wait until the last records are delivered; what has become of all of them."""
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
        return deliver.outcome(self._folder, self._before, self._error())

    def _error(self) -> str | None:
        return self._failed or (self._shipper.error if self._shipper else None)

    def _say_how(self) -> None:
        if error := self._error():
            self._say(f"not delivered, trying again: {error}")
        elif self._thread is not None:
            self._say(f"delivering to {self._folder.public_uri()}")

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._tell(line)

    def _begin(self) -> None:
        """Serve the folder, unless it is empty or another shipper has it."""
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
        """Make the database here, in the one thread that may change the working folder: see ``deliver.at_home``."""
        self._failed = self._shipper = None
        try:
            uri = connect.tracking_uri(self._folder)
            path = destination.sqlite_path(uri)
            if path is not None and not path.exists():
                with deliver.at_home(self._folder), store.reading(uri) as client:
                    client.search_experiments(max_results=1)
            self._shipper = Shipper(self._folder, connect.open_sink(self._folder))
        except (AutotraceError, OSError) as error:
            self._give_up(error)
        return self._failed is None

    def _run(self, lock: FileLock) -> None:
        try:
            if self._shipper is not None:
                self._shipper.serve(linger=float("inf"), patience=float("inf"), stop=self._stop.is_set)
                self._shipper.drain(timeout=_LAST_SECONDS)
        except (AutotraceError, OSError) as error:
            self._give_up(error)
        finally:
            lock.release()

    def _give_up(self, error: Exception) -> None:
        self._failed = str(error)
        self._begin_at = time.monotonic() + _RETRY_SECONDS
