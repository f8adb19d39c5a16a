"""A segment: a file of fixed size, written through a memory map.

A ``write`` gives up Python's interpreter lock, and where another thread computes it takes 5 ms (the switch interval)
to get it back: each record cost its run 5 ms. Copying into a map keeps the lock: 0.4 µs. The pages are the kernel's,
so ``kill -9`` loses nothing. The file is filled with zeros when it is made: so its blocks exist and a full disk is an
error there, not a bus error later, and its pages are in memory, which makes an append four times as fast as into blocks
that are only reserved. No record holds a NUL byte: what is not written yet can be told.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import JournalClosed

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT_BYTES: Final = 1 << 19


class Segment:
    """One open segment. Not thread-safe; the journal's lock guards it.

    Attributes:
        path: the file.
        size: bytes it holds.
        used: bytes taken so far.
        map: the file's bytes.
    """

    def __init__(self, path: Path, size: int) -> None:
        """Make the file.

        Raises:
            JournalClosed: the disk is full or read-only, or the file system has no memory maps.
        """
        self.path = path
        self.size = size
        self.used = 0
        try:
            self.map = _zeroed(path, size)
        except OSError as error:
            msg = f"the journal at {path.parent} takes no more records ({error.strerror})"
            raise JournalClosed(msg) from error

    def append(self, line: bytes) -> bool:
        """Write a line, if it still fits."""
        start = self.used
        end = start + len(line)
        if end > self.size:
            return False
        # The place is taken before it is filled: if filling it should fail, the next record stands behind the hole,
        # which readers pass over, and not in it.
        self.used = end
        self.map[start:end] = line
        return True

    def close(self) -> None:
        """Let go of the file and give back what it has reserved and not used."""
        self.map.close()
        with contextlib.suppress(OSError):  # the folder may be gone, and readers pass over zeros
            os.truncate(self.path, self.used)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file as it is."""
        self.map.close()


def _zeroed(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        zeros = memoryview(bytes(size))
        while zeros:
            zeros = zeros[os.write(descriptor, zeros) :]
        return mmap.mmap(descriptor, size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
