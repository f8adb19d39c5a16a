"""Writes the events of runs to the journal, for one set of settings."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any, Final
from uuid import UUID

from langchain_autotrace.capture import calls, fast, scope
from langchain_autotrace.capture.careful import CarefulWriter, Subject
from langchain_autotrace.capture.enclosing import parent_of
from langchain_autotrace.capture.files import Files
from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.capture.interfaces import (
    NOT_SAMPLED,
    Journal,
    ModelLogger,
    ParentSpan,
    bridge_holder,
)
from langchain_autotrace.capture.runs import OpenRuns, Run, RunIds, find, key_of
from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.records import (
    END,
    EVENT,
    START,
    ModelSeen,
    Record,
    SpanEnd,
    SpanEvent,
    SpanStart,
    TraceContext,
    TraceFile,
    TraceUpdate,
)
from langchain_autotrace.semconv import Kind, Status, span_name, span_type
from langchain_autotrace.settings import Settings

_MAX_OPEN: Final = 50_000
"""Open runs remembered of a handler. LangChain loses the end of some (a generator that is never collected)."""
_suppressed: Final = scope.suppressed.get
_NOTHING: Final[dict[str, Any]] = {}
_RECORDS: Final[dict[str, type[SpanStart | SpanEvent | SpanEnd]]] = {START: SpanStart, EVENT: SpanEvent, END: SpanEnd}


class Recorder:
    """Writes events, for one set of settings. Thread-safe by the atomicity of a dict's operations.

    Attributes:
        settings: those settings.
        journal: where traces are written that MLflow sends nowhere else.
        finished: traces whose root has ended.
        evicted: runs forgotten because too many were open.
    """

    def __init__(
        self,
        settings: Settings,
        encode: Callable[[Record], bytes],
        journal: Journal,
        *,
        clock: Callable[[], int] = time.time_ns,
        model_logger: ModelLogger | None = None,
    ) -> None:
        """Write to ``journal``.

        Args:
            settings: what to write, and how.
            encode: returns the line of a record: ``journal.codec.encode``.
            journal: keeps the lines.
            clock: returns the time in nanoseconds since the Unix epoch.
            model_logger: is asked about root runs, and says what is to be logged as a model.
        """
        self.settings = settings
        self.journal = journal
        self.finished = 0
        self.evicted = 0
        self._encode = encode
        self._clock = clock
        self._model_logger = model_logger
        self._careful = CarefulWriter(settings)
        self._is_always_careful = not settings.capture_content or bool(settings.redact or settings.redact_patterns)
        self._limit = settings.max_value_bytes
        is_kept = settings.capture_content and settings.redact is None
        self._files = Files(encode, settings.max_file_bytes, kept=is_kept)
        self._ids = RunIds()
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets
        self._samples = settings.sample_rate < 1.0
        self._context = _context(settings, scope.NO_SCOPE)

    @property
    def redact_failures(self) -> int:
        """Values lost to an exception of the user's hook."""
        return self._careful.redact_failures

    def after_fork(self) -> None:
        """In a forked child: count anew, and make other ids than the parent."""
        self.finished = self.evicted = 0
        self._ids = RunIds()
        if self._model_logger is not None:
            self._model_logger.after_fork()
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets

    def start(  # noqa: PLR0917 - by position: called for each run
        self,
        open_runs: OpenRuns,
        kind: str,
        run_id: UUID,
        parent_run_id: UUID | None,
        name: str | None,
        tags: Sequence[str] | None,
        inputs: tuple[object] | None,
        details: dict[str, Any],
    ) -> None:
        """Write that a run has started.

        Args:
            open_runs: the open runs of its handler; the run is added.
            kind: a value of ``semconv.Kind``.
            run_id: LangChain's id of it.
            parent_run_id: the run it belongs to; a root's is None, or unknown to the handler.
            name: as LangChain gave it.
            tags: as LangChain gave them.
            inputs: any value, in a tuple; None when they come with the end.
            details: those of a :class:`SpanStart`; changed here.
        """
        now = self._clock()
        key = key_of(run_id)
        known = None if parent_run_id is None else find(open_runs, key_of(parent_run_id))
        parent = parent_of(parent_run_id, known, self)
        same = open_runs.get(key)
        if same is not None and same.tags is tags:
            same.note(copies=same.copies + 1)  # another handler of ours is in the run's list: the same event once more
            return
        bridge = bridge_holder.bridge
        parent_span = None if bridge is None else bridge.parent_span(self, parent or None)
        if (
            _suppressed()
            or parent is False
            or parent_span is NOT_SAMPLED
            or (parent is None and self._is_left_out(open_runs, parent_run_id, parent_span))
        ):
            open_runs[key] = None
            return
        context: TraceContext | None = None
        if parent is None:
            run = Run(self, self._ids.of_root(run_id, key, now), None, self.journal, tags)
            run.seen.add(key)
            context = self._begin_trace(run, parent_run_id, parent_span, details)
        else:
            run = Run(self, self._ids.of_child(run_id, key, parent.seen), parent, parent.journal, tags)
        if parent is None or kind == Kind.CHAIN:
            self._read_call(run, kind, inputs, details)
        if parent_span is not None:
            run.attach(parent_span)
            context = parent_span.context
        if same is not None:
            run.note(shadowed=same)
        open_runs[key] = run
        if bridge is not None or self._is_always_careful or self._model_logger is not None:
            self._describe(run, kind, name, inputs, context, details, now)
        self._write_start(
            run, parent, (now, kind, name, None if run.id is run_id else run_id, tags, context), inputs, details
        )
        if len(open_runs) > _MAX_OPEN:
            self._evict(open_runs)

    def _write_start(
        self,
        run: Run,
        parent: Run | None,
        head: tuple[object, ...],
        inputs: tuple[object] | None,
        details: dict[str, Any],
    ) -> None:
        """Write the record of a run's start; ``head`` has its fields from the time on."""
        parent_id: object = None if parent is None else parent.id
        if run.is_special:
            parent_id = run.parent_id
        self._write((START, run.trace, run.id, parent_id, *head), (inputs,), details, run.journal, run)

    def event(self, run: Run, name: str, details: dict[str, Any]) -> None:
        """Write that something happened within a run."""
        if run.counts_now():
            self._write((EVENT, run.trace, run.id, self._clock(), name), (), details, run.journal, run)

    def end(self, run: Run, outputs: tuple[object] | None, details: dict[str, Any]) -> None:
        """Write that a run has ended.

        Args:
            run: as it was taken from the open runs.
            outputs: any value, in a tuple; None where there is none.
            details: those of a :class:`SpanEnd`, of any types.
        """
        now = self._clock()
        if run.is_special:
            self._finish_special(run, outputs, details)
        self._write((END, run.trace, run.id, now), (outputs,), details, run.journal, run)
        if run.parent is None and run.is_root:
            self.finished += 1
            scope.last_trace.set(TRACE_ID_PREFIX + run.trace_id)
        bridge = bridge_holder.bridge
        if bridge is not None:
            bridge.ended(run)

    def write_span(self, record: SpanStart | SpanEvent | SpanEnd | TraceFile | TraceUpdate, journal: Journal) -> None:
        """Write a record of MLflow's own API, with values of any types."""
        if isinstance(record, TraceFile):
            self._append(self._careful.file(record), journal)
        elif isinstance(record, TraceUpdate):
            self._append(self._careful.update(record), journal)
        elif isinstance(record, SpanEvent):
            self._write((EVENT, *record[:-1]), (), record.details, journal, Subject("", ""))
        else:
            *head, value, details = record
            name = record.name if isinstance(record, SpanStart) else details.get("name")
            subject = Subject(str(name), str(details.get("type", "")))
            kind = START if isinstance(record, SpanStart) else END
            self._write((kind, *head), (None if value is None else (value[0],),), details, journal, subject)

    def context(self, around: scope.Scope) -> TraceContext:
        """Return the context of a trace that starts within these ``context()`` blocks."""
        return self._context if around is scope.NO_SCOPE else _context(self.settings, around)

    def _write(
        self,
        head: tuple[Any, ...],
        values: Sequence[tuple[object] | None],
        details: dict[str, Any],
        journal: Journal,
        subject: Run | Subject,
    ) -> None:
        """Write an event, the fast way or the careful way."""
        if not self._is_always_careful:
            result = fast.write(head, values, details, self._limit, journal, self._files)
            if result == fast.WriteResult.WRITTEN:
                return
        kind, *fields = head
        record = _RECORDS[kind]._make((*fields, *(None if value is None else [*value] for value in values), details))
        replace = partial(self._files.replace, trace=record.trace_id, journal=journal)
        self._append(self._careful.plain(record, Subject(subject.name, subject.type, replace)), journal)

    def _append(self, record: Record | None, journal: Journal) -> None:
        if record is not None:
            journal.write(self._encode(record))

    @staticmethod
    def _read_call(run: Run, kind: str, inputs: tuple[object] | None, details: dict[str, Any]) -> None:
        """Add session and user from the call that starts a root run; and note the method that runs a graph."""
        graph: FrameType | None = None
        if run.parent is None:
            call = calls.root_call(sys._getframe(2))  # noqa: SLF001 - the way to the stack
            details |= call.details
            graph = call.graph if kind == Kind.CHAIN else None
        elif "langgraph_node" not in (details.get("metadata") or _NOTHING):  # not within a graph
            graph = calls.graph_above(sys._getframe(2))  # noqa: SLF001 - as above
        if graph is not None:
            run.note(graph=graph)
            if calls.resumes(inputs):
                details["resumes"] = True

    def _begin_trace(
        self, run: Run, parent_run_id: UUID | None, parent_span: ParentSpan | None, details: dict[str, Any]
    ) -> TraceContext:
        """Return the context of a trace that begins with this run, by what the program has said around it."""
        if parent_run_id is not None:
            details["parent_run_id"] = parent_run_id
        around = scope.current.get()
        if around is scope.NO_SCOPE:
            return self._context
        if around.session_id:
            details["session_id"] = around.session_id
        if around.user_id:
            details["user_id"] = around.user_id
        if parent_span is None or parent_span.span_id is None:
            around.note_start(run.trace_id)
        return self.context(around)

    def _describe(  # noqa: PLR0917 - all that the start says
        self,
        run: Run,
        kind: str,
        name: str | None,
        inputs: tuple[object] | None,
        context: TraceContext | None,
        details: dict[str, Any],
        started_ns: int,
    ) -> None:
        """Note what others ask about a run: the bridge, the redact hook, and the logging of models."""
        shown = span_name(kind, name, details)
        run.note(kind=kind, name=shown, type=span_type(kind, shown, details), started_ns=started_ns)
        if bridge_holder.bridge is not None:
            bridge_holder.bridge.started(run)
        if run.parent is None and self._model_logger is not None:
            chosen = (None, None) if context is None else (context["experiment"], context["experiment_id"])
            call = self._model_logger.started(shown, kind, inputs, (id(run.journal), *chosen))
            if call is not None:
                run.note(model_call=call)
                details["content_hash"] = call.content.hash

    def _is_left_out(self, open_runs: OpenRuns, parent_run_id: UUID | None, parent_span: ParentSpan | None) -> bool:
        """Return whether a run without a known parent is below one that is left out, or not sampled."""
        if parent_run_id is not None and open_runs.get(key_of(parent_run_id), self) is None:
            return True
        if parent_span is not None and parent_span.trace_id is not None:  # decided when that trace started
            return False
        return self._samples and self._sample() >= self.settings.sample_rate

    def _finish_special(self, run: Run, outputs: tuple[object] | None, details: dict[str, Any]) -> None:
        """Add where a graph has stopped, and what was set through MLflow's API; write what is logged of a chain."""
        if run.graph is not None and "error" not in details and (stop := calls.stop_of(run.graph)) is not None:
            details["stopped"] = stop
            run.note(is_incomplete=True)
        if run.live is not None and bridge_holder.bridge is not None:
            changes = bridge_holder.bridge.changes(run)
            for name, time_ns, found in changes.events:
                self._write((EVENT, run.trace, run.id, time_ns, name), (), found, run.journal, run)
            details["changes"] = {
                "attributes": changes.attributes,
                "status": changes.status,
                "message": changes.message,
                "inputs": changes.inputs,
                "outputs": changes.outputs,
            }
        if run.model_call is not None and self._model_logger is not None:
            status = details.get("changes", {}).get("status")
            is_ok = outputs is not None and not ("error" in details or status == Status.ERROR or run.is_incomplete)
            returned = None if outputs is None else outputs[0]
            form = self._model_logger.ended(run.model_call, details.get("inputs"), returned, is_ok=is_ok)
            if form is not None:  # before the end, which has the trace delivered
                self._write_model(ModelSeen(run.trace_id, run.model_call.content.hash, form), run.journal)

    def _write_model(self, record: ModelSeen, journal: Journal) -> None:
        try:
            self._append(self._careful.model(record), journal)
        except Exception as error:  # noqa: BLE001 - the run ends all the same, or its trace would be lost with its model
            internal_errors.note("log_models", error)

    def _evict(self, open_runs: OpenRuns) -> None:
        try:
            open_runs.pop(next(iter(open_runs)))
        except (StopIteration, RuntimeError, KeyError):  # another thread was at it
            return
        self.evicted += 1


def _context(settings: Settings, around: scope.Scope) -> TraceContext:
    return {
        "experiment": settings.experiment,
        "experiment_id": settings.experiment_id,
        "tags": {**settings.extra_tags, **around.tags},
        "metadata": dict(around.metadata),
    }
