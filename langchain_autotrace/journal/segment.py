"""A segment: a file of fixed size, written through a memory map.

A ``write`` gives up Python's interpreter lock, and where another thread computes it takes 5 ms (the switch interval)
to get it back: each record cost its run 5 ms. Copying into a map keeps the lock: 0.4 µs. The pages are the kernel's,
so ``kill -9`` loses nothing. The blocks are reserved when the file is made, so that a full disk is an error there and
not a bus error later. What is not written yet is NUL bytes, which no record holds.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

from langchain_autotrace.errors import JournalClosed

SEGMENT_BYTES: Final = 1 << 20


class Segment:
    """One open segment. Not thread-safe; the journal's lock guards it."""

    def __init__(self, path: Path, size: int) -> None:
        """Make the file.

        Raises:
            JournalClosed: the disk is full or read-only, or the file system has no memory maps.
        """
        self.path = path
        self._size = size
        self._used = 0
        try:
            self._map = _reserved(path, size)
        except OSError as error:
            path.unlink(missing_ok=True)
            msg = f"the journal at {path.parent} takes no more records ({error.strerror})"
            raise JournalClosed(msg) from error

    def append(self, line: bytes) -> bool:
        """Write a line, if it still fits."""
        start = self._used
        end = start + len(line)
        if end > self._size:
            return False
        # The place is taken before it is filled: a finalizer that runs in between, in this very thread,
        # may append too.
        self._used = end
        self._map[start:end] = line
        return True

    def close(self) -> None:
        """Let go of the file and give back what it has reserved and not used."""
        self._map.close()
        os.truncate(self.path, self._used)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file as it is."""
        self._map.close()


def _reserved(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            _fill(descriptor, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _fill(descriptor: int, size: int) -> None:
    """Reserve blocks by writing zeros, where the system has no call for it (macOS, Windows)."""
    zeros = memoryview(bytes(size))
    while zeros:
        zeros = zeros[os.write(descriptor, zeros) :]
