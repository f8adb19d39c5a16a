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
import sys
from typing import TYPE_CHECKING, Final, Protocol

from langchain_autotrace.errors import JournalClosed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEGMENT_BYTES: Final = 1 << 19

_POPULATE_WRITE: Final = 23
"""``MADV_POPULATE_WRITE`` of Linux 5.14, which Python's module does not name."""


class Writer(Protocol):
    """Writes lines into a memory map, one behind the other."""

    @property
    def put(self) -> Callable[[bytes], object]:
        """Writes a line behind the last, or raises ``ValueError`` when it does not fit or the map is sealed.

        It is one step under the interpreter's lock: no other thread, and nothing that the garbage collector runs, can
        come between taking the place and filling it.
        """

    def seal(self) -> None:
        """Take no more lines."""

    def unseal(self, used: int, /) -> None:
        """Take lines again, behind so many bytes."""

    def release(self) -> None:
        """Let go of the map, which can be closed then."""


class MapWriter:
    """A writer that is the map's own ``write``."""

    def __init__(self, target: mmap.mmap) -> None:
        self.put = target.write
        self._map = target

    def seal(self) -> None:
        """Take no more lines."""
        self._map.seek(0, os.SEEK_END)

    def unseal(self, used: int, /) -> None:
        """Take lines again, behind so many bytes."""
        self._map.seek(used)

    def release(self) -> None:
        """A map that is closed takes no lines."""


class Segment:
    """One open segment.

    Attributes:
        path: the file.
        put: as a :class:`Writer`'s.
    """

    def __init__(self, path: Path, size: int, writer: Callable[[mmap.mmap], Writer] = MapWriter) -> None:
        """Make the file, to be written by a ``writer``.

        Raises:
            JournalClosed: the disk is full or read-only, or the file system has no memory maps.
        """
        self.path = path
        try:
            self._map = _zeroed(path, size)
        except OSError as error:
            msg = f"the journal at {path.parent} takes no more records ({error.strerror})"
            raise JournalClosed(msg) from error
        self._writer = writer(self._map)
        self.put = self._writer.put

    def seal(self) -> None:
        """Take no more lines. Done before the next segment appears: readers then leave this one for good."""
        self._writer.seal()

    def unseal(self) -> None:
        """Take lines again, where there is room for them."""
        self._writer.unseal(self._used())

    def close(self) -> None:
        """Let go of the file and give back what it has reserved and not used."""
        self.seal()
        used = self._used()
        self._writer.release()
        self._map.close()
        with contextlib.suppress(OSError):  # the folder may be gone, and readers pass over zeros
            os.truncate(self.path, used)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file as it is."""
        self._writer.release()
        self._map.close()

    def _used(self) -> int:
        return self._map.rfind(b"\n", 0) + 1  # from the start, not from where it stands


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
    """The map with its pages in place: else the first write to each costs a fault, 3 to 10 µs in the midst of a run."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # an older kernel
            mapped.madvise(_POPULATE_WRITE)
    return mapped
