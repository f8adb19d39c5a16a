"""The shipper: reads the journals of one folder and writes what is finished to a sink, until nothing is left.

A trace is forgotten only after the sink has taken it and the checkpoint says so. A crash between the two delivers it
again, which changes nothing in the store: (trace id, span id) is the key there.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import JournalFormatError, SinkError, SinkUnavailable, TraceRejected
from langchain_autotrace.ship.aside import set_aside
from langchain_autotrace.ship.progress import Progress
from langchain_autotrace.ship.status import write_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.ship.assemble import FinishedTrace
    from langchain_autotrace.ship.sink import Sink

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_BATCH_TRACES: Final = 100
"""Finished traces in one write. With as many in memory, the rest stays in the journal."""
_BATCH_SECONDS: Final = 0.2
_DISCOVER_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = (0.01, 0.1)
_BACKOFF_SECONDS: Final = (0.5, 30.0)
_TRIES: Final = 3
"""How often a batch is tried again before each of its traces is tried alone."""


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
        """Go on where the last shipper of the folder ended."""
        self.error: str | None = None
        self._folder = folder
        self._sink = sink
        self._clock = clock
        self._sleep = sleep
        self._processes: dict[str, Progress] = {}
        self._unreadable: dict[str, str] = {}
        self._waiting: list[tuple[Progress, FinishedTrace]] = []
        self._waiting_since = 0.0
        self._discovered_at = float("-inf")
        self._retry_at = float("-inf")
        self._failures = 0
        self._failing_since: float | None = None
        self._is_delivering = self._is_stuck = False
        status = folder.read_status()
        self._told_error: bool = status.get("error") is not None
        self._delivered: int = status.get("delivered", 0)
        self._rejected: int = status.get("rejected", 0)
        self._torn: int = status.get("torn", 0)
        self._orphans: int = status.get("orphans", 0)
        folder.sweep()

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
            if not self._processes and not self._waiting and idle >= linger and not self.unserved():
                return
            if self.error is not None and idle >= patience and self._is_abandoned():
                return
            self._sleep(pause)
            pause = min(pause * 1.5, _IDLE_SECONDS[1])
        self._guarded(lambda: not self._waiting and self._settle(at_once=True))

    def drain(self, *, timeout: float) -> bool:
        """Deliver what is in the journals now; True when all of it is stored or set aside.

        Args:
            timeout: seconds after which to give up; a store that is down is tried until then.
        """
        deadline = self._clock() + timeout
        while self._clock() < deadline:
            if self.step(everything=True):
                continue
            if not self._waiting and self.error is None:
                return True
            self._sleep(_IDLE_SECONDS[0])
        return False

    def unserved(self) -> set[str]:
        """Names of the journals that are here and are neither delivered nor unreadable."""
        return self._folder.processes() - self._unreadable.keys()

    def step(self, *, everything: bool = False) -> bool:
        """Read a little of every journal, or deliver what is due; True when anything moved.

        Args:
            everything: deliver at once, and traces with stragglers as they are.
        """
        if self._is_stuck and self._clock() < self._retry_at:
            return False
        return self._guarded(lambda: self._step(everything=everything))

    def _guarded(self, work: Callable[[], bool]) -> bool:
        """What ``work`` returns; False, and a pause, when the journal's folder cannot be read or written."""
        try:
            moved = work()
        except OSError as error:
            self._is_stuck = True
            self._back_off(f"the journal folder {self._folder.path}: {error}")
            return False
        self._is_stuck = False
        return moved

    def _step(self, *, everything: bool) -> bool:
        self._discover(at_once=everything)
        # Once it is due, nothing is read until all that was is delivered: under a load that never ends, the
        # checkpoint would never move, and no flush be answered.
        self._is_delivering = bool(self._waiting) and (self._is_delivering or everything or self._is_due())
        if self._is_delivering and self._clock() >= self._retry_at:
            moved = self._deliver()
        else:
            # Also while the store takes nothing, up to a batch: what comes later may go through.
            moved = self._read_all(everything=everything)
        if not self._waiting and (self._is_delivering or not moved):
            moved |= self._settle(at_once=everything)
        return moved

    def _discover(self, *, at_once: bool) -> None:
        now = self._clock()
        if not at_once and now - self._discovered_at < _DISCOVER_SECONDS:
            return
        self._discovered_at = now
        for name in sorted(self.unserved() - self._processes.keys()):
            try:
                self._processes[name] = Progress(self._folder, name, self._clock)
            except JournalFormatError as error:
                self._refuse_journal(name, error)
        for process in self._processes.values():
            process.dead = process.dead or not self._folder.is_alive(process.name)

    def _read_all(self, *, everything: bool) -> bool:
        moved = False
        for process in list(self._processes.values()):
            if len(self._waiting) >= _BATCH_TRACES:
                break
            # Behind the others, so that one that writes without pause does not keep them waiting.
            self._processes[process.name] = self._processes.pop(process.name)
            moved |= self._read(process, everything=everything)
        return moved

    def _read(self, process: Progress, *, everything: bool) -> bool:
        if process.done:
            return False
        try:
            moved, taken = process.read(everything=everything)
        except JournalFormatError as error:
            del self._processes[process.name]
            self._refuse_journal(process.name, error)
            return True
        if taken and not self._waiting:
            self._waiting_since = self._clock()
        self._waiting.extend((process, trace) for trace in taken)
        return moved or bool(taken)

    def _is_due(self) -> bool:
        """Whether to write now: a full batch, a short wait over, or somebody waiting for the answer."""
        return (
            len(self._waiting) >= _BATCH_TRACES
            or self._clock() - self._waiting_since >= _BATCH_SECONDS
            or any(process.is_awaited for process in self._processes.values())
        )

    def _deliver(self) -> bool:
        try:
            self._write(self._waiting[:_BATCH_TRACES])
        except SinkUnavailable as error:
            if self._failures < _TRIES or not self._single_out():
                self._back_off(str(error))
                return False
        self._recovered()
        return True

    def _single_out(self) -> bool:
        """Deliver one by one, for a store that fails at one trace of the batch and not at others: False when at all.

        A server that answers 500 to a trace says no other than one that is down. So a trace is set aside when the store
        has taken others alone, does not take this one alone, and then takes one of the others once more.
        """
        batch = self._waiting[:_BATCH_TRACES]
        probes = [batch[index] for index in sorted({0, len(batch) // 2, len(batch) - 1})]
        good = None
        if len(batch) > 1:
            good = next((trace for _, trace in probes if self._refusal(trace) is None), None)
        if good is None:
            return False
        for process, trace in batch:
            error = self._refusal(trace)
            if error is None:
                self._count([(process, trace)])
            elif self._refusal(good) is None:
                msg = f"the store takes others, and not this one: {error}"
                self._set_aside(process, trace, TraceRejected(msg))
            else:
                return True  # it is down by now
            self._waiting.pop(0)
        return True

    def _refusal(self, trace: FinishedTrace) -> SinkError | None:
        """Why the store does not take a trace alone; None when it does."""
        try:
            self._sink.write([trace])
        except SinkError as error:
            return error
        return None

    def _write(self, batch: Sequence[tuple[Progress, FinishedTrace]]) -> None:
        """Write the foremost traces; when the sink refuses one of them, find it by halving and set it aside."""
        try:
            self._sink.write([trace for _, trace in batch])
        except TraceRejected as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._write(batch[:half])
                self._write(batch[half:])
                return
            self._set_aside(*batch[0], error)
        else:
            self._count(batch)
        del self._waiting[: len(batch)]

    def _count(self, batch: Sequence[tuple[Progress, FinishedTrace]]) -> None:
        for process, trace in batch:
            if trace.root is not None:
                process.delivered += 1
                self._delivered += 1

    def _set_aside(self, process: Progress, trace: FinishedTrace, error: TraceRejected) -> None:
        _logger.warning("trace %s was rejected: %s", trace.trace_id, error)
        set_aside(self._folder, process.name, trace, error)
        process.rejected += 1
        self._rejected += 1

    def _back_off(self, error: str) -> None:
        self.error = error
        self._failing_since = self._failing_since or time.time()
        shortest, longest = _BACKOFF_SECONDS
        self._retry_at = self._clock() + min(shortest * 2 ** min(self._failures, 10), longest)
        self._failures += 1
        _logger.warning("not delivered, trying again: %s", error)
        self._write_status()

    def _recovered(self) -> None:
        if self.error is not None or self._told_error:
            self.error = self._failing_since = None
            self._failures = 0
            self._write_status()

    def _settle(self, *, at_once: bool) -> bool:
        """Nothing waits: write down how far each journal is delivered, and remove what is done."""
        settled = False
        for process in list(self._processes.values()):
            news = process.save(at_once=at_once)
            if news is not None:
                self._torn += news[0]
                self._orphans += news[1]
                settled = True
            if process.done:
                self._folder.forget(process.name)
                del self._processes[process.name]
                settled = True
        self._recovered()
        if settled:
            self._write_status()
        return settled

    def _refuse_journal(self, name: str, error: JournalFormatError) -> None:
        _logger.warning("journal %s is left alone: %s", name, error)
        self._unreadable[name] = str(error)
        self._write_status()

    def _is_abandoned(self) -> bool:
        """Whether only traces are left to serve that the store does not take."""
        return all(process.dead for process in self._processes.values())

    def _write_status(self) -> None:
        status: dict[str, object] = {
            "delivered": self._delivered,
            "rejected": self._rejected,
            "torn": self._torn,
            "orphans": self._orphans,
            "error": self.error,
            "failing_since": self._failing_since,
            "unreadable": self._unreadable,
            "time": time.time(),
        }
        if notes := getattr(self._sink, "notes", ()):
            status["notes"] = list(notes)
        self._told_error = self.error is not None
        write_status(self._folder, status)
