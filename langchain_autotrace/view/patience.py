"""How long a command waits for a delivery, and for another shipper in particular."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_autotrace.destination import sqlite_path
from langchain_autotrace.view.locks import lock_holder

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder

_RETRY_SECONDS: Final = 1.0
"""How often another shipper that is backing off is asked to retry."""
_LOCKED_SECONDS: Final = 10.0
"""How long a reader waits for a shipper that waits for a lock."""


class Patience(NamedTuple):
    """How long to wait for a delivery."""

    timeout: float
    """Seconds after which to give up."""
    reading: bool = False
    """Whether a reader waits: ``timeout`` then begins anew with each progress, and an error ends the wait."""
    models: bool = True
    """Whether to wait for models too."""


class OtherShipper:
    """The wait for another shipper, which is asked to retry now and then."""

    def __init__(self, folder: DestinationFolder, patience: Patience) -> None:
        self._folder = folder
        self._patience = patience
        self._began = time.time()
        self._deadline = time.monotonic() + patience.timeout
        self._retry_at = 0.0
        self._seen: tuple[object, ...] = ()
        self._status: dict[str, Any] = {}

    def is_over(self, left: int) -> bool:
        """Return whether to give up, with ``left`` traces left to deliver."""
        now, self._status = time.monotonic(), self._folder.read_status()
        if now >= self._retry_at:
            self._folder.request_retry()
            self._retry_at = now + _RETRY_SECONDS
        if self._patience.reading:
            if self._error() or self._lock_holder():
                return True
            seen = left, self._status.get("time")
            if seen != self._seen:
                self._seen, self._deadline = seen, now + self._patience.timeout
        return now >= self._deadline

    def reason(self) -> str:
        """Return why the other shipper has not delivered everything."""
        if error := self._error():
            return error
        if holder := self._lock_holder():
            return f"the shipper waits for the database, which {holder} has locked"
        return "another shipper is delivering this folder"

    def _error(self) -> str | None:
        """Return the error of the shipper's last attempt, unless that was before the wait."""
        return self._status.get("error") if self._status.get("time", 0.0) >= self._began else None

    def _lock_holder(self) -> str | None:
        """Return the process that has kept the shipper from writing to an SQLite database for a while."""
        began, path = self._status.get("writing_since"), sqlite_path(self._folder.public_uri())
        if began is None or path is None or time.time() - began < _LOCKED_SECONDS:
            return None
        return lock_holder(path, self._status.get("pid"))
