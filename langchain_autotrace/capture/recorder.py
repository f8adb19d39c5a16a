"""Runs that are open, and the records they become.

The recorder knows nothing of LangChain's callbacks: it is told that a run has started, had an event, or has ended,
and calls ``emit`` with a record whose values are already JSON, scrubbed and cut.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

import orjson

from langchain_autotrace.capture import redact, scope
from langchain_autotrace.capture.encode import encode
from langchain_autotrace.capture.status import Ending, error_text, exception_attributes
from langchain_autotrace.settings import Settings
from langchain_autotrace.span import (
    TRACE_ID_PREFIX,
    Attr,
    Json,
    Outcome,
    Record,
    SpanEnd,
    SpanEvent,
    SpanStart,
    Status,
    TraceContext,
)

Emit: TypeAlias = Callable[[Record], bool]
"""Takes a record; returns whether it was kept."""

_logger: Final = logging.getLogger("langchain_autotrace")

_MAX_OPEN: Final = 50_000
"""Open runs remembered. LangChain loses the end of some (a generator that is never collected)."""
_MAX_ID_LENGTH: Final = 250
"""MLflow's limit for the value of trace metadata (``MAX_CHARS_IN_TRACE_INFO_METADATA``)."""
_MAX_NAME: Final = 1_000
_SESSION_KEYS: Final = ("session_id", "thread_id", "conversation_id")
_NOTHING: Final = b"{}"


class Ids:
    """Random ids. Not from the ``random`` module's own generator, which programs seed."""

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))  # noqa: S311 - ids, not secrets

    def trace(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._random.getrandbits(128) or 1:032x}"

    def span(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._random.getrandbits(64) or 1:016x}"


class Run:
    """An open run."""

    __slots__ = ("chunks", "copies", "cut", "first_chunk_ns", "parent", "said", "span_id", "started_ns", "trace", "turn")

    def __init__(self, trace: Trace, span_id: str, parent: Run | None, started_ns: int) -> None:
        self.trace = trace
        self.span_id = span_id
        self.parent = parent
        self.started_ns = started_ns
        self.chunks = 0
        self.first_chunk_ns = 0
        self.said: list[str] | None = None
        """Text streamed so far by this model, or by the model below this chain that streams."""
        self.cut: dict[str, int] | None = None
        self.copies = 1
        """How many handlers in the run's list are ours: each event then comes that many times."""
        self.turn = 0


class Trace:
    """What the runs of one trace share."""

    __slots__ = ("session", "trace_id", "user")

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.session: str | None = None
        self.user: str | None = None


