"""The shipper: reads the journals of one folder and writes finished traces to a sink, until nothing is left.

A trace is removed from the journal only after the sink has stored it and the checkpoint is past it. A crash
between the two has it delivered again, which changes nothing in the store: its key is (trace id, span id).

Models are logged after their traces, in a thread of their own. Until then the checkpoint has them.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import (
    CredentialsRefused,
    JournalFormatError,
    PermissionRefused,
    SinkError,
    SinkUnavailable,
    TraceRejected,
)
from langchain_autotrace.ship.model_queue import ModelQueue
from langchain_autotrace.ship.progress import Progress
from langchain_autotrace.ship.rejected import formed, write_rejected
from langchain_autotrace.ship.slow_write import SlowWrite
from langchain_autotrace.ship.status import write_status
from langchain_autotrace.trace.spans import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.ship.sink import Sink
    from langchain_autotrace.trace.join import JoinedTrace

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_BATCH_TRACES: Final = 500
"""Number of traces in a full batch. When as many are in memory, the shipper reads no further."""
_LARGEST_BATCH: Final = 2 * _BATCH_TRACES
"""Maximum number of traces in one write: a full batch, and what else the last read gave."""
_BATCH_BYTES: Final = 8_000_000
"""The same of the records that were read since the last write."""
_READING_SECONDS: Final = 0.2
"""How long the shipper goes on reading to fill a batch that somebody waits for."""
_BATCH_SECONDS: Final = 0.2
_DISCOVER_SECONDS: Final = 0.1
_IDLE_SECONDS: Final = (0.01, 0.1)
_BACKOFF_SECONDS: Final = (0.5, 30.0)
_DRAIN_BACKOFF_SECONDS: Final = (0.5, 1.0)
"""The same while somebody waits for the delivery."""
_TRIES: Final = 3
"""How often a batch is retried before its traces are tried one by one."""
_PROOFS: Final = 3
"""How often the store must accept another trace, and fail at this one again, before this one is rejected."""


class Shipper:
    """A loop that delivers the journals of one folder. The caller must hold the folder's shipper lock.

    Attributes:
        error: why delivery fails at present; None while it works.
    """

    def __init__(
        self,
        folder: DestinationFolder,
        sink: Sink,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Continue with the counters of the folder's last shipper, and clean up the folder."""
        self.error: str | None = None
        self._folder = folder
        self._sink = sink
        self._clock = clock
        self._sleep = sleep
        self._models = ModelQueue(sink.log_models)
        self._processes: dict[str, Progress] = {}
        self._unreadable: dict[str, str] = {}
        self._waiting: list[tuple[Progress, Trace]] = []
        self._waiting_since = 0.0
        self._waiting_bytes = 0
        self._discovered_at = float("-inf")
        self._retry_at = float("-inf")
        self._failures = 0
        self._backoff = _BACKOFF_SECONDS
        self._retry_requested_ns = folder.retry_requested_ns()
        self._slow_write = SlowWrite(self._write_status)
        self._failing_since: float | None = None
        self._is_delivering = self._is_stuck = self._is_refused = False
        status = folder.read_status()
        self._was_failing_since: float | None = status.get("failing_since")
        self._told_error: bool = status.get("error") is not None
        self._told_models: tuple[int, str | None] = (0, None)
        self._delivered: int = status.get("delivered", 0)
        self._rejected: int = status.get("rejected", 0)
        self._torn: int = status.get("torn", 0)
        self._orphans: int = status.get("orphans", 0)
        self._in_bulk: int = status.get("in_bulk", 0)
        folder.sweep()
        if self._told_error:
            self._write_status()  # the last shipper's error, which may be no more

    def serve(self, *, linger: float, patience: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Deliver until every process of the folder has ended, its journal is delivered and its models are logged.

        Ends as well when the store refuses the credentials, to let a shipper with others have the folder.

        Args:
            linger: seconds to wait for another process when nothing is left.
            patience: seconds to retry a store that is down when all processes have ended.
            stop: polled in the loop; True ends it.
        """
        pause, busy_at = _IDLE_SECONDS[0], self._clock()
        while not stop() and not self.is_refused:
            if self.step():
                pause, busy_at = _IDLE_SECONDS[0], self._clock()
                continue
            idle = self._clock() - busy_at
            if not self._processes and not self._waiting and idle >= linger and not self.unserved():
                return
            if (self.error or self._models.error) and idle >= patience and self._all_have_ended():
                self.close()
                self.error = self.error or self._models.error
                return
            self._sleep(pause)
            pause = min(pause * 1.5, _IDLE_SECONDS[1])
        self.close()
        self._guard(lambda: not self._waiting and self._save_progress(at_once=True))

    def drain(self, *, timeout: float) -> bool:
        """Deliver what is in the journals now; return whether all of it was stored or rejected, and models logged.

        Args:
            timeout: seconds after which to give up; a store that is down is retried until then.
        """
        self._backoff = _DRAIN_BACKOFF_SECONDS
        deadline = self._clock() + timeout
        while self._clock() < deadline and not self.is_refused:
            if self.step(everything=True):
                continue
            if not self._waiting and self.error is None and self._models.is_empty:
                return True
            self._sleep(_IDLE_SECONDS[0])
        return False

    def close(self) -> None:
        """Stop logging models, after the one at hand if that is done in a moment; the checkpoints keep the rest."""
        self._models.stop()
        self._remove_done_models()

    @property
    def is_refused(self) -> bool:
        """Whether the store refuses the credentials of this process."""
        return self._is_refused or self._models.is_refused

    def unserved(self) -> set[str]:
        """Return the names of the folder's journals that are neither fully delivered nor unreadable."""
        return self._folder.processes() - self._unreadable.keys()

    def step(self, *, everything: bool = False) -> bool:
        """Read a little of every journal, or deliver what is due; return whether there was any progress.

        Args:
            everything: deliver at once, without waiting for a full batch or for late spans.
        """
        self._heed_retry_request()
        if self._is_stuck and self._clock() < self._retry_at:
            return False
        return self._guard(lambda: self._step(everything=everything))

    def _heed_retry_request(self) -> None:
        requested_ns = self._folder.retry_requested_ns()
        if requested_ns != self._retry_requested_ns:
            self._retry_requested_ns, self._retry_at = requested_ns, float("-inf")
            self._models.retry_now()

    def _guard(self, work: Callable[[], bool]) -> bool:
        """Call ``work`` and return its result; back off and return False when the folder cannot be read or written."""
        try:
            progressed = work()
        except OSError as error:
            self._is_stuck = True
            self._back_off(f"cannot use the journal folder {self._folder.path}: {error}", time.time())
            return False
        self._is_stuck = False
        return progressed

    def _step(self, *, everything: bool) -> bool:
        has_logged = self._remove_done_models()
        self._discover(at_once=everything)
        # Once delivery is due, nothing more is read until all that was read is delivered: under a constant load, the
        # checkpoint would never move, and no flush would be answered.
        self._is_delivering = bool(self._waiting) and (self._is_delivering or everything or self._is_due())
        if self._is_delivering and self._clock() >= self._retry_at:
            progressed = self._deliver()
        else:
            # Read on even while the store is down, up to a full batch: it may accept a later trace.
            progressed = self._read_all(everything=everything)
        if not self._waiting and (self._is_delivering or has_logged or not progressed):
            progressed |= self._save_progress(at_once=everything)
        return progressed or has_logged

    def _remove_done_models(self) -> bool:
        """Remove logged models from what the checkpoints are to have; return whether there were any.

        What is to be noted is in the status before a checkpoint says that the models are done.
        """
        done = self._models.take_done()
        for process, model in done:
            process.remove_model(model)
        if self._told_models != (len(self._notes()), self._models.error):
            self._write_status()
        return bool(done)

    def _discover(self, *, at_once: bool) -> None:
        now = self._clock()
        if not at_once and now - self._discovered_at < _DISCOVER_SECONDS:
            return
        self._discovered_at = now
        for name in sorted(self.unserved() - self._processes.keys()):
            try:
                process = self._processes[name] = Progress(self._folder, name, self._clock)
            except JournalFormatError as error:
                self._skip_journal(name, error)
                continue
            for model in process.models:
                self._models.put(process, model)
        for process in self._processes.values():
            process.dead = process.dead or not self._folder.is_alive(process.name)

    def _read_all(self, *, everything: bool) -> bool:
        """Read until a batch is full, there is nothing left to read, or it takes too long."""
        begun, progressed = self._clock(), False
        if not self._waiting:
            self._waiting_bytes = 0
        while not self._is_full() and self._read_each(everything=everything):
            progressed = True
            if self._clock() - begun >= _READING_SECONDS:
                break
        return progressed

    def _is_full(self) -> bool:
        return bool(self._waiting) and (len(self._waiting) >= _BATCH_TRACES or self._waiting_bytes >= _BATCH_BYTES)

    def _read_each(self, *, everything: bool) -> bool:
        """Read a little of every journal; return whether there was anything."""
        progressed = False
        for process in list(self._processes.values()):
            if self._is_full():
                break
            # Move it to the end, so that a process that writes without pause does not starve the others.
            self._processes[process.name] = self._processes.pop(process.name)
            progressed |= self._read(process, everything=everything)
        return progressed

    def _read(self, process: Progress, *, everything: bool) -> bool:
        if process.done:
            return False
        try:
            before = process.bytes_read
            progressed, joined_traces = process.read(everything=everything)
            self._waiting_bytes += process.bytes_read - before
        except JournalFormatError as error:
            del self._processes[process.name]
            self._skip_journal(process.name, error)
            return True
        if joined_traces and not self._waiting:
            self._waiting_since = self._clock()
        for joined in joined_traces:
            try:
                self._waiting.append((process, formed(joined)))
            except TraceRejected as error:  # one trace must not stop the others
                self._reject(process, joined, error)
        return progressed or bool(joined_traces)

    def _is_due(self) -> bool:
        """Return whether to write now: the batch is full or has waited long enough, or a process waits for delivery."""
        return (
            self._is_full()
            or self._clock() - self._waiting_since >= _BATCH_SECONDS
            or any(process.is_awaited for process in self._processes.values())
        )

    def _deliver(self) -> bool:
        began = time.time()
        try:
            self._write(self._waiting[:_LARGEST_BATCH])
        except CredentialsRefused as error:
            return self._make_room(error, began)
        except SinkUnavailable as error:
            if self._failures < _TRIES or not self._deliver_one_by_one():
                self._back_off(str(error), began)
                return False
        self._clear_error()
        return True

    def _make_room(self, error: CredentialsRefused, since: float) -> bool:
        """Give up for a shipper with other credentials; return True if only single traces were refused, and rejected.

        Each program may have permission for its own experiments alone. So this shipper first delivers what it may.
        """
        if isinstance(error, PermissionRefused) and not self._deliver_permitted():
            return True
        self._is_refused = True
        self._save_processes(at_once=True)
        self._back_off(str(error), since)
        return False

    def _deliver_permitted(self) -> bool:
        """Deliver the batch trace by trace, as far as there is permission; return whether traces are left."""
        batch, permitted, left = self._waiting[:_LARGEST_BATCH], [], []
        for process, trace in batch:
            error = self._try_one((process, trace))
            if error is None:
                permitted.append(trace.context)
                self._count([(process, trace)])
            elif isinstance(error, PermissionRefused) and trace.context in permitted:
                msg = f"the store accepts other traces of this experiment but not this one: {error}"
                self._reject(process, trace, TraceRejected(msg))
            else:
                left.append((process, trace))
        self._waiting[: len(batch)] = left
        return bool(left)

    def _deliver_one_by_one(self) -> bool:
        """Deliver the batch trace by trace, to find one at which the store fails; return False when it takes none.

        A server that answers 500 to one trace cannot be told from a server that is down. So a trace is rejected only
        when the store fails at it again and again, and accepts another one each time in between.
        """
        batch = self._waiting[:_LARGEST_BATCH]
        probes = [batch[index] for index in sorted({0, len(batch) // 2, len(batch) - 1})]
        good = None
        if len(batch) > 1:
            good = next((one for one in probes if self._try_one(one) is None), None)
        if good is None:
            return False
        for process, trace in batch:
            error, proofs = self._try_twice((process, trace)), 0
            while error is not None and proofs < _PROOFS:
                if self._try_one(good) is not None:
                    return True  # the store is down by now
                error, proofs = self._try_twice((process, trace)), proofs + 1
            if error is None:
                self._count([(process, trace)])
            else:
                msg = f"the store accepts other traces but not this one: {error}"
                self._reject(process, trace, TraceRejected(msg))
            self._waiting.pop(0)
        return True

    def _try_twice(self, one: tuple[Progress, Trace]) -> SinkError | None:
        """Write one trace, and again if that fails: of two servers behind one address, one may be down."""
        return self._try_one(one) and self._try_one(one)

    def _try_one(self, one: tuple[Progress, Trace]) -> SinkError | None:
        """Write one trace; return the error, or None when it was stored."""
        try:
            self._store([one])
        except SinkError as error:
            return error
        return None

    def _write(self, batch: Sequence[tuple[Progress, Trace]]) -> None:
        """Write the first waiting traces; when the sink rejects one of them, find it by bisection and reject it."""
        try:
            self._store(batch)
        except TraceRejected as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._write(batch[:half])
                self._write(batch[half:])
                return
            self._reject(*batch[0], error)
        else:
            self._count(batch)
        del self._waiting[: len(batch)]

    def _store(self, batch: Sequence[tuple[Progress, Trace]]) -> None:
        """Write traces, and have their models logged now that they are stored."""
        processes = {trace.trace_id: process for process, trace in batch}
        with self._slow_write.watched():
            models = self._sink.write([trace for _, trace in batch]) or ()
        for model in models:
            process = processes[model.trace_id]
            self._models.put(process, process.add_model(model))

    def _count(self, batch: Sequence[tuple[Progress, Trace]]) -> None:
        for process, trace in batch:
            if trace.root is not None:
                process.delivered += 1
                self._delivered += 1

    def _reject(self, process: Progress, trace: Trace | JoinedTrace, error: TraceRejected) -> None:
        _logger.warning("trace %s was rejected: %s", trace.trace_id, error)
        write_rejected(self._folder, process.name, trace, error)
        process.rejected += 1
        self._rejected += 1

    def _back_off(self, error: str, since: float) -> None:
        self.error = error
        self._failing_since = self._failing_since or self._was_failing_since or since
        shortest, longest = self._backoff
        self._retry_at = self._clock() + min(shortest * 2 ** min(self._failures, 10), longest)
        self._failures += 1
        _logger.warning("delivery failed, will retry: %s", error)
        self._write_status()

    def _clear_error(self) -> None:
        """Write that delivery works, before the checkpoint says that the traces are stored."""
        if self.error is not None or self._told_error:
            self.error = self._failing_since = self._was_failing_since = None
            self._failures = 0
            self._write_status()

    def _save_progress(self, *, at_once: bool) -> bool:
        """Write the checkpoints and remove journals that are done; return whether anything changed."""
        has_changed = self._save_processes(at_once=at_once)
        self._clear_error()
        if has_changed:
            self._write_status()
        return has_changed

    def _save_processes(self, *, at_once: bool) -> bool:
        """Write the checkpoints of processes of which no trace waits; return whether anything changed."""
        has_changed, waiting = False, [process for process, _ in self._waiting]
        for process in [one for one in self._processes.values() if one not in waiting]:
            added = process.save(at_once=at_once)
            if added is not None:
                self._torn += added[0]
                self._orphans += added[1]
                has_changed = True
            if process.done and not process.models:
                self._folder.forget(process.name)
                del self._processes[process.name]
                has_changed = True
        return has_changed

    def _skip_journal(self, name: str, error: JournalFormatError) -> None:
        _logger.warning("journal %s was skipped: %s", name, error)
        self._unreadable[name] = str(error)
        self._write_status()

    def _all_have_ended(self) -> bool:
        """Return whether all processes have ended."""
        return all(process.dead for process in self._processes.values())

    def _notes(self) -> list[str]:
        return [*self._sink.notes, *self._models.notes]

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
        # A trace that is written again, as to find out which one the store fails at, is delivered once.
        if in_bulk := min(self._in_bulk + self._sink.in_bulk, self._delivered):
            status["in_bulk"] = in_bulk
        notes, models_error = self._notes(), self._models.error
        if (since := self._slow_write.since) is not None:
            status |= {"writing_since": since, "pid": os.getpid()}
        if notes:
            status["notes"] = notes
        if models_error:
            status["models_error"] = models_error
        self._told_error, self._told_models = self.error is not None, (len(notes), models_error)
        write_status(self._folder, status)
