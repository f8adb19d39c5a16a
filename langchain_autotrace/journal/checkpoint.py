"""The checkpoint of a process's journal: a position, counters, records of incomplete traces, and models to log.

The records are stored in the checkpoint so that a segment can be deleted while a long run is still open. Models are
stored in it because they are logged after their traces, when the position is already past them.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import orjson

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder, replace
from langchain_autotrace.journal.reader import Position
from langchain_autotrace.records import PendingModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_autotrace.records import Record


class Checkpoint(NamedTuple):
    """The shipper's progress in the journal of one process."""

    position: Position = Position(1, 0)
    """Every record before it was delivered or rejected, or is in ``unfinished``."""
    flushed: int = 0
    """Number of the last flush request that was answered; 0 before the first."""
    delivered: int = 0
    """Number of traces stored."""
    rejected: int = 0
    """Number of traces rejected."""
    torn: int = 0
    """Number of records that a crash cut off while they were being written."""
    orphans: int = 0
    """Number of span events and span ends without a start in the journal."""
    models_flushed: int = 0
    """Number of the last flush request before which every model was logged, or noted as failed."""
    pending_models: int = 0
    """Number of ``models``, which :func:`glance` does not read."""
    unfinished: tuple[Record, ...] = ()
    """Records of traces that are not complete yet."""
    models: tuple[PendingModel, ...] = ()
    """Models that are to be logged or linked, in order."""


def load(folder: DestinationFolder, process: str) -> Checkpoint:
    """Return the checkpoint of a process; a new one when it is missing or unreadable.

    A new checkpoint has the whole journal delivered again, which changes nothing in the store.

    Raises:
        JournalFormatError: the checkpoint was written by another version.
    """
    return _load(folder, process, whole=True)


def glance(folder: DestinationFolder, process: str) -> Checkpoint:
    """Return a process's checkpoint without unfinished records and models: cheap enough to poll 100 times a second.

    Raises:
        JournalFormatError: the checkpoint was written by another version.
    """
    return _load(folder, process, whole=False)


def _load(folder: DestinationFolder, process: str, *, whole: bool) -> Checkpoint:
    path = folder.checkpoint(process)
    try:
        with path.open("rb") as file:
            fields = orjson.loads(file.readline())
            version, position = fields.pop("version"), Position(fields.pop("segment"), fields.pop("offset"))
            if version == codec.FORMAT and {*map(type, position), *map(type, fields.values())} == {int}:
                unfinished, models = _lists(file, fields.get("pending_models", 0)) if whole else ((), ())
                return Checkpoint(position=position, unfinished=unfinished, models=models, **fields)
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError, JournalFormatError):
        version = codec.FORMAT
    if version == codec.FORMAT:
        return Checkpoint(Position(next(iter(folder.segments(process)), 1), 0))
    msg = f"{path} was written in format {version!r}; this version reads format {codec.FORMAT}."
    raise JournalFormatError(msg)


def _lists(lines: Iterable[bytes], pending_models: int) -> tuple[tuple[Record, ...], tuple[PendingModel, ...]]:
    """Return the records of incomplete traces and the models, which are the last lines."""
    records: list[Record] = []
    last: deque[bytes] = deque()
    for line in lines:
        last.append(line)
        if len(last) > pending_models:
            records.append(codec.decode(last.popleft()))
    return tuple(records), tuple(PendingModel(*orjson.loads(line)) for line in last)


def save(folder: DestinationFolder, process: str, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a process atomically."""
    fields = checkpoint._asdict()
    del fields["unfinished"], fields["models"]
    position = fields.pop("position")
    head = orjson.dumps({"version": codec.FORMAT, **position._asdict(), **fields})
    # One by one: open traces may have hundreds of megabytes, and orjson takes many times as much for a moment.
    records = map(codec.encode, checkpoint.unfinished)
    models = (orjson.dumps(model, option=codec.OPTIONS, default=tuple) for model in checkpoint.models)
    replace(folder.checkpoint(process), head, b"\n", more=chain(records, models))
