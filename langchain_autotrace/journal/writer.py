"""The journal of this process: appends records to a file, on the caller's thread."""

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
from langchain_autotrace.journal.segment import SEGMENT_BYTES, Segment
from langchain_autotrace.records import Flush, ProcessInfo, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from filelock import FileLock

    from langchain_autotrace.journal.folder import DestinationFolder

_logger: Final = logging.getLogger("langchain_autotrace")

_RETRY_SECONDS: Final = 30.0
"""Seconds that capture stays off after a segment could not be created, before it is tried again."""

_LOCK_SECONDS: Final = 1.0
"""Seconds to wait for a lock: longer than any process holds it just to check whether it is free."""


class Journal:
    """The journal of this process for one destination. Thread-safe. The first record creates the first file.

    Attributes:
        folder: the destination's folder.
        put: appends a line to the open segment, or raises ``ValueError``; then call :meth:`write`. Saves callers on the
            hot path a function call.
        dropped: number of records lost because the disk was full or read-only.
    """

    def __init__(
        self,
        folder: DestinationFolder,
        describe: Callable[[], ProcessInfo],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to ``folder``; ``describe`` returns the process's first record, and is called for each file."""
        self.folder = folder
        self.dropped = 0
        self.on_segment: Callable[[], None] = lambda: None
        """Called after a new file was created, without holding the lock."""
        self._describe = describe
        self._clock = clock
        self.put: Callable[[bytes], object] = _no_segment
        # Reentrant: while a segment is being created, the garbage collector may close an abandoned stream, and the end
        # of that run is then written by the same thread.
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
        """Append a record and return whether it was written, as :meth:`write` does."""
        return self.write(codec.encode(record))

    def write(self, line: bytes) -> bool:
        """Append an encoded record and return whether it was written.

        Never raises for a full or read-only disk: the record is counted in ``dropped``.
        """
        try:
            self.put(line)
        except ValueError:
            return self._write_locked(line)
        return True

    def _write_locked(self, line: bytes) -> bool:
        """Write a line that needs a new segment, or that comes while this thread is creating one."""
        with self._lock:
            if self._opening:
                self._interposed.append(line)
                return True
            before = self._segment
            is_written = self._write(line)
            while self._interposed:
                self._write(self._interposed.popleft())
            opened = self._segment is not before
            trouble, self._trouble = self._trouble, None
        if opened:
            self.on_segment()
        if trouble is not None:
            # Not under the lock: logging handlers have locks of their own.
            _logger.warning("%s: tracing is off until the journal is writable again. The program continues.", trouble)
        return is_written

    def request_flush(self) -> int:
        """Append a flush request and return its number; 0 when there is no journal or it cannot be written."""
        with self._lock:
            if self._segment is None:
                return 0
            self._flushes += 1
            number = self._flushes
        return number if self.append(Flush(number)) else 0

    def close(self) -> None:
        """Close the journal: truncate its file, and release the lock that tells the shipper this process is alive."""
        with self._lock:
            if self._segment is not None:
                self._segment.close()
                self._segment, self.put = None, _no_segment
            if self._alive is not None:
                self._alive.release()
                self._alive = None
            if self._process and not self._number:  # no segment: the shipper would not find the lock file
                self.folder.forget(self._process)
            self._process = ""

    def after_fork(self) -> None:
        """Detach from the parent's files in a forked child; the next record creates files of the child's own."""
        # The old lock may be held by a thread that does not exist in the child.
        self._lock = threading.RLock()
        self._opening = False
        self._interposed.clear()
        if self._segment is not None:
            self._segment.abandon()
        self._segment, self.put = None, _no_segment
        self._alive = None
        self._process = ""
        self._number = self._flushes = self.dropped = 0

    def _write(self, line: bytes) -> bool:
        try:
            self.put(line)  # another thread may have created a segment meanwhile
        except ValueError:
            self._opening = True
            try:
                is_written = self._write_to_new(line)
            finally:
                self._opening = False
            self.dropped += not is_written
            return is_written
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
        """Create the next segment, large enough for ``line``, and write the header and ``line`` to it."""
        if not self._process:
            self._take_name()
        header = codec.encode(self._describe())
        previous = self._segment
        if previous is not None:
            previous.seal()
        try:
            size = max(SEGMENT_BYTES, len(header) + len(line))
            segment = Segment(self.folder.segment(self._process, self._number + 1), size)
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
        """Choose this process's name and lock it before its first file appears, so that it is not taken for dead."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{secrets.token_hex(3)}"
        alive = self.folder.alive_lock(name)
        try:
            # FileLock would create a missing folder, without the destination's name and readable by everybody.
            self.folder.path.stat()
            alive.acquire(timeout=_LOCK_SECONDS)
        except OSError as error:
            msg = f"cannot write to the journal at {self.folder.path} ({error.strerror})"
            raise JournalClosed(msg) from error
        self._process, self._alive, self._number = name, alive, 0


def _no_segment(_: bytes) -> None:
    """Raise ``ValueError``: no segment is open."""
    raise ValueError
