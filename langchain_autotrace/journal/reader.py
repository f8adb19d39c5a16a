"""Reads a process's journal while it is being written, and after the process died."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.span import ProcessInfo, Record

_CHUNK: Final = 1 << 18
_WHOLE: Final = 1 << 30


class Position(NamedTuple):
    """How far a journal has been read."""

    segment: int
    """Number of the segment, counted from 1."""
    offset: int
    """Bytes read of it."""


class JournalReader:
    """Follows the segments of one process. Not thread-safe.

    Attributes:
        position: everything before it has been returned.
        info: who wrote the journal; None until the first record was read.
        torn: lines that were cut by a crash, or are no records, and were passed over.
    """

    def __init__(self, folder: DestinationFolder, process: str, position: Position) -> None:
        self.process = process
        self.position = position
        self.info: ProcessInfo | None = None
        self.torn = 0
        self._folder = folder
        self._file: int | None = None

    def read(self, *, finished: bool) -> list[Record]:
        """The next records, some 256 kB of them; empty when there is nothing new.

        Args:
            finished: whether the process is known to be dead. Then what it left half-written is passed over and
                counted; otherwise reading waits before it.

        Raises:
            JournalFormatError: the journal was written in a format of another version.
        """
        while self._open():
            records = list(self._complete(self._take(finished=finished), finished=finished))
            if records:
                return records
            if not self._advance(finished=finished):
                return []
        return []

    def close(self) -> None:
        """Close the open file, if any."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> bool:
        if self._file is None:
            with contextlib.suppress(FileNotFoundError):
                self._file = os.open(self._folder.segment(self.process, self.position.segment), os.O_RDONLY)
        return self._file is not None

    def _take(self, *, finished: bool) -> bytes:
        """Bytes from the position on, at least a whole line; of a finished segment all that is left."""
        if not finished and self._pread(1) in {b"", b"\x00"}:
            return b""
        size = _WHOLE if finished else _CHUNK
        while True:
            chunk = self._pread(size)
            if len(chunk) < size or b"\n" in chunk or b"\x00" in chunk:
                return chunk
            size *= 4

    def _pread(self, size: int) -> bytes:
        if self._file is None:
            return b""
        os.lseek(self._file, self.position.offset, os.SEEK_SET)
        return os.read(self._file, size)

    def _complete(self, chunk: bytes, *, finished: bool) -> Iterator[Record]:
        if not finished:
            # Another thread may be filling a place before lines that are already whole.
            chunk = chunk.partition(b"\x00")[0]
        end = chunk.rfind(b"\n") + 1
        self.position = self.position._replace(offset=self.position.offset + end)
        for line in chunk[:end].split(b"\n")[:-1]:
            record = self._record(line)
            if isinstance(record, ProcessInfo):
                self.info = record
            elif record is not None:
                yield record

    def _record(self, line: bytes) -> Record | None:
        # A record cut by a crash has no line end: the next one stands behind it, after the NULs.
        _, hole, rest = line.rpartition(b"\x00")
        self.torn += bool(hole)
        try:
            return codec.decode(rest if hole else line)
        except JournalFormatError:
            if line.startswith(b'{"kind":"process"'):
                raise
            self.torn += 1
            return None

    def _advance(self, *, finished: bool) -> bool:
        """Go to the next segment, when there is one and nothing is left in this."""
        following = [number for number in self._folder.segments(self.process) if number > self.position.segment]
        rest = self._pread(_CHUNK).strip(b"\x00") if finished or following else b""
        if rest and finished:
            self.torn += 1
            self.position = self.position._replace(offset=self.position.offset + len(self._pread(_WHOLE)))
        if not following or (rest and not finished):
            return False
        self.close()
        self.position = Position(following[0], 0)
        return True
