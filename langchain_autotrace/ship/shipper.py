"""The shipper: reads the journals of one folder and writes what is finished to a sink, until nothing is left.

A trace is forgotten only after the sink has taken it and the checkpoint says so. A crash between the two delivers it
again, which changes nothing in the store: (trace id, span id) is the key there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import orjson

from langchain_autotrace.errors import JournalFormatError, SinkUnavailable, TraceRejected
from langchain_autotrace.journal import checkpoint as checkpoints
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.checkpoint import Checkpoint
from langchain_autotrace.journal.folder import DestinationFolder, replace
from langchain_autotrace.journal.reader import JournalReader
from langchain_autotrace.ship.assemble import Assembler, FinishedTrace
from langchain_autotrace.ship.sink import Sink
from langchain_autotrace.span import Flush

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_BATCH_TRACES: Final = 100
_BATCH_SECONDS: Final = 0.2
_MAX_WAITING: Final = 1_000
"""Finished traces held in memory; the rest stays in the journal."""
_DISCOVER_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = (0.01, 0.1)
_BACKOFF_SECONDS: Final = (0.5, 30.0)


class _Process:
    """One journal that is being delivered."""

    def __init__(self, folder: DestinationFolder, name: str) -> None:
        self.name = name
        self.assembler = Assembler()
        self.saved = checkpoints.load(folder, name)
        self.reader = JournalReader(folder, name, self.saved.position)
        self.reader.torn = self.saved.torn
        self.delivered, self.rejected = self.saved.delivered, self.saved.rejected
        self.flush_asked = self.saved.flushed
        self.dead = False
        self.at_end = False
        for record in self.saved.unfinished:
            self.assembler.add(record, 0.0)

    def checkpoint(self, *, flushed: bool) -> Checkpoint:
        """What can be said now that nothing of this process waits to be written."""
        return Checkpoint(
            position=self.reader.position,
            flushed=self.flush_asked if flushed else self.saved.flushed,
            delivered=self.delivered,
            rejected=self.rejected,
            torn=self.reader.torn,
            unfinished=tuple(self.assembler.unfinished()),
        )


class Shipper:
    """Delivers the journals of one folder. The caller holds the folder's shipper lock.

    Attributes:
        error: why the store takes nothing now; None while it does.
    """

    def __init__(
        self,
        folder: DestinationFolder,
        sink: Sink,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.error: str | None = None
        self._folder = folder
        self._sink = sink
        self._clock = clock
        self._sleep = sleep
        self._processes: dict[str, _Process] = {}
        self._unreadable: dict[str, str] = {}
        self._waiting: list[tuple[_Process, FinishedTrace]] = []
        self._waiting_since = 0.0
        self._discovered_at = float("-inf")
        self._retry_at = 0.0
        self._failures = 0
        self._failing_since: float | None = None
        status = folder.read_status()
        self._delivered: int = status.get("delivered", 0)
        self._rejected: int = status.get("rejected", 0)
        self._torn: int = status.get("torn", 0)

    def serve(self, *, linger: float, patience: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Deliver until every process of the folder is gone and its journal empty.

        Args:
            linger: seconds to stay when there is nothing left, for the next process.
            patience: seconds to go on trying when the store is down and all processes are gone.
            stop: asked often; True ends at once.
        """
        pause, busy_at = _IDLE_SECONDS[0], self._clock()
        while not stop():
            if self.step():
                pause, busy_at = _IDLE_SECONDS[0], self._clock()
                continue
            idle = self._clock() - busy_at
            if self._abandoned() and idle >= (linger if self.error is None else patience):
                return
            self._sleep(pause)
            pause = min(pause * 1.5, _IDLE_SECONDS[1])

    def drain(self, *, timeout: float) -> bool:
        """Deliver what is in the journals now; True when all of it is stored or set aside.

        Args:
            timeout: seconds after which to give up; a store that is down is tried until then.
        """
        deadline = self._clock() + timeout
        while self._clock() < deadline:
            worked = self.step(everything=True)
            if not worked and not self._waiting and self.error is None:
                return True
            if not worked:
                self._sleep(_IDLE_SECONDS[0])
        return False

    def unserved(self) -> set[str]:
        """Names of the journals that are here and are neither delivered nor unreadable."""
        return self._folder.processes() - self._unreadable.keys()

    def step(self, *, everything: bool = False) -> bool:
        """Read a little of every journal, deliver what is due; True when anything moved.

        Args:
            everything: deliver at once, and traces with stragglers as they are.
        """
        self._discover()
        moved = False
        for process in list(self._processes.values()):
            if len(self._waiting) < _MAX_WAITING:
                moved |= self._read(process, everything=everything)
        if self._waiting and self._clock() >= self._retry_at and (everything or self._is_due()):
            moved |= self._deliver()
        if not self._waiting:
            moved |= self._settle()
        return moved

    def _discover(self) -> None:
        now = self._clock()
        if now - self._discovered_at < _DISCOVER_SECONDS:
            return
        self._discovered_at = now
        for name in self._folder.processes() - self._processes.keys() - self._unreadable.keys():
            try:
                self._processes[name] = _Process(self._folder, name)
            except JournalFormatError as error:
                self._refuse_journal(name, error)
        for process in self._processes.values():
            if not process.dead and process.at_end:
                process.dead = not self._folder.is_alive(process.name)
                process.at_end = False

    def _read(self, process: _Process, *, everything: bool) -> bool:
        try:
            records = process.reader.read(finished=process.dead)
        except JournalFormatError as error:
            del self._processes[process.name]
            self._refuse_journal(process.name, error)
            return True
        now = self._clock()
        process.assembler.process = process.reader.info
        flush = process.flush_asked
        for record in records:
            if isinstance(record, Flush):
                flush = record.number
            else:
                process.assembler.add(record, now)
        process.at_end = not records
        taken = process.assembler.take(now, everything=everything or flush > process.flush_asked)
        if process.dead and process.at_end:
            taken += process.assembler.finish()
        process.flush_asked = flush
        self._queue(process, taken)
        return bool(records or taken)

    def _queue(self, process: _Process, taken: Sequence[FinishedTrace]) -> None:
        if taken and not self._waiting:
            self._waiting_since = self._clock()
        self._waiting.extend((process, trace) for trace in taken)

    def _is_due(self) -> bool:
        """Whether to write now: a full batch, a short wait over, or somebody waiting for the answer."""
        return (
            len(self._waiting) >= _BATCH_TRACES
            or self._clock() - self._waiting_since >= _BATCH_SECONDS
            or any(process.flush_asked > process.saved.flushed or process.dead for process in self._processes.values())
        )

    def _deliver(self) -> bool:
        batch = self._waiting[:_BATCH_TRACES]
        try:
            self._write(batch)
        except SinkUnavailable as error:
            self._back_off(error)
            return False
        del self._waiting[: len(batch)]
        self._recovered()
        return True

    def _write(self, batch: Sequence[tuple[_Process, FinishedTrace]]) -> None:
        """Write a batch; when the sink refuses one of its traces, find it by halving and set it aside."""
        try:
            self._sink.write([trace for _, trace in batch])
        except TraceRejected as error:
            if len(batch) == 1:
                self._set_aside(*batch[0], error)
                return
            half = len(batch) // 2
            self._write(batch[:half])
            self._write(batch[half:])
            return
        for process, trace in batch:
            if trace.root is not None:
                process.delivered += 1
                self._delivered += 1

    def _set_aside(self, process: _Process, trace: FinishedTrace, error: TraceRejected) -> None:
        _logger.warning("trace %s was rejected: %s", trace.trace_id, error)
        self._folder.rejected.mkdir(mode=0o700, exist_ok=True)
        head = orjson.dumps({"reason": str(error), "process": process.name, "time": time.time()})
        records = b"".join(codec.encode(record) for record in trace.records())
        replace(self._folder.rejected / f"{trace.trace_id}.jsonl", head + b"\n" + records)
        process.rejected += 1
        self._rejected += 1

    def _back_off(self, error: SinkUnavailable) -> None:
        self.error = str(error)
        self._failing_since = self._failing_since or time.time()
        shortest, longest = _BACKOFF_SECONDS
        self._retry_at = self._clock() + min(shortest * 2**self._failures, longest)
        self._failures += 1
        _logger.warning("not delivered, trying again: %s", error)
        self._write_status()

    def _recovered(self) -> None:
        self.error = self._failing_since = None
        self._failures = 0

    def _settle(self) -> bool:
        """Nothing waits: write down how far each journal is delivered, and remove what is done."""
        settled = False
        for process in list(self._processes.values()):
            current = process.checkpoint(flushed=True)
            if current._replace(unfinished=()) != process.saved._replace(unfinished=()):
                checkpoints.save(self._folder, process.name, current)
                self._remove_segments(process.name, before=current.position.segment)
                self._torn += current.torn - process.saved.torn
                process.saved = current
                settled = True
            if process.dead and process.at_end:
                process.reader.close()
                self._folder.forget(process.name)
                del self._processes[process.name]
                settled = True
        if settled:
            self._write_status()
        return settled

    def _remove_segments(self, name: str, *, before: int) -> None:
        for number in self._folder.segments(name):
            if number < before:
                self._folder.segment(name, number).unlink(missing_ok=True)

    def _refuse_journal(self, name: str, error: JournalFormatError) -> None:
        _logger.warning("journal %s is left alone: %s", name, error)
        self._unreadable[name] = str(error)
        self._write_status()

    def _abandoned(self) -> bool:
        """Whether no process is left to serve, but those whose traces the store does not take."""
        return all(process.dead for process in self._processes.values())

    def _write_status(self) -> None:
        status = {
            "delivered": self._delivered,
            "rejected": self._rejected,
            "torn": self._torn,
            "error": self.error,
            "failing_since": self._failing_since,
            "unreadable": self._unreadable,
            "time": time.time(),
        }
        replace(self._folder.status_file, orjson.dumps(status))
