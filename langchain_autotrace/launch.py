"""Start the shipper of a folder, as a separate process or as a thread of this one."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from typing import Final

from langchain_autotrace import lifetime
from langchain_autotrace.destination import sqlite_path
from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.settings import Settings
from langchain_autotrace.ship.connect import URI_VARIABLE, open_sink
from langchain_autotrace.ship.python import interpreter, search_path
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
        self._watcher: threading.Thread | None = None
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

    def ends_with_program(self) -> bool:
        """Return whether the shipper is killed when this program ends."""
        return self._settings.shipper == "thread" or (not self.is_external and lifetime.takes_all_along())

    def ensure_soon(self) -> None:
        """Start a shipper if there is none, without waiting for it."""
        if self.is_external or (self._watcher is not None and self._watcher.is_alive()):
            return
        self._watcher = threading.Thread(target=self._watch, name="langchain-autotrace-launch", daemon=True)
        try:
            self._watcher.start()
        except RuntimeError:  # the interpreter is shutting down
            self.ensure()

    def ensure(self, *, wait: float = 0.0) -> None:
        """Start a shipper if there is none. A failure is only logged: the journal keeps the traces.

        Args:
            wait: seconds to wait for another thread that is starting one.
        """
        if self.is_external or not self._lock.acquire(timeout=wait):
            return
        try:
            if not self._is_served():
                self._start()
        except OSError as error:
            self._has_failed = True
            _logger.warning("could not start the shipper; traces stay in the journal: %s", error)
        finally:
            self._lock.release()

    def after_fork(self) -> None:
        """Forget the parent's thread and processes in a forked child."""
        self._lock = threading.Lock()
        self._processes = []
        self._thread = self._watcher = None
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
        self.ensure()
        while not self._is_running() and not stop.wait(_WATCH_SECONDS):
            self.ensure()

    def _is_served(self) -> bool:
        # A command leaves in a moment: a shipper that is started now waits for it.
        return self._is_running() or (self._folder.has_shipper() and not self._folder.has_command())

    def _is_running(self) -> bool:
        """Return whether this program has a shipper of its own."""
        self._forget_ended()
        return bool(self._processes) or (self._thread is not None and self._thread.is_alive())

    def _forget_ended(self) -> None:
        # One that was killed (a negative status) is no failure: the next one may work.
        if any((process.poll() or 0) > 0 for process in self._processes):
            self._has_failed = True
        self._processes = [process for process in self._processes if process.poll() is None]

    def _start(self) -> None:
        if self._settings.shipper == "thread":
            self._thread = threading.Thread(target=self._serve, name="langchain-autotrace-ship", daemon=True)
            self._thread.start()
        else:
            self._processes.append(_spawn(self._folder, self._settings.tracking_uri))

    def _serve(self) -> None:
        stop = self._stop
        try:
            while self._serve_once(stop) and not stop.wait(_STAND_BY_SECONDS):
                pass
        except (AutotraceError, OSError) as error:
            _logger.warning("the shipper stopped; traces stay in the journal: %s", error)

    def _serve_once(self, stop: threading.Event) -> bool:
        """Deliver until the program ends; return True if the store refuses the credentials, to try again later."""
        lock = self._folder.take_shipper_lock(_LOCK_SECONDS)
        if lock is None:
            return False
        try:
            shipper = Shipper(self._folder, open_sink(self._folder, self._settings.tracking_uri))
            shipper.serve(linger=float("inf"), patience=float("inf"), stop=stop.is_set)
            return shipper.is_refused
        finally:
            lock.release()


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