class Recorder:
    """Turns runs into records, for one set of settings. Thread-safe by the atomicity of a dict's operations.

    Attributes:
        finished: traces whose root has ended.
        evicted: runs forgotten because too many were open.
        redact_failures: values lost to an exception of the user's hook.
    """

    def __init__(
        self, settings: Settings, emit: Emit, *, clock: Callable[[], int] = time.time_ns, ids: Ids | None = None
    ) -> None:
        self.settings = settings
        self.finished = 0
        self.evicted = 0
        self.redact_failures = 0
        self._emit = emit
        self._clock = clock
        self._ids = ids or Ids()
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets
        self._runs: dict[UUID, Run | None] = {}
        self._redact_lock = threading.Lock()

    @property
    def open_runs(self) -> int:
        """Runs started and not ended, those left out included."""
        return len(self._runs)

    def get(self, run_id: UUID) -> Run | None:
        """The open run, or None when it is unknown or left out."""
        return self._runs.get(run_id)

    def after_fork(self) -> None:
        """In a forked child: the parent's runs are the parent's, and its ids must not come again."""
        self._runs = {}
        self.finished = self.evicted = self.redact_failures = 0
        self._ids = type(self._ids)()
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets

    def start(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        *,
        name: str,
        kind: str,
        inputs: object,
        deferred: bool = False,
        metadata: Mapping[str, Any] | None = None,
        attributes: Mapping[str, object] | None = None,
        content: Mapping[str, object] | None = None,
    ) -> None:
        """A run has started.

        Args:
            run_id: LangChain's id of it.
            parent_run_id: the run it belongs to; a root's is None, or unknown to us (traced by others).
            name: the span's name.
            kind: a value of ``SpanType``.
            inputs: any value.
            deferred: the inputs come with the end.
            metadata: LangChain's metadata, from which session and user are read.
            attributes: our own: names, counts, ids.
            content: the user's: they pass the redact hook.
        """
        now = self._clock()
        runs = self._runs
        known = runs.get(run_id)
        if known is not None:
            known.copies += 1
            return
        parent = runs.get(parent_run_id) if parent_run_id is not None else None
        if scope.is_suppressed() or (parent is None and self._left_out(parent_run_id)):
            runs[run_id] = None
            return
        trace = parent.trace if parent is not None else Trace(self._ids.trace())
        run = runs[run_id] = Run(trace, self._ids.span(), parent, now)
        own: dict[str, object] = {Attr.RUN_ID: run_id, **(attributes or {})}
        whole = None
        if metadata:
            self._note_owner(trace, metadata, own)
        if parent is None:
            whole = self._context(trace, own)
            if parent_run_id is not None:
                own[Attr.PARENT_RUN_ID] = parent_run_id
        sealed = None if deferred else self._content(run, "inputs", inputs)
        self._emit(
            SpanStart(
                trace_id=trace.trace_id,
                span_id=run.span_id,
                parent_id=None if parent is None else parent.span_id,
                name=_clean_name(name),
                type=kind,
                time_ns=now,
                inputs=sealed,
                attributes=self._attributes(own, content, run.cut),
                trace=whole,
            )
        )
        if len(runs) > _MAX_OPEN:
            self._evict()

    def token(self, run_id: UUID, text: str) -> None:
        """A model has streamed a chunk."""
        run = self._runs.get(run_id)
        if run is None or (run.copies > 1 and not run_turn(run)):
            return
        run.chunks += 1
        if run.said is None:
            run.first_chunk_ns = self._clock()
            run.said = said = []
            above = run.parent
            while above is not None:
                above.said = said
                above = above.parent
        run.said.append(text)

    def event(self, run_id: UUID, name: str, content: Mapping[str, object]) -> None:
        """Something happened within a run."""
        now = self._clock()
        run = self._runs.get(run_id)
        if run is None or (run.copies > 1 and not run_turn(run)):
            return
        sealed = self._attributes({}, content) if self.settings.capture_content else _NOTHING
        self._emit(SpanEvent(run.trace.trace_id, run.span_id, _clean_name(name), now, sealed))

    def end(
        self,
        run_id: UUID,
        outputs: object,
        *,
        inputs: object = None,
        deferred: bool = False,
        ending: Ending = Ending(Status.OK, None, ""),  # noqa: B008 - immutable
        attributes: Mapping[str, object] | None = None,
        content: Mapping[str, object] | None = None,
    ) -> None:
        """A run has ended. ``inputs`` counts when ``deferred``; the other arguments are as for ``start``."""
        now = self._clock()
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        own: dict[str, object] = dict(attributes or {})
        if ending.outcome is not None:
            own[Attr.OUTCOME] = ending.outcome
        if ending.outcome is Outcome.ABANDONED and outputs is None and run.said:
            outputs = "".join(run.said)
        asked = self._content(run, "inputs", inputs) if deferred else None
        answered = None if outputs is None and ending.status is Status.ERROR else self._content(run, "outputs", outputs)
        self._emit(
            SpanEnd(
                trace_id=run.trace.trace_id,
                span_id=run.span_id,
                time_ns=max(now, run.started_ns),
                status=ending.status,
                message=self._message(ending.message),
                inputs=asked,
                outputs=answered,
                attributes=self._attributes(own, content, run.cut),
            )
        )
        if run.parent is None:
            self.finished += 1
            scope.last_trace.set(TRACE_ID_PREFIX + run.trace.trace_id)

    def fail(self, run_id: UUID, error: BaseException, ending: Ending, outputs: object = None, **more: Any) -> None:
        """A run has raised: its ``exception`` event, and its end. ``more`` is passed on to ``end``."""
        if ending.status is Status.ERROR and self._runs.get(run_id) is not None:
            self._exception(run_id, error)
        self.end(run_id, outputs, ending=ending, **more)

    def _exception(self, run_id: UUID, error: BaseException) -> None:
        run = self._runs.get(run_id)
        if run is None:
            return
        found = exception_attributes(error)
        if not self.settings.capture_content:
            found = {"exception.type": found["exception.type"]}
        sealed = self._attributes({}, found)
        self._emit(SpanEvent(run.trace.trace_id, run.span_id, "exception", self._clock(), sealed))

    def _left_out(self, parent_run_id: UUID | None) -> bool:
        """Whether a run without a known parent is below one that was left out, or drew the wrong lot."""
        if parent_run_id is not None and parent_run_id in self._runs:
            return True
        rate = self.settings.sample_rate
        return rate < 1.0 and self._sample() >= rate

    def _note_owner(self, trace: Trace, metadata: Mapping[str, Any], own: dict[str, object]) -> None:
        """Session and user, on the first span of the trace that names them: LangGraph's come below the root."""
        if trace.session is None:
            named = next((metadata[key] for key in _SESSION_KEYS if metadata.get(key)), None)
            if named is not None:
                trace.session = own[Attr.SESSION] = self._owner(named)
        if trace.user is None and metadata.get("user_id"):
            trace.user = own[Attr.USER] = self._owner(metadata["user_id"])

    def _owner(self, value: object) -> str:
        return redact.scrub_text(_clean_name(str(value)))[:_MAX_ID_LENGTH]

    def _context(self, trace: Trace, own: dict[str, object]) -> TraceContext:
        settings, around = self.settings, scope.current_scope()
        if trace.session is None and around.session_id:
            trace.session = own[Attr.SESSION] = self._owner(around.session_id)
        if trace.user is None and around.user_id:
            trace.user = own[Attr.USER] = self._owner(around.user_id)
        tags = {**settings.extra_tags, **around.tags} if around.tags else settings.extra_tags
        return TraceContext(
            settings.experiment,
            settings.experiment_id,
            self._labels(tags) if tags else {},
            self._labels(around.metadata) if around.metadata else {},
        )

    def _labels(self, pairs: Mapping[str, str]) -> dict[str, str]:
        sealed: dict[str, str] = orjson.loads(redact.scrub(encode(dict(pairs), self.settings.max_value_bytes).json))
        return sealed

    def _content(self, run: Run, what: str, value: object) -> Json | None:
        """A value of the user's as it may be written down; None with content capture off."""
        settings = self.settings
        if not settings.capture_content:
            return None
        text, cut_from = encode(value, settings.max_value_bytes)
        if cut_from is not None:
            run.cut = {**(run.cut or {}), what: cut_from}
        text = redact.scrub(text)
        return text if settings.redact is None else self._redacted(settings.redact, text)

    def _attributes(
        self, own: dict[str, object], content: Mapping[str, object] | None, cut: Mapping[str, int] | None = None
    ) -> Json:
        """Our attributes and the user's as one JSON object; only the user's pass the hook."""
        if cut is not None:
            own[Attr.TRUNCATED] = cut
        hook = self.settings.redact
        if content and hook is not None:
            theirs = orjson.loads(self._redacted(hook, redact.scrub(encode(content, self.settings.max_value_bytes).json)))
            own = {**(theirs if isinstance(theirs, dict) else {}), **own}
        elif content:
            own = {**content, **own}
        if not own:
            return _NOTHING
        text, cut_from = encode(own, self.settings.max_value_bytes)
        if cut_from is not None:
            note = {Attr.TRUNCATED: {**(cut or {}), "attributes": cut_from}}
            text = orjson.dumps({**_object(text), **note})
        return redact.scrub(text)

    def _message(self, text: str) -> str:
        if not text:
            return ""
        if not self.settings.capture_content:
            return text.partition(":")[0]
        clean = redact.scrub_text(_clean_name(text, self.settings.max_value_bytes // 4))
        hook = self.settings.redact
        return clean if hook is None else str(orjson.loads(self._redacted(hook, orjson.dumps(clean))))

    def _redacted(self, hook: Callable[[Any], Any], text: Json) -> Json:
        kept, error = redact.apply(hook, text)
        if error is not None:
            with self._redact_lock:
                self.redact_failures += 1
                first = self.redact_failures == 1
            if first and not self.settings.silent:
                _logger.warning("the redact hook raised %s: the value was dropped.", error_text(error))
        return kept

    def _evict(self) -> None:
        try:
            self._runs.pop(next(iter(self._runs)))
        except (StopIteration, RuntimeError, KeyError):  # another thread was at it
            return
        self.evicted += 1


def run_turn(run: Run) -> bool:
    """Whether this call of a repeated event is the one that counts."""
    run.turn = (run.turn + 1) % run.copies
    return run.turn == 0


def _clean_name(text: str, most: int = _MAX_NAME) -> str:
    return text[:most] if text.isascii() else text[:most].encode("utf-8", "backslashreplace").decode()


def _object(text: Json) -> dict[str, Any]:
    found = orjson.loads(text)
    return found if isinstance(found, dict) else {"cut": found}
