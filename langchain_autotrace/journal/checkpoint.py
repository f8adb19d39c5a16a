"""How far a process's journal is delivered: a position, counters, and the records of traces that are not whole yet.

The records stand in the checkpoint so that a segment can be deleted while a long run is still open.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder, replace
from langchain_autotrace.journal.reader import Position
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
    unfinished: tuple[Record, ...] = ()


def load(folder: DestinationFolder, process: str) -> Checkpoint:
    """The checkpoint of a process; a fresh one when there is none.

    Raises:
        JournalFormatError: it was written by another version.
    """
    try:
        head, *lines = folder.checkpoint(process).read_bytes().splitlines()
    except (FileNotFoundError, ValueError):
        first = next(iter(folder.segments(process)), 1)
        return Checkpoint(Position(first, 0))
    form = orjson.loads(head)
    if form.pop("version") != codec.FORMAT:
        msg = f"{folder.checkpoint(process)} was written by another version; this one reads format {codec.FORMAT}."
        raise JournalFormatError(msg)
    position = Position(form.pop("segment"), form.pop("offset"))
    return Checkpoint(position=position, unfinished=tuple(codec.decode(line) for line in lines), **form)


def save(folder: DestinationFolder, process: str, checkpoint: Checkpoint) -> None:
    """Write the checkpoint, whole or not at all."""
    form = checkpoint._asdict()
    form.pop("unfinished")
    position = form.pop("position")
    head = orjson.dumps({"version": codec.FORMAT, **position._asdict(), **form})
    records = b"".join(codec.encode(record) for record in checkpoint.unfinished)
    replace(folder.checkpoint(process), head + b"\n" + records)
