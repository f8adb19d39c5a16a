"""Start the shipper of a folder, as a separate process or as a thread of this one."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from langchain_autotrace import lifetime
from langchain_autotrace.destination import sqlite_path
from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.settings import Settings
from langchain_autotrace.ship.connect import URI_VARIABLE, open_sink
from langchain_autotrace.ship.python import interpreter, is_shutdown, search_path
from langchain_autotrace.ship.shipper import Shipper

_logger: Final = logging.getLogger("langchain_autotrace")

_MAX_LOG_BYTES: Final = 1_000_000
_WATCH_SECONDS: Final = 2.0
_STAND_BY_SECONDS: Final = 20.0
"""Seconds until the thread tries again after the store has refused its credentials."""
_LOCK_SECONDS: Final = 1.0
"""Seconds to wait for the lock: longer than any process holds it just to check whether it is free."""


class Launcher:
    """The starter of a folder's shipper, of the kind that the settings name."""

    def __init__(self, folder: DestinationFolder, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._lock = threading.Lock()
        self._has_failed = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def is_external(self) -> bool:
        """Whether the shipper is started elsewhere."""
        return self._settings.shipper == "external"

    @property
    def has_failed(self) -> bool:
        """Whether the last shipper could not be started, or ended with an error."""
        self._forget_ended()
        return self._has_failed

    @property
    def absence(self) -> str:
        """Why no shipper is running, where none is, and what to do about it."""
        if self.is_external:
            return "no shipper is running; start one with: langchain-autotrace ship --follow"
        return f"the shipper did not start; see {self._folder.log_file}"

    def ends_with_program(self) -> bool:
        """Return whether the shipper is killed when this program ends."""
        return self._is_thread or (not self.is_external and lifetime.takes_all_along())

    def ensure_soon(self) -> None:
        """Start a shipper if there is none, without waiting for it."""
        if self.is_external:
            return
        try:
            self._ensure_thread()
        except RuntimeError:  # no more threads, or the interpreter is shutting down
            if not self._is_thread:
                self.ensure()

    def ensure(self, *, wait: float = 0.0) -> None:
        """Start a shipper if there is none. A failure is only logged: the journal keeps the traces.

        Args:
            wait: seconds to wait for another thread that is starting one.
        """
        if self.is_external or not self._lock.acquire(timeout=wait):
            return
        try:
            if self._is_thread:
                self._ensure_thread()
            elif not self._is_served():
                self._processes.append(_spawn(self._folder, self._settings.tracking_uri))
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and is_shutdown(error):
                self._deliver_here()
                return
            self._has_failed = True
            _logger.warning("could not start the shipper; traces stay in the journal: %s", error)
        finally:
            self._lock.release()

    def after_fork(self) -> None:
        """Forget the parent's thread and processes in a forked child."""
        self._lock = threading.Lock()
        self._processes = []
        self._thread = None
        self._stop = threading.Event()

    def stop(self) -> None:
        """Stop the thread, if there is one; leave the process running, and stop watching it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None
        self._stop = threading.Event()
        for process in self._processes:
            # The shipper outlives this process on purpose: without this, Popen would warn about it.
            process.returncode = 0
        self._processes = []

    def _watch(self) -> None:
        """Start a shipper if there is none, now or when the one that another program has started is gone.

        That one makes room when the store refuses its credentials; those of this program may be right.
        """
        stop = self._stop
        if self._is_thread:
            self._serve(stop)
            return
        self.ensure()
        while not self._is_running() and not stop.wait(_WATCH_SECONDS):
            self.ensure()

    @property
    def _is_thread(self) -> bool:
        return self._settings.shipper == "thread"

    def _ensure_thread(self) -> None:
        """Start the thread that delivers, or starts a process that does.

        Raises:
            RuntimeError: no thread can be started.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._watch, name="langchain-autotrace-ship", daemon=True)
        thread.start()
        self._thread = thread

    def _is_served(self) -> bool:
        # A command leaves in a moment: a shipper that is started now waits for it.
        return self._is_running() or (self._folder.has_shipper() and not self._folder.has_command())

    def _is_running(self) -> bool:
        """Return whether this program has a shipper process of its own."""
        self._forget_ended()
        return bool(self._processes)

    def _forget_ended(self) -> None:
        # One that was killed (a negative status) is no failure: the next one may work.
        if any((process.poll() or 0) > 0 for process in self._processes):
            self._has_failed = True
        self._processes = [process for process in self._processes if process.poll() is None]

    def _serve(self, stop: threading.Event) -> None:
        """Deliver while no other shipper has the folder, until the program ends or the store cannot be opened."""
        with _errors_logged():
            while not stop.is_set():
                forever = partial(Shipper.serve, linger=float("inf"), patience=float("inf"), stop=stop.is_set)
                shipper = self._with_shipper(forever)
                stop.wait(_STAND_BY_SECONDS if shipper is not None and shipper.is_refused else _WATCH_SECONDS)

    def _deliver_here(self) -> None:
        """Deliver in the calling thread, for at most ``exit_timeout`` seconds."""
        with _errors_logged():
            shipper = self._with_shipper(partial(Shipper.drain, timeout=self._settings.exit_timeout))
            if shipper is not None:
                shipper.close()

    def _with_shipper(self, work: Callable[[Shipper], object]) -> Shipper | None:
        """Call ``work`` with a shipper, and return that; return None while another one has the folder."""
        lock = self._folder.take_shipper_lock(_LOCK_SECONDS)
        if lock is None:
            return None
        try:
            shipper = Shipper(self._folder, open_sink(self._folder, self._settings.tracking_uri))
            work(shipper)
            return shipper
        finally:
            lock.release()


@contextmanager
def _errors_logged() -> Iterator[None]:
    """Log errors of a store or a file instead of raising them."""
    try:
        yield
    except (AutotraceError, OSError) as error:
        _logger.warning("the shipper stopped; traces stay in the journal: %s", error)


def _spawn(folder: DestinationFolder, tracking_uri: str) -> subprocess.Popen[bytes]:
    log = os.open(folder.log_file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        if os.fstat(log).st_size > _MAX_LOG_BYTES:
            os.ftruncate(log, 0)
        return subprocess.Popen(  # noqa: S603 - our own module, in our own interpreter
            [interpreter(), "-m", "langchain_autotrace.ship", str(folder.path)],
            # MLflow places the artifact folder of a new database below the working folder.
            cwd=database.parent if (database := sqlite_path(tracking_uri)) else folder.path,
            env={**os.environ, URI_VARIABLE: tracking_uri, "PYTHONPATH": search_path()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
