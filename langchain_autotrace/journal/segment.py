"""A journal segment: a file of fixed size, written through a memory map.

``os.write`` releases Python's interpreter lock, and when another thread is computing, getting it back takes 5 ms (the
switch interval): each record cost its run 5 ms. Copying into a map keeps the lock: 0.4 µs. The pages belong to the
kernel, so ``kill -9`` loses nothing. The file is filled with zeros when it is created. Its blocks are then allocated,
so that a full disk is an error there and not a bus error later; and its pages are in memory, which makes an append four
times as fast as into blocks that are only reserved. Records contain no NUL byte, so unwritten space is recognizable.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import JournalClosed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEGMENT_BYTES: Final = 1 << 19

_POPULATE_WRITE: Final = 23
"""``MADV_POPULATE_WRITE`` of Linux 5.14; Python's ``mmap`` module has no name for it."""


class Segment:
    """An open segment.

    Attributes:
        path: the file.
        put: appends a line, or raises ``ValueError`` when it does not fit or the segment is sealed. One atomic step
            under the interpreter lock: no other thread, and nothing that the garbage collector runs, can come between
            reserving the space and filling it.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Create the file, of ``size`` bytes.

        Raises:
            JournalClosed: the disk is full or read-only, or the file system has no memory maps.
        """
        self.path = path
        try:
            self._map = _zeroed(path, size)
        except OSError as error:
            msg = f"cannot write to the journal at {path.parent} ({error.strerror})"
            raise JournalClosed(msg) from error
        self.put: Callable[[bytes], object] = self._map.write

    def seal(self) -> None:
        """Accept no more lines.

        Must be done before the next segment's file is created: readers that see that file leave this one for good.
        """
        self._map.seek(0, os.SEEK_END)

    def unseal(self) -> None:
        """Accept lines again, in the space that is left."""
        self._map.seek(self._used())

    def close(self) -> None:
        """Close the file and truncate it to what was written."""
        self.seal()
        used = self._used()
        self._map.close()
        with contextlib.suppress(OSError):  # the folder may be gone; readers skip the zeros
            os.truncate(self.path, used)

    def abandon(self) -> None:
        """Close the parent's file in a forked child, without changing it."""
        self._map.close()

    def _used(self) -> int:
        return self._map.rfind(b"\n", 0) + 1  # by default, rfind() starts at the current position


def _zeroed(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        zeros = memoryview(bytes(size))
        while zeros:
            zeros = zeros[os.write(descriptor, zeros) :]
        return _populated(mmap.mmap(descriptor, size))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _populated(mapped: mmap.mmap) -> mmap.mmap:
    """Return the map with its pages in place; else the first write to each page costs a run a fault of 3 to 10 µs."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # an older kernel
            mapped.madvise(_POPULATE_WRITE)
    return mapped
