"""How far a process's journal is delivered: a position, counters, and the records of traces that are not whole yet.

The records stand in the checkpoint so that a segment can be deleted while a long run is still open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder, replace
from langchain_autotrace.journal.reader import Position

if TYPE_CHECKING:
    from langchain_autotrace.span import Record


class Checkpoint(NamedTuple):
    """What the shipper has done with one process's journal."""

    position: Position = Position(1, 0)
    """Everything before it is delivered, set aside, or in ``unfinished``."""
    flushed: int = 0
    """The last flush request that is answered."""
    delivered: int = 0
    """Traces stored."""
    rejected: int = 0
    """Traces set aside."""
    torn: int = 0
    """Records lost to a crash in the middle of writing them."""
    orphans: int = 0
    """Events and ends of spans whose start the journal does not have."""
    unfinished: tuple[Record, ...] = ()


def load(folder: DestinationFolder, process: str) -> Checkpoint:
    """The checkpoint of a process; a fresh one when there is none, or none that can be read.

    A fresh one delivers again what is in the journal, which changes nothing in the store.

    Raises:
        JournalFormatError: it was written by another version.
    """
    return _load(folder, process, whole=True)


def glance(folder: DestinationFolder, process: str) -> Checkpoint:
    """The checkpoint without its unfinished records: cheap enough to be asked a hundred times a second.

    Raises:
        JournalFormatError: it was written by another version.
    """
    return _load(folder, process, whole=False)


def _load(folder: DestinationFolder, process: str, *, whole: bool) -> Checkpoint:
    path = folder.checkpoint(process)
    try:
        with path.open("rb") as file:
            form = orjson.loads(file.readline())
            lines = file.read().splitlines() if whole else []
        version, position = form.pop("version"), Position(form.pop("segment"), form.pop("offset"))
        if version == codec.FORMAT:
            return Checkpoint(position=position, unfinished=tuple(map(codec.decode, lines)), **form)
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError, JournalFormatError):
        return Checkpoint(Position(next(iter(folder.segments(process)), 1), 0))
    msg = f"{path} was written in format {version!r}; this version reads format {codec.FORMAT}."
    raise JournalFormatError(msg)


def save(folder: DestinationFolder, process: str, checkpoint: Checkpoint) -> None:
    """Write the checkpoint, whole or not at all."""
    form = checkpoint._asdict()
    form.pop("unfinished")
    position = form.pop("position")
    head = orjson.dumps({"version": codec.FORMAT, **position._asdict(), **form})
    records = b"".join(codec.encode(record) for record in checkpoint.unfinished)
    replace(folder.checkpoint(process), head + b"\n" + records)
