"""What is in the journals: read as the shipper would, and left as it is. Imports neither MLflow nor LangChain."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace import destination
from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import checkpoint
from langchain_autotrace.journal.folder import DestinationFolder, all_folders, home
from langchain_autotrace.journal.reader import JournalReader
from langchain_autotrace.ship.assemble import Assembler, FinishedTrace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NEWEST_REJECTED: Final = 3


@dataclass(frozen=True, slots=True)
class Rejected:
    """A trace that the store refused."""

    trace_id: str
    reason: str
    time: float
    """Seconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the journals of a folder hold and the store does not."""

    traces: int
    """Traces that could be delivered now; those of dead processes included, whole or not."""
    open: int
    """Traces whose root run goes on."""
    oldest_ns: int | None
    """When the first of ``traces`` started, in nanoseconds since the Unix epoch."""
    torn: int
    """Records cut by a crash, that the shipper has not counted yet."""
    orphans: int
    """Records of spans whose start the journal does not have, that the shipper has not counted yet."""
    unreadable: dict[str, str]
    """Journals of another version, and why."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How things stand with one destination."""

    destination: str
    """The tracking URI, without its password."""
    folder: Path
    has_shipper: bool
    alive: int
    """Processes that hold a journal open."""
    delivered: int
    """Traces stored since the folder was made."""
    waiting: Waiting
    rejected: int
    """Traces set aside."""
    newest_rejected: tuple[Rejected, ...]
    torn: int
    """Records lost to crashes since the folder was made."""
    orphans: int
    """Records of spans whose start is lost, since the folder was made."""
    error: str | None
    """Why the store takes nothing; None while it does."""
    failing_since: float | None
    """Seconds since the Unix epoch."""
    notes: tuple[str, ...] = ()
    """What the last shipper could not store beside the traces: models."""


def folder_of(uri: str) -> DestinationFolder:
    """Where the journals for ``uri`` are; the folder may not exist."""
    return DestinationFolder(home() / destination.slug(uri))


def folders(uri: str | None) -> list[DestinationFolder]:
    """The folder of ``uri``, if it has one; those of all destinations when none is named."""
    if uri is None:
        return all_folders()
    folder = folder_of(uri)
    return [folder] if folder.path.joinpath("destination.json").exists() else []


def look(folder: DestinationFolder) -> Backlog:
    """How things stand with the folder.

    Raises:
        JournalError: it is no destination folder.
    """
    uri = folder.public_uri()
    status = folder.read_status()
    waiting = count(folder)
    rejected = rejected_traces(folder)
    return Backlog(
        destination=uri,
        folder=folder.path,
        has_shipper=folder.has_shipper(),
        alive=sum(folder.is_alive(process) for process in folder.processes()),
        delivered=status.get("delivered", 0),
        waiting=waiting,
        rejected=len(rejected),
        newest_rejected=tuple(rejected[:_NEWEST_REJECTED]),
        torn=status.get("torn", 0) + waiting.torn,
        orphans=status.get("orphans", 0) + waiting.orphans,
        error=status.get("error"),
        failing_since=status.get("failing_since"),
        notes=tuple(status.get("notes", ())),
    )


def count(folder: DestinationFolder) -> Waiting:
    """Read all journals of the folder from where the shipper is."""
    found: list[_Process] = []
    unreadable: dict[str, str] = {}
    for process in sorted(folder.processes()):
        try:
            found.append(_count_process(folder, process))
        except JournalFormatError as error:
            unreadable[process] = str(error)
    roots = [root for one in found for root in one.roots]
    return Waiting(
        traces=len(roots),
        open=sum(one.open for one in found),
        oldest_ns=min(roots, default=None),
        torn=sum(one.torn for one in found),
        orphans=sum(one.orphans for one in found),
        unreadable=unreadable,
    )


class _Process(NamedTuple):
    """What one journal holds."""

    roots: list[int]
    """When each trace that waits started."""
    open: int
    torn: int
    orphans: int


def _count_process(folder: DestinationFolder, process: str) -> _Process:
    saved = checkpoint.load(folder, process)
    dead = not folder.is_alive(process)
    assembler = Assembler()
    for record in saved.unfinished:
        assembler.add(record, 0.0)
    roots: list[int] = []
    with contextlib.closing(JournalReader(folder, process, saved.position)) as reader:
        while records := reader.read(finished=dead):
            for record in records:
                assembler.add(record, 0.0)
            roots += _roots(assembler.take(0.0))
    still_open = assembler.open_traces
    rest = assembler.finish() if dead else assembler.take(0.0, everything=True)
    return _Process(roots + _roots(rest), 0 if dead else still_open, reader.torn, assembler.orphans)


def _roots(traces: Iterable[FinishedTrace]) -> list[int]:
    return [trace.root.time_ns for trace in traces if trace.root is not None]


def rejected_traces(folder: DestinationFolder) -> list[Rejected]:
    """The traces that were set aside, the newest first."""
    found = []
    for path in folder.rejected.glob("*.jsonl"):
        with contextlib.suppress(OSError, ValueError):  # taken away in this moment
            with path.open("rb") as file:
                head = json.loads(file.readline())
            found.append(Rejected(path.stem, str(head.get("reason", "")), float(head.get("time", 0.0))))
    return sorted(found, key=lambda one: one.time, reverse=True)
