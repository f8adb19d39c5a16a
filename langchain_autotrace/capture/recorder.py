"""Runs that start, have events and end, and the records they become.

The recorder knows nothing of LangChain's callbacks and nothing of files: it is told what happens, and hands lines to
``write``. A line is made in one pass over the values as they are; what that cannot do, and what must not be written
as it is, goes through the sealer.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from uuid import UUID

import orjson

from langchain_autotrace.capture import scope
from langchain_autotrace.capture.encode import STOPPED, plain
from langchain_autotrace.capture.redact import holds_secret
from langchain_autotrace.capture.runs import Ids, Run, Trace
from langchain_autotrace.capture.seal import Sealer, Write
from langchain_autotrace.capture.status import RETURNED, Ending, exception_attributes
from langchain_autotrace.settings import Settings
from langchain_autotrace.span import (
    TRACE_ID_PREFIX,
    Attr,
    Outcome,
    Record,
    SpanEnd,
    SpanEvent,
    SpanStart,
    SpanType,
    Status,
    TraceContext,
)


class Lines(Protocol):
    """What turns records into lines: the module ``langchain_autotrace.journal.codec``."""

    def encode(self, record: Record) -> bytes:
        """The line of a record whose values are JSON."""

    def start_line(self, *fields: Any) -> bytes:  # noqa: ANN401 - values of any type
        """The line of a :class:`SpanStart`, from its fields with values as they are."""

    def end_line(self, *fields: Any) -> bytes:  # noqa: ANN401 - values of any type
        """The line of a :class:`SpanEnd`, from its fields with values as they are."""


_MAX_OPEN: Final = 50_000
"""Open runs remembered. LangChain loses the end of some (a generator that is never collected)."""
_MAX_ID_LENGTH: Final = 250
"""MLflow's limit for the value of trace metadata (``MAX_CHARS_IN_TRACE_INFO_METADATA``)."""
_SESSION_KEYS: Final = ("session_id", "thread_id", "conversation_id")
_OWNER_KEYS: Final = frozenset({*_SESSION_KEYS, "user_id"})
_suppressed: Final = scope.suppressed
_NULL: Final = orjson.Fragment(b"null")
"""A value that is None, where None itself says that there is no value."""
# Looking up a member of an enumeration costs as much as a function call in Python 3.11.
_ERROR: Final = Status.ERROR.value
_ABANDONED: Final = Outcome.ABANDONED
_OURS: Final = frozenset({SpanType.CHAT_MODEL.value, SpanType.LLM.value})
"""Kinds of runs whose inputs are of our own making: they hold no objects, in all likelihood."""


