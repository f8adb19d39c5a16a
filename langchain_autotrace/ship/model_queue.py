"""Log models in a thread of their own, so that no trace waits for a model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from langchain_autotrace.errors import CredentialsRefused, SinkUnavailable
from langchain_autotrace.records import PendingModel
from langchain_autotrace.redaction import error_line
from langchain_autotrace.ship.progress import Progress
from langchain_autotrace.ship.python import is_shutdown

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_BACKOFF_SECONDS: Final = (0.5, 30.0)
_STOP_SECONDS: Final = 2.0

Item = tuple[Progress, PendingModel]
"""A model, and the process whose checkpoint has it until it is done."""


class ModelQueue:
    """Models to log, in order. The thread that logs them runs only while there are any.

    Attributes:
        error: why the store takes no models at present; None while it does.
        is_refused: whether that is because it refuses the credentials of this process.
        notes: one line of text for each failure that the sink did not note itself.
    """

    def __init__(self, log: Callable[[Sequence[PendingModel]], None]) -> None:
        """Log with ``log``, a sink's ``log_models``."""
        self.error: str | None = None
        self.is_refused = False
        self.notes: list[str] = []
        self._log = log
        self._lock = threading.Lock()
        self._queued: list[Item] = []
        self._done: list[Item] = []
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._retry = threading.Event()

    @property
    def is_empty(self) -> bool:
        """Whether every model was logged, or noted as failed, and taken by :meth:`take_done`."""
        with self._lock:
            return not self._queued and not self._done and self._thread is None

    def put(self, process: Progress, model: PendingModel) -> None:
        """Add a model."""
        with self._lock:
            self._queued.append((process, model))
        self._ensure_thread()

    def take_done(self) -> list[Item]:
        """Return the models that are done since the last call."""
        self._ensure_thread()
        with self._lock:
            done, self._done = self._done, []
        return done

    def stop(self) -> None:
        """Stop after the model that is being logged, and wait a moment for it; the rest stays in the checkpoints."""
        self._stopping.set()
        self._retry.set()
        thread = self._thread
        if thread is not None:
            thread.join(_STOP_SECONDS)

    def retry_now(self) -> None:
        """Retry at once if the store took no models before."""
        self._retry.set()

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is not None or not self._queued or self._stopping.is_set():
                return
            thread = threading.Thread(target=self._run, name="langchain-autotrace-models", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not is_shutdown(error):  # no more threads now; the next call tries again
                    _logger.warning("models wait: %s", error)
                    return
            else:
                self._thread = thread
                return
        self._log_here()

    def _log_here(self) -> None:
        """Log the models in the calling thread, once; what the store does not take now stays in the queue."""
        items = self._next()
        if not items:
            return
        is_done = self._log_once([model for _, model in items])
        with self._lock:
            if is_done:
                self._done += items
            else:
                self._queued[:0] = items

    def _run(self) -> None:
        while items := self._next():
            if self._log_all([model for _, model in items]):
                with self._lock:
                    self._done += items

    def _next(self) -> list[Item]:
        with self._lock:
            if self._stopping.is_set() or not self._queued:
                self._thread = None
                return []
            items, self._queued = self._queued, []
        return items

    def _log_all(self, models: Sequence[PendingModel]) -> bool:
        """Log the models, retrying while the store is down; return False when stopped before."""
        pause, longest = _BACKOFF_SECONDS
        while not self._stopping.is_set():
            if self._log_once(models):
                return True
            self._retry.wait(pause)
            self._retry.clear()
            pause = min(2 * pause, longest)
        return False

    def _log_once(self, models: Sequence[PendingModel]) -> bool:
        """Log the models; return False when the store does not take them now."""
        try:
            self._log(models)
        except SinkUnavailable as error:
            self.error, self.is_refused = str(error), isinstance(error, CredentialsRefused)
            _logger.warning("models wait, will retry: %s", error)
            return False
        except Exception as error:  # noqa: BLE001 - a fault of ours must not have the models logged forever
            self._note(f"{len(models)} models could not be logged ({error_line(error)}).")
        self.error, self.is_refused = None, False
        return True

    def _note(self, text: str) -> None:
        self.notes.append(text)
        _logger.warning("%s", text)
