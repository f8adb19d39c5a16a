"""The journal of this process: records in, lines in a file out, on the caller's thread."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from filelock import FileLock

from langchain_autotrace.errors import JournalClosed
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.journal.segment import SEGMENT_BYTES, Segment
from langchain_autotrace.span import Flush, ProcessInfo, Record

_logger: Final = logging.getLogger("langchain_autotrace")

_RETRY_SECONDS: Final = 30.0
"""How long capture stays off after the disk refused a segment, before it tries again."""


class Journal:
    """One process's journal for one destination. Thread-safe; opens its first file with the first record.

    Attributes:
        written: records appended since the process started.
        dropped: records that the disk refused.
    """

    def __init__(self, folder: DestinationFolder, describe: Callable[[], ProcessInfo]) -> None:
        """``describe`` is asked who this process is, once for each file and again after a fork."""
        self.folder = folder
        self.written = 0
        self.dropped = 0
        self.on_segment: Callable[[], None] = lambda: None
        """Called, outside the lock, after a new file was opened."""
        self._describe = describe
        # Reentrant: the garbage collector may close an abandoned stream in the middle of an append, and the end
        # of that run is appended then, in the same thread.
        self._lock = threading.RLock()
        self._process = ""
        self._segment: Segment | None = None
        self._number = 0
        self._flushes = 0
        self._alive: FileLock | None = None
        self._closed_until = 0.0

    @property
    def process(self) -> str:
        """Name of this process's files; empty before the first record."""
        return self._process

    def append(self, record: Record) -> bool:
        """Write a record; False, and counted, when the disk refuses it. Never raises for a full disk."""
        line = codec.encode(record)
        with self._lock:
            segment = self._segment
            if segment is not None and segment.append(line):
                self.written += 1
                return True
            opened = self._append_to_new(line)
        if opened:
            self.on_segment()
        return opened

    def flush_mark(self) -> int:
        """Append a request for delivery and return its number; 0 when nothing was ever written or can be."""
        with self._lock:
            if self._segment is None:
                return 0
            self._flushes += 1
            return self._flushes if self.append(Flush(self._flushes)) else 0

    def close(self) -> None:
        """End the journal: give back reserved space and let the shipper see that this process is done."""
        with self._lock:
            if self._segment is not None:
                with contextlib.suppress(OSError):  # the folder may be gone
                    self._segment.close()
                self._segment = None
            if self._alive is not None:
                self._alive.release()
                self._alive = None
            self._process = ""

    def after_fork(self) -> None:
        """In a forked child: leave the parent's files alone; the next record opens the child's own."""
        # The lock may have been held by a thread that the child does not have.
        self._lock = threading.RLock()
        if self._segment is not None:
            self._segment.abandon()
        self._segment = None
        self._alive = None
        self._process = ""
        self._number = self._flushes = self.written = self.dropped = 0

    def _append_to_new(self, line: bytes) -> bool:
        try:
            self._open_next(len(line))
        except JournalClosed as error:
            self._refuse(error)
            return False
        segment = self._segment
        if segment is None or not segment.append(line):  # pragma: no cover - the new segment was made to fit
            return False
        self.written += 1
        return True

    def _open_next(self, need: int) -> None:
        if time.monotonic() < self._closed_until:
            raise JournalClosed
        if not self._process:
            self._take_name()
        header = codec.encode(self._describe())
        segment = Segment(
            self.folder.segment(self._process, self._number + 1), max(SEGMENT_BYTES, need + len(header))
        )
        segment.append(header)
        self._number += 1
        previous, self._segment = self._segment, segment
        if previous is not None:
            previous.close()

    def _take_name(self) -> None:
        """Lock this process's name before its first file appears, so that nobody takes it for a dead one."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{secrets.token_hex(3)}"
        alive = self.folder.alive_lock(name)
        try:
            alive.acquire()
        except OSError as error:
            msg = f"the journal at {self.folder.path} takes no more records ({error.strerror})"
            raise JournalClosed(msg) from error
        self._process, self._alive, self._number = name, alive, 0

    def _refuse(self, error: JournalClosed) -> None:
        first = self.dropped == 0
        self.dropped += 1
        if str(error):
            self._closed_until = time.monotonic() + _RETRY_SECONDS
        if first:
            _logger.warning("%s: capture is off until there is room. The program goes on untraced.", error)
