"""Read a process's journal, while it is being written and after the process has ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.records import ProcessInfo, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.journal.folder import DestinationFolder

_CHUNK: Final = 1 << 16
_MIN_CHUNK: Final = 1 << 12


class Position(NamedTuple):
    """A position in a journal: all bytes before it have been read."""

    segment: int
    """Number of the segment, counted from 1."""
    offset: int
    """Offset in the segment, in bytes."""


class JournalReader:
    """A reader of one process's segments, in order. Not thread-safe.

    Attributes:
        position: every record before it has been returned.
        info: the process that wrote the journal; None until the first record was read.
        torn: number of lines that were skipped because a crash cut them off or they are not records.
        bytes_read: number of bytes before the records that were returned, from the first position.
    """

    def __init__(self, folder: DestinationFolder, process: str, position: Position) -> None:
        """Start reading at ``position``."""
        self.process = process
        self.position = position
        self.info: ProcessInfo | None = None
        self.torn = 0
        self.bytes_read = 0
        self._folder = folder

    def read(self, *, finished: bool) -> list[Record]:
        """Return the next records, about 64 kB of them; an empty list when there is nothing new.

        Args:
            finished: whether the process is known to have ended. A half-written line is then skipped and counted;
                otherwise the reader stops before it.

        Raises:
            JournalFormatError: the journal was written in a format of another version.
        """
        while True:
            # Checked before reading: checked after it, a line written between the two would be missed.
            final = finished or self._has_moved_on()
            before = self.position
            records = list(self._next(final=final))
            if records:
                return records
            if self.position == before and not (final and self._advance()):
                return []

    def _has_moved_on(self) -> bool:
        """Return whether the writer has moved to a later segment, after which it never writes to this one again."""
        if self._folder.segment(self.process, self.position.segment + 1).exists():
            return True
        # The next segment may have been deleted, and a later one exist.
        return self._is_at_end() and bool(self._following())

    def _is_at_end(self) -> bool:
        """Return whether the segment's file is read to its end. The writer truncates it on closing."""
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
        """Return complete lines from the position on; of a final segment also a last line without a line end."""
        return self._read_final(file) if final else self._read_written(file)

    def _read_final(self, file: int) -> bytes:
        size = _CHUNK
        while True:
            chunk = os.pread(file, size, self.position.offset)
            if end := chunk.rfind(b"\n") + 1:
                return chunk[:end]
            if len(chunk) < size:
                return chunk
            size *= 4

    def _read_written(self, file: int) -> bytes:
        offset, found = self.position.offset, b""
        while size := _readable_bytes(file, offset + len(found)):
            # Stop at the first NUL: a line that is being copied may show its end before its middle.
            piece = os.pread(file, size, offset + len(found)).partition(b"\x00")[0]
            found += piece
            if len(piece) < size or (len(found) >= _CHUNK and b"\n" in found):
                break
        return found[: found.rfind(b"\n") + 1]

    def _records(self, chunk: bytes, *, final: bool) -> Iterator[Record]:
        self.position = self.position._replace(offset=self.position.offset + len(chunk))
        self.bytes_read += len(chunk)
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
        # A record cut off by a crash has no line end: the next record follows it on the same line, after NULs.
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
        """Move to the next segment and return True; return False when there is none."""
        following = self.position.segment + 1
        if not self._folder.segment(self.process, following).exists():
            # Only now look through the folder, where an outage may have left tens of thousands of segments.
            following = next(iter(self._following()), 0)
        if following:
            self.position = Position(following, 0)
        return bool(following)


def _readable_bytes(file: int, offset: int) -> int:
    """Return how many bytes to read from ``offset`` without going far beyond the written ones; 0 when there are none.

    Before the program writes to a cache line that the shipper has read, its processor must take the line back: 0.1 µs
    for each 64 bytes, on the program's thread.
    """
    size = _MIN_CHUNK
    if not _is_written(file, offset):
        return 0
    while size < _CHUNK and _is_written(file, offset + 2 * size - 1):
        size *= 2
    return size


def _is_written(file: int, offset: int) -> bool:
    return os.pread(file, 1, offset) not in {b"", b"\x00"}


def _header(file: int) -> ProcessInfo | None:
    """Return the first record of an open segment; None when it is unreadable."""
    try:
        record = codec.decode(os.pread(file, _CHUNK, 0).partition(b"\n")[0])
    except JournalFormatError:
        return None
    return record if isinstance(record, ProcessInfo) else None
