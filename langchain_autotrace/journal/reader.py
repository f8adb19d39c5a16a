"""Reads a process's journal while it is being written, and after the process died."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.span import ProcessInfo, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.journal.folder import DestinationFolder

_CHUNK: Final = 1 << 16
_LEAST: Final = 1 << 12


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
        """Read on from ``position``."""
        self.process = process
        self.position = position
        self.info: ProcessInfo | None = None
        self.torn = 0
        self._folder = folder

    def read(self, *, finished: bool) -> list[Record]:
        """The next records, some 64 kB of them; empty when there is nothing new.

        Args:
            finished: whether the process is known to be dead. Then what it left half-written is passed over and
                counted; otherwise reading waits before it.

        Raises:
            JournalFormatError: the journal was written in a format of another version.
        """
        while True:
            # Asked before reading: what is read then is all that will ever be there.
            final = finished or self._is_left()
            before = self.position
            records = list(self._next(final=final))
            if records:
                return records
            if self.position == before and not (final and self._advance()):
                return []

    def close(self) -> None:
        """Let go of what is held: nothing. No file stays open, of which a backlog of journals would need too many."""

    def _is_left(self) -> bool:
        """Whether the writer has gone on to another segment; it does when it will write no more into this one."""
        if self._folder.segment(self.process, self.position.segment + 1).exists():
            return True
        # Somebody may have deleted the next one.
        return self._is_read() and bool(self._following())

    def _is_read(self) -> bool:
        """Whether nothing is left of the segment's file: it is cut off when it is closed."""
        try:
            return self._folder.segment(self.process, self.position.segment).stat().st_size <= self.position.offset
        except FileNotFoundError:
            return True

    def _following(self) -> list[int]:
        return [number for number in self._folder.segments(self.process) if number > self.position.segment]

    def _next(self, *, final: bool) -> Iterator[Record]:
        try:
            file = os.open(self._folder.segment(self.process, self.position.segment), os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            if self.info is None and self.position.offset:
                self.info = _header(file)
            chunk = self._chunk(file, final=final)
        finally:
            os.close(file)
        yield from self._records(chunk, final=final)

    def _chunk(self, file: int, *, final: bool) -> bytes:
        """Whole lines from the position on; of a final segment, all that is left when there is no line end."""
        return self._rest(file) if final else self._written(file)

    def _rest(self, file: int) -> bytes:
        size = _CHUNK
        while True:
            chunk = os.pread(file, size, self.position.offset)
            if end := chunk.rfind(b"\n") + 1:
                return chunk[:end]
            if len(chunk) < size:
                return chunk
            size *= 4

    def _written(self, file: int) -> bytes:
        offset, found = self.position.offset, b""
        while size := _extent(file, offset + len(found)):
            # What is not written yet. A line that is just being copied may show its end before its middle.
            piece = os.pread(file, size, offset + len(found)).partition(b"\x00")[0]
            found += piece
            if len(piece) < size or (len(found) >= _CHUNK and b"\n" in found):
                break
        return found[: found.rfind(b"\n") + 1]

    def _records(self, chunk: bytes, *, final: bool) -> Iterator[Record]:
        self.position = self.position._replace(offset=self.position.offset + len(chunk))
        *lines, rest = chunk.split(b"\n")
        if final and rest.strip(b"\x00"):
            self.torn += 1
        for line in lines:
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
            return codec.decode(rest)
        except JournalFormatError:
            if codec.is_of_other_version(rest):
                raise
            self.torn += 1
            return None

    def _advance(self) -> bool:
        """Go to the next segment, when there is one."""
        following = self._following()
        if not following:
            return False
        self.position = Position(following[0], 0)
        return True


def _extent(file: int, offset: int) -> int:
    """How many bytes to read from here on, without going far beyond what is written; 0 where nothing is yet.

    What one processor has read, another has to take back before it writes there: a tenth of a microsecond for each 64
    bytes, and it is the program that pays.
    """
    size = _LEAST
    if not _is_written(file, offset):
        return 0
    while size < _CHUNK and _is_written(file, offset + 2 * size - 1):
        size *= 2
    return size


def _is_written(file: int, offset: int) -> bool:
    return os.pread(file, 1, offset) not in {b"", b"\x00"}


def _header(file: int) -> ProcessInfo | None:
    """The first record of an open segment."""
    try:
        record = codec.decode(os.pread(file, _CHUNK, 0).partition(b"\n")[0])
    except JournalFormatError:
        return None
    return record if isinstance(record, ProcessInfo) else None
