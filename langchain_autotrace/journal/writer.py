"""The journal of this process: records in, lines in a file out, on the caller's thread."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import JournalClosed
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.segment import SEGMENT_BYTES, MapWriter, Segment, Writer
from langchain_autotrace.span import Flush, ProcessInfo, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap

    from filelock import FileLock

    from langchain_autotrace.journal.folder import DestinationFolder

_logger: Final = logging.getLogger("langchain_autotrace")

_RETRY_SECONDS: Final = 30.0
"""How long capture stays off after the disk refused a segment, before it tries again."""

_LOCK_SECONDS: Final = 1.0
"""Longer than anybody holds a lock just to see whether it is free."""


class Journal:
    """One process's journal for one destination. Thread-safe; opens its first file with the first record.

    Attributes:
        put: writes a line into the open segment, or raises ``ValueError``; then :meth:`write` is to be called. It saves
            those who write much a call.
        dropped: records that the disk refused.
    """

    def __init__(
        self,
        folder: DestinationFolder,
        describe: Callable[[], ProcessInfo],
        *,
        clock: Callable[[], float] = time.monotonic,
        writer: Callable[[mmap], Writer] = MapWriter,
    ) -> None:
        """``describe`` is asked who this process is, once for each file and again after a fork.

        A ``writer`` is made for each segment's map.
        """
        self.folder = folder
        self.dropped = 0
        self.on_segment: Callable[[], None] = lambda: None
        """Called, outside the lock, after a new file was opened."""
        self._describe = describe
        self._clock = clock
        self._writer = writer
        self.put: Callable[[bytes], object] = _nowhere
        # Reentrant: the garbage collector may close an abandoned stream while a segment is opened, and the end of
        # that run is written then, in the same thread.
        self._lock = threading.RLock()
        self._opening = False
        self._interposed: deque[bytes] = deque()
        self._process = ""
        self._segment: Segment | None = None
        self._number = 0
        self._flushes = 0
        self._alive: FileLock | None = None
        self._closed_until = float("-inf")
        self._is_off = False
        self._trouble: JournalClosed | None = None

    @property
    def process(self) -> str:
        """Name of this process's files; empty before the first record."""
        return self._process

    def append(self, record: Record) -> bool:
        """Write a record; as :meth:`write`."""
        return self.write(codec.encode(record))

    def write(self, line: bytes) -> bool:
        """Write a record's line; False, and counted, when the disk refuses it. Never raises for a full disk."""
        try:
            self.put(line)
        except ValueError:
            return self._write_with_care(line)
        return True

    def _write_with_care(self, line: bytes) -> bool:
        """Write where a new segment is needed, or where this very thread is opening one."""
        with self._lock:
            if self._opening:
                self._interposed.append(line)
                return True
            before = self._segment
            kept = self._write(line)
            while self._interposed:
                self._write(self._interposed.popleft())
            opened = self._segment is not before
            trouble, self._trouble = self._trouble, None
        if opened:
            self.on_segment()
        if trouble is not None:
            # Outside the lock: a logging handler has locks of its own.
            _logger.warning("%s: capture is off until there is room. The program goes on untraced.", trouble)
        return kept

    def flush_mark(self) -> int:
        """Append a request for delivery and return its number; 0 when nothing was ever written or can be."""
        with self._lock:
            if self._segment is None:
                return 0
            self._flushes += 1
            number = self._flushes
        return number if self.append(Flush(number)) else 0

    def close(self) -> None:
        """End the journal: give back reserved space and let the shipper see that this process is done."""
        with self._lock:
            if self._segment is not None:
                self._segment.close()
                self._segment, self.put = None, _nowhere
            if self._alive is not None:
                self._alive.release()
                self._alive = None
            if self._process and not self._number:  # there is no journal that the shipper would remove it with
                self.folder.forget(self._process)
            self._process = ""

    def after_fork(self) -> None:
        """In a forked child: leave the parent's files alone; the next record opens the child's own."""
        # The lock may have been held by a thread that the child does not have.
        self._lock = threading.RLock()
        self._opening = False
        self._interposed.clear()
        if self._segment is not None:
            self._segment.abandon()
        self._segment, self.put = None, _nowhere
        self._alive = None
        self._process = ""
        self._number = self._flushes = self.dropped = 0

    def _write(self, line: bytes) -> bool:
        try:
            self.put(line)  # another thread may have opened a segment meanwhile
        except ValueError:
            self._opening = True
            try:
                kept = self._write_to_new(line)
            finally:
                self._opening = False
            self.dropped += not kept
            return kept
        return True

    def _write_to_new(self, line: bytes) -> bool:
        if self._clock() < self._closed_until:
            return False
        try:
            self._open_next(line)
        except JournalClosed as error:
            self._closed_until = self._clock() + _RETRY_SECONDS
            self._trouble = None if self._is_off else error
            self._is_off = True
            return False
        self._is_off = False
        return True

    def _open_next(self, line: bytes) -> None:
        """Go on in a new segment, made to fit ``line``, its first after the header."""
        if not self._process:
            self._take_name()
        header = codec.encode(self._describe())
        previous = self._segment
        if previous is not None:
            previous.seal()
        try:
            size = max(SEGMENT_BYTES, len(header) + len(line))
            segment = Segment(self.folder.segment(self._process, self._number + 1), size, self._writer)
        except JournalClosed:
            if previous is not None:
                previous.unseal()
            raise
        self._number += 1
        segment.put(header + line)
        self._segment, self.put = segment, segment.put
        if previous is not None:
            previous.close()

    def _take_name(self) -> None:
        """Lock this process's name before its first file appears, so that nobody takes it for a dead one."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{secrets.token_hex(3)}"
        alive = self.folder.alive_lock(name)
        try:
            # A FileLock makes a folder that is gone: one that says no destination, and anybody can read.
            self.folder.path.stat()
            alive.acquire(timeout=_LOCK_SECONDS)
        except OSError as error:
            msg = f"the journal at {self.folder.path} takes no more records ({error.strerror})"
            raise JournalClosed(msg) from error
        self._process, self._alive, self._number = name, alive, 0


def _nowhere(_: bytes) -> None:
    """Where lines go while no segment is open."""
    raise ValueError
