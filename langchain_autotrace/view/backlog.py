"""Reports what the journals hold: reads them as the shipper does, and changes nothing.

It imports neither MLflow nor LangChain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace import destination
from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import checkpoint
from langchain_autotrace.journal.folder import DestinationFolder, all_folders, state_dir
from langchain_autotrace.journal.reader import JournalReader
from langchain_autotrace.journal.rejections import rejections
from langchain_autotrace.trace.join import JoinedTrace, Joiner
from langchain_autotrace.view.locks import lock_holder

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
    """When it was refused, in seconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Counts of what a folder's journals hold and the store does not have yet."""

    traces: int
    """Traces that could be delivered now, including unfinished ones of dead processes."""
    open: int
    """Traces whose root run is still open."""
    oldest_ns: int | None
    """When the first of ``traces`` started, in nanoseconds since the Unix epoch; None without traces."""
    torn: int
    """Records cut off by a crash that the shipper has not counted yet."""
    orphans: int
    """Records of spans whose start is missing from the journal, and that the shipper has not counted yet."""
    unreadable: dict[str, str]
    """Journals in a format that this version does not read: process -> reason."""
    models: int = 0
    """Models that are to be logged, whose traces are stored."""
    trace_ids: frozenset[str] = frozenset()
    """Ids of ``traces``."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The state of deliveries to one destination."""

    destination: str
    """The tracking URI, without its password."""
    folder: Path
    has_shipper: bool
    alive: int
    """Processes that hold a journal open."""
    delivered: int
    """Traces stored since the folder was created."""
    in_bulk: int
    """Those of them that were written to a database in bulk."""
    waiting: Waiting
    rejected: int
    """Traces that the store refused."""
    newest_rejected: tuple[Rejected, ...]
    torn: int
    """Records lost to crashes since the folder was created."""
    orphans: int
    """Records of spans whose start is lost, since the folder was created."""
    error: str | None
    """Why the store accepts no traces at present; None while it does."""
    failing_since: float | None
    """When ``error`` began, in seconds since the Unix epoch; None without an error."""
    writing_since: float | None
    """When the shipper began a write that takes long; None when it is in no such write."""
    lock_holder: str | None
    """The process that has locked the SQLite database that the shipper waits for, if it is known."""
    notes: tuple[str, ...] = ()
    """One line for each model that the last shipper failed to log."""


def folder_of(uri: str) -> DestinationFolder:
    """Return the folder of the journals for a tracking URI; it may not exist."""
    return DestinationFolder(state_dir() / destination.slug(uri))


def folders(uri: str | None) -> list[DestinationFolder]:
    """Return the folder of a tracking URI if it exists, or all destinations' folders if ``uri`` is None."""
    if uri is None:
        return all_folders()
    return [folder for folder in all_folders() if folder.path.name == destination.slug(uri)]


def look(folder: DestinationFolder) -> Backlog:
    """Return the state of deliveries from a folder.

    Raises:
        JournalError: the folder is not a destination folder.
    """
    uri = folder.public_uri()
    status = folder.read_status()
    waiting = count(folder)
    rejected = rejected_traces(folder)
    has_shipper, path = folder.has_shipper(), destination.sqlite_path(uri)
    writing_since = status.get("writing_since") if has_shipper else None
    return Backlog(
        destination=uri,
        folder=folder.path,
        has_shipper=has_shipper,
        alive=sum(folder.is_alive(process) for process in folder.processes()),
        delivered=status.get("delivered", 0),
        in_bulk=status.get("in_bulk", 0),
        waiting=waiting,
        rejected=len(rejected),
        newest_rejected=tuple(rejected[:_NEWEST_REJECTED]),
        torn=status.get("torn", 0) + waiting.torn,
        orphans=status.get("orphans", 0) + waiting.orphans,
        error=status.get("error"),
        failing_since=status.get("failing_since"),
        writing_since=writing_since,
        lock_holder=lock_holder(path, status.get("pid")) if path and (writing_since or status.get("error")) else None,
        notes=tuple(status.get("notes", ())),
    )


def count(folder: DestinationFolder) -> Waiting:
    """Count what the shipper has not delivered yet, by reading all journals of a folder from its checkpoints."""
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
        oldest_ns=min((started_ns for started_ns, _ in roots), default=None),
        torn=sum(one.torn for one in found),
        orphans=sum(one.orphans for one in found),
        unreadable=unreadable,
        models=sum(one.models for one in found),
        trace_ids=frozenset(trace_id for _, trace_id in roots),
    )


class _Process(NamedTuple):
    """Counts of what one process's journal holds."""

    roots: list[tuple[int, str]]
    """Start of each undelivered trace, in nanoseconds since the Unix epoch, and its id."""
    open: int
    torn: int
    orphans: int
    models: int


def _count_process(folder: DestinationFolder, process: str) -> _Process:
    saved = checkpoint.load(folder, process)
    dead = not folder.is_alive(process)
    joiner = Joiner()
    for record in saved.unfinished:
        joiner.add(record, 0.0)
    roots: list[tuple[int, str]] = []
    reader = JournalReader(folder, process, saved.position)
    while records := reader.read(finished=dead):
        for record in records:
            joiner.add(record, 0.0)
        roots += _roots(joiner.take(0.0))
    still_open = joiner.open_traces
    models = {(model.experiment_id, model.content_hash) for model in saved.models}
    rest = joiner.finish() if dead else joiner.take(0.0, everything=True)
    return _Process(roots + _roots(rest), 0 if dead else still_open, reader.torn, joiner.orphans, len(models))


def _roots(traces: Iterable[JoinedTrace]) -> list[tuple[int, str]]:
    return [(trace.root.time_ns, trace.trace_id) for trace in traces if trace.root is not None]


def rejected_traces(folder: DestinationFolder) -> list[Rejected]:
    """Return the traces that the store refused, the newest first."""
    found = [
        Rejected(trace_id, str(head.get("reason", "")), float(head.get("time", 0.0)))
        for trace_id, head in rejections(folder)
    ]
    return sorted(found, key=lambda one: one.time, reverse=True)