class Recorder:
    """Turns runs into records, for one set of settings. Thread-safe by the atomicity of a dict's operations.

    Attributes:
        finished: traces whose root has ended.
        evicted: runs forgotten because too many were open.
    """

    def __init__(
        self,
        settings: Settings,
        lines: Lines,
        write: Write,
        *,
        clock: Callable[[], int] = time.time_ns,
        ids: Ids | None = None,
    ) -> None:
        self.settings = settings
        self.finished = 0
        self.evicted = 0
        self._start_line = lines.start_line
        self._end_line = lines.end_line
        self._sealer = Sealer(settings, lines.encode)
        self._write = write
        self._careful = settings.redact is not None
        self._limit = settings.max_value_bytes
        self._clock = clock
        self._ids = ids or Ids()
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets
        self._content = settings.capture_content
        self._runs: dict[object, Run | None] = {}

    @property
    def open_runs(self) -> int:
        """Runs started and not ended, those left out included."""
        return len(self._runs)

    @property
    def redact_failures(self) -> int:
        """Values lost to an exception of the user's hook."""
        return self._sealer.redact_failures

    def get(self, run_id: UUID) -> Run | None:
        """The open run, or None when it is unknown or left out."""
        return self._runs.get(_key(run_id))

    def after_fork(self) -> None:
        """In a forked child: the parent's runs are the parent's, and its ids must not come again."""
        self._runs = {}
        self.finished = self.evicted = 0
        self._ids = type(self._ids)()
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets

    def start(  # noqa: PLR0917 - by position: the hottest call of the package
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        name: str,
        kind: str,
        inputs: object,
        attributes: dict[str, object],
        metadata: Mapping[str, Any] | None = None,
        deferred: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> None:
        """A run has started.

        Args:
            run_id: LangChain's id of it.
            parent_run_id: the run it belongs to; a root's is None, or unknown to us (traced by others).
            name: the span's name.
            kind: a value of ``SpanType``.
            inputs: any value.
            attributes: the span's attributes, of any values; changed here.
            metadata: LangChain's metadata, from which session and user are read.
            deferred: the inputs come with the end.
        """
        now = self._clock()
        runs = self._runs
        key = run_id.int if type(run_id) is UUID else run_id
        if key in runs:
            self._again(key)
            return
        if parent_run_id is None:
            parent = None
        else:
            parent = runs.get(parent_run_id.int if type(parent_run_id) is UUID else parent_run_id)
        if _suppressed.get() or (parent is None and self._left_out(parent_run_id)):
            runs[key] = None
            return
        trace = parent.trace if parent is not None else Trace(self._ids.trace())
        run = runs[key] = Run(trace, self._ids.span(), parent, now)
        attributes[Attr.RUN_ID] = run_id
        if metadata and not _OWNER_KEYS.isdisjoint(metadata):
            _note_owner(trace, metadata, attributes)
        context = None
        if parent is None:
            context = self._context(trace, attributes)
            if parent_run_id is not None:
                attributes[Attr.PARENT_RUN_ID] = parent_run_id
        fields: tuple[Any, ...] = (
            trace.trace_id,
            run.span_id,
            None if parent is None else parent.span_id,
            name,
            kind,
            now,
            None if deferred or not self._content else _NULL if inputs is None else inputs,
            attributes,
            context,
        )
        line = self._fast(self._start_line, fields) if kind in _OURS else self._fast(self._start_line, fields, 6)
        self._write(self._sealer.line(_start_record(fields)) if line is None else line)
        if len(runs) > _MAX_OPEN:
            self._evict()

    def token(self, run_id: UUID, text: str) -> None:
        """A model has streamed a chunk."""
        run = self._runs.get(_key(run_id))
        if run is not None and run.counts_now():
            run.stream(text, self._clock() if run.said is None else 0)

    def event(self, run_id: UUID, name: str, content: dict[str, object]) -> None:
        """Something happened within a run."""
        run = self._runs.get(_key(run_id))
        if run is not None and run.counts_now():
            kept = content if self._content else {}
            self._event(run, name, kept)

    def end(
        self,
        run_id: UUID,
        outputs: object,
        *,
        inputs: object = None,
        deferred: bool = False,
        ending: Ending = RETURNED,
        attributes: dict[str, object] | None = None,
        plain_outputs: bool = False,
    ) -> None:
        """A run has ended. ``inputs`` counts when ``deferred``; the other arguments are as for ``start``.

        With ``plain_outputs`` they are of our own making and hold no objects, in all likelihood.
        """
        now = self._clock()
        run = self._runs.pop(run_id.int if type(run_id) is UUID else run_id, None)
        if run is None:
            return
        ending = run.close(ending, streamed=deferred)
        attributes = {} if attributes is None else attributes
        if ending.outcome is not None:
            attributes[Attr.OUTCOME] = ending.outcome
            if ending.outcome is _ABANDONED:
                outputs = run.partial(outputs)
        if not self._content or (outputs is None and ending.status == _ERROR):
            outputs = None
        elif outputs is None:
            outputs = _NULL
        fields: tuple[Any, ...] = (
            run.trace.trace_id,
            run.span_id,
            max(run.started_ns, now),
            ending.status,
            ending.message if self._content else ending.message.partition(":")[0],
            None if not deferred or not self._content else _NULL if inputs is None else inputs,
            outputs,
            attributes,
        )
        line = self._fast(self._end_line, fields) if plain_outputs else self._fast(self._end_line, fields, 5, 6)
        self._write(self._sealer.line(SpanEnd(*fields)) if line is None else line)
        if run.parent is None:
            self.finished += 1
            scope.last_trace.set(TRACE_ID_PREFIX + run.trace.trace_id)

    def fail(self, run_id: UUID, error: BaseException, ending: Ending, outputs: object = None, **more: Any) -> None:  # noqa: ANN401 - arguments of end()
        """A run has raised: its ``exception`` event, and its end. ``more`` is passed on to ``end``."""
        run = self._runs.get(_key(run_id))
        if run is not None and ending.status == _ERROR:
            found: dict[str, object] = dict(exception_attributes(error))
            if not self._content:
                found = {"exception.type": found["exception.type"]}
            self._event(run, "exception", found)
        self.end(run_id, outputs, ending=ending, **more)

    def _event(self, run: Run, name: str, attributes: dict[str, object]) -> None:
        record = SpanEvent(run.trace.trace_id, run.span_id, name, self._clock(), attributes)  # type: ignore[arg-type]
        self._write(self._sealer.line(record))

    def _fast(self, make: Callable[..., bytes], fields: tuple[object, ...], *values: int) -> bytes | None:
        """The line made in one pass; None when the careful way is needed.

        Args:
            make: makes a line from the fields.
            fields: the fields of a record.
            values: which of them are the user's. What objects they hold is read before orjson writes them: Python
                code that runs within orjson lets other threads run, and when one of these changes a list that orjson
                is in the midst of, the process dies of a segmentation fault.
        """
        if self._careful:
            return None
        try:
            if values:
                shown = list(fields)
                for place in values:
                    shown[place] = plain(shown[place])
                line = make(*shown)
            else:
                line = make(*fields)
        except STOPPED:
            raise
        except BaseException:  # noqa: BLE001 - user objects raise anything; the careful way guards each step
            return None
        return None if len(line) > self._limit or holds_secret(line.lower().decode()) else line

    def _again(self, key: object) -> None:
        """A start that came before: another handler of ours is in the run's list."""
        run = self._runs.get(key)
        if run is not None:
            run.copies += 1

    def _left_out(self, parent_run_id: UUID | None) -> bool:
        """Whether a run without a known parent is below one that was left out, or drew the wrong lot."""
        if parent_run_id is not None and _key(parent_run_id) in self._runs:
            return True
        rate = self.settings.sample_rate
        return rate < 1.0 and self._sample() >= rate

    def _context(self, trace: Trace, attributes: dict[str, object]) -> dict[str, object]:
        """The fields of a :class:`TraceContext`."""
        settings, around = self.settings, scope.current_scope()
        tags, metadata = settings.extra_tags, around.metadata
        if around is not scope.NO_SCOPE:
            if trace.session is None and around.session_id:
                trace.session = attributes[Attr.SESSION] = _owner(around.session_id)
            if trace.user is None and around.user_id:
                trace.user = attributes[Attr.USER] = _owner(around.user_id)
            tags = {**tags, **around.tags}
        return {
            "experiment": settings.experiment,
            "experiment_id": settings.experiment_id,
            "tags": tags,
            "metadata": metadata,
        }

    def _evict(self) -> None:
        try:
            self._runs.pop(next(iter(self._runs)))
        except (StopIteration, RuntimeError, KeyError):  # another thread was at it
            return
        self.evicted += 1


def _key(run_id: UUID) -> object:
    """What a run is remembered by. Hashing a UUID is a call of Python code; LangChain does not stop a str either."""
    return run_id.int if type(run_id) is UUID else run_id


def _start_record(fields: tuple[Any, ...]) -> SpanStart:
    context = fields[8]
    return SpanStart._make((*fields[:8], None if context is None else TraceContext(**context)))


def _note_owner(trace: Trace, metadata: Mapping[str, Any], attributes: dict[str, object]) -> None:
    """Session and user, on the first span of the trace that names them: LangGraph's come below the root."""
    if trace.session is None:
        for key in _SESSION_KEYS:
            if metadata.get(key):
                trace.session = attributes[Attr.SESSION] = _owner(metadata[key])
                break
    if trace.user is None and metadata.get("user_id"):
        trace.user = attributes[Attr.USER] = _owner(metadata["user_id"])


def _owner(value: object) -> str:
    return str(value)[:_MAX_ID_LENGTH]
