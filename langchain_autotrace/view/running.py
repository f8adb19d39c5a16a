"""Follows the traces that are in the journals and not in the store yet: running ones, and those that wait for delivery.

It reads what the shipper reads, changes nothing, and imports neither MLflow nor LangChain.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import checkpoint
from langchain_autotrace.journal.reader import JournalReader, Position
from langchain_autotrace.trace.join import JoinedTrace, Joiner
from langchain_autotrace.view import backlog

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.records import Record

MAX_WAITING: Final = 200
"""Ended traces that are kept of a process while they wait for delivery: the newest."""


@dataclass(slots=True)
class Followed:
    """A trace of the journal."""

    joined: JoinedTrace
    """Its records so far."""
    version: int
    """Grows with each change of any trace."""
    ends_at: Position | None = None
    """Position of the journal behind its end; None while it runs."""


class Followers:
    """The traces of one destination's journals. Not thread-safe.

    Attributes:
        traces: id (32 digits) -> trace, running or waiting for delivery.
        version: grows with each change, also when a trace is gone because it was delivered.
    """

    def __init__(self, uri: str) -> None:
        """Prepare to follow the journals of a tracking URI; :meth:`look` reads them."""
        self.traces: dict[str, Followed] = {}
        self.version = 0
        self._folder = backlog.folder_of(uri)
        self._processes: dict[str, _Process] = {}

    def look(self) -> bool:
        """Read what is new; return whether anything has changed."""
        before = self.version
        known = self._folder.processes() if self._folder.path.is_dir() else set()
        for name in sorted(known - self._processes.keys()):
            with contextlib.suppress(JournalFormatError):
                self._processes[name] = _Process(self._folder, name)
        for name, process in list(self._processes.items()):
            with contextlib.suppress(JournalFormatError):
                self._take(process)
            if name not in known:
                self._drop(name, process)
        return self.version != before

    def _take(self, process: _Process) -> None:
        for joined, ends_at in process.read():
            self.version += 1
            self.traces[joined.trace_id] = Followed(joined, self.version, ends_at)
            process.trace_ids.add(joined.trace_id)
        delivered = process.delivered()
        waiting = [one for one in process.trace_ids if self.traces[one].ends_at is not None]
        gone = {one for one in waiting if (self.traces[one].ends_at or delivered) <= delivered}
        self._forget(process, [*gone, *[one for one in waiting if one not in gone][:-MAX_WAITING]])

    def _drop(self, name: str, process: _Process) -> None:
        """Forget a process whose journal is gone: all of it was delivered."""
        del self._processes[name]
        self._forget(process, list(process.trace_ids))

    def _forget(self, process: _Process, trace_ids: Iterable[str]) -> None:
        for trace_id in trace_ids:
            self.version += 1
            process.trace_ids.discard(trace_id)
            self.traces.pop(trace_id, None)


class _Process:
    """The journal of one process, from what was delivered of it on."""

    def __init__(self, folder: DestinationFolder, name: str) -> None:
        saved = checkpoint.load(folder, name)
        self.trace_ids: set[str] = set()
        self._folder, self._name = folder, name
        self._reader = JournalReader(folder, name, saved.position)
        self._joiner = Joiner()
        self._changed: dict[str, None] = {}
        self._add(saved.unfinished)

    def read(self) -> list[tuple[JoinedTrace, Position | None]]:
        """Return the traces that have changed, each with the position behind its end if it has ended."""
        is_dead = not self._folder.is_alive(self._name)
        ended: list[tuple[JoinedTrace, Position | None]] = []
        while records := self._reader.read(finished=is_dead):
            self._joiner.process = self._reader.info
            self._add(records)
            ended += self._ended(self._joiner.take(time.monotonic()))
        ended += self._ended(self._joiner.finish() if is_dead else self._joiner.take(time.monotonic()))
        running = [joined for one in self._changed if (joined := self._joiner.peek(one)) is not None]
        self._changed.clear()
        return [*((joined, None) for joined in running if joined.root is not None), *ended]

    def delivered(self) -> Position:
        """Return the position up to which the shipper has delivered."""
        return checkpoint.glance(self._folder, self._name).position

    def _add(self, records: Iterable[Record]) -> None:
        for record in records:
            self._joiner.add(record, time.monotonic())
            if trace_id := getattr(record, "trace_id", None):
                self._changed[trace_id] = None

    def _ended(self, traces: Iterable[JoinedTrace]) -> list[tuple[JoinedTrace, Position | None]]:
        return [(one, self._reader.position) for one in traces if one.root is not None]
