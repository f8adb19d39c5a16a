"""Name the process that has locked an SQLite database."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from pathlib import Path
from typing import Final

_PENDING_BYTE: Final = 0x40000000
_LOCKED_BYTES: Final = 512
"""SQLite locks bytes from ``_PENDING_BYTE`` on: pending, reserved, and shared ones (sqlite.org/fileformat2.html)."""
_FLOCK: Final = "hhqqi4x"
"""Linux's ``struct flock``: type, whence, start, length, pid."""


def lock_holder(path: Path, but: int | None = None) -> str | None:
    """Return the process that has locked an SQLite file, as ``process 123 (python)``; None if there is none.

    It is known on Linux only, and not for a process of another machine or container.

    Args:
        path: the database. This process must not have it open: closing the file would release SQLite's locks.
        but: id of a process that does not count.
    """
    if sys.platform != "linux" or struct.calcsize("l") != struct.calcsize("q"):
        return None
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            pid = _holder(descriptor)
        finally:
            os.close(descriptor)
        if pid > 0 and pid != but:
            return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    return None


def _holder(descriptor: int) -> int:
    """Return the id of the process whose lock would refuse a write; 0 when there is none."""
    import fcntl  # noqa: PLC0415 - not on Windows

    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _PENDING_BYTE, _LOCKED_BYTES, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)
