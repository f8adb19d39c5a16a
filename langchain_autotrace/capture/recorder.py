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
from typing import Any, Final
from uuid import UUID

from langchain_autotrace.capture import scope
from langchain_autotrace.capture.convert import beginning
from langchain_autotrace.capture.line import Kept, Lines, keep_none, line_keepers
from langchain_autotrace.capture.place import LEFT_OUT, Chains, Journal, Place, bridged
from langchain_autotrace.capture.runs import Run, span_ids
from langchain_autotrace.capture.seal import Sealer, without_content
from langchain_autotrace.capture.status import RETURNED, Ending, exception_attributes
from langchain_autotrace.settings import Settings
from langchain_autotrace.span import (
    TRACE_ID_PREFIX,
    Attr,
    ModelSeen,
    Outcome,
    SpanEnd,
    SpanEvent,
    SpanFile,
    SpanStart,
    Status,
    TraceContext,
    TraceUpdate,
)

_MAX_OPEN: Final = 50_000
"""Open runs remembered. LangChain loses the end of some (a generator that is never collected)."""
_MAX_ID_LENGTH: Final = 250
"""MLflow's limit for the value of trace metadata (``MAX_CHARS_IN_TRACE_INFO_METADATA``)."""
_SESSION_KEYS: Final = ("session_id", "thread_id", "conversation_id")
_OWNER_KEYS: Final = frozenset({*_SESSION_KEYS, "user_id"})
_suppressed: Final = scope.suppressed.get
_scope: Final = scope.current.get
_NO_SCOPE: Final = scope.NO_SCOPE
# Looking up a member of an enumeration costs as much as a function call in Python 3.11.
_OK: Final = Status.OK.value
_ERROR: Final = Status.ERROR.value
_ABANDONED: Final = Outcome.ABANDONED
_RUN_ID: Final = Attr.RUN_ID


class Recorder:
    """Turns runs into records, for one set of settings. Thread-safe by the atomicity of a dict's operations.

    ``start`` and ``end`` are long and call little, on purpose: in a program they run once in a while, from memory that
    is not in the processor's caches, and each further function costs a run a microsecond.

    Attributes:
        finished: traces whose root has ended.
        evicted: runs forgotten because too many were open.
    """

    def __init__(
        self,
        settings: Settings,
        lines: Lines,
        journal: Journal,
        *,
        clock: Callable[[], int] = time.time_ns,
        chains: Chains | None = None,
    ) -> None:
        """``lines`` makes lines of records, ``journal`` keeps them.

        ``chains`` is told of root runs, and says what is to be logged as a model.
        """
        self.settings = settings
        self.finished = 0
        self.evicted = 0
        self._keep_line, self._keep_unknown = (
            line_keepers(lines, settings.max_value_bytes) if settings.redact is None else (keep_none, keep_none)
        )
        self._start_kind, self._end_kind = lines.START, lines.END
        self._sealer = Sealer(settings, lines.encode)
        self._journal = journal
        self._clock = clock
        self._ids: list[str] = []
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets
        self._samples = settings.sample_rate < 1.0
        self._content = settings.capture_content
        self._context = _context(settings, scope.NO_SCOPE)
        self._runs: dict[object, Run | None] = {}
        self._chains = chains

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
        try:
            return self._runs.get(run_id.int)
        except AttributeError:
            return self._runs.get(run_id)

    @property
    def journal(self) -> Journal:
        """Where traces are written that go nowhere else."""
        return self._journal

    def knows(self, key: object) -> bool:
        """Whether a run is open, left out or not; ``key`` is its id's number, or an id that has none."""
        return key in self._runs

    def after_fork(self) -> None:
        """In a forked child: the parent's runs are the parent's, and its ids must not come again."""
        self._runs = {}
        self.finished = self.evicted = 0
        self._ids = []
        if self._chains is not None:
            self._chains.after_fork()
        self._sample = random.Random(os.urandom(16)).random  # noqa: S311 - sampling, not secrets

    def start(  # noqa: C901, PLR0912, PLR0917 - by position, and long: the hottest call of the package
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
        try:
            key: object = run_id.int
            parent = None if parent_run_id is None else runs.get(parent_run_id.int)
        except AttributeError:
            key, parent = _key(run_id), runs.get(_key(parent_run_id))
        if key in runs:
            self._again(key)
            return
        bridge = bridged.api
        place = None if bridge is None else bridge.place(self, parent)
        if (
            _suppressed()
            or place is LEFT_OUT
            or (parent is None and (parent_run_id or self._samples) and self._left_out(parent_run_id, place))
        ):
            runs[key] = None
            return
        try:
            ids = self._ids
            span_id = ids.pop()
            trace_id = ids.pop() + ids.pop() if parent is None else parent.trace_id
        except IndexError:
            ids = span_ids()
            span_id = ids.pop()
            trace_id = ids.pop() + ids.pop() if parent is None else parent.trace_id
            self._ids = ids
        run = runs[key] = Run(trace_id, span_id, parent, now)
        if metadata and not _OWNER_KEYS.isdisjoint(metadata):
            _note_owner(run.root, metadata, attributes)
        attributes[_RUN_ID] = run_id
        given = None if deferred or not self._content else (inputs,)
        if parent is not None:
            parent.below += 1
            parent_id, context = parent.span_id, None
        else:
            parent_id, context = None, self._context if _scope() is _NO_SCOPE else self._scoped(run, attributes)
            if parent_run_id is not None:
                attributes[Attr.PARENT_RUN_ID] = parent_run_id
        if bridge is not None:
            if place is not None:
                run.stand(place)
                trace_id, parent_id, context = run.trace_id, place.span_id, place.context
            bridge.started(self, key, run, name, kind)
        if parent is None and self._chains is not None:
            self._note_call(run, (name, kind), attributes, given, context)
        journal = self._journal_of(run) if run.unusual else self._journal
        fields = (self._start_kind, trace_id, span_id, parent_id, name, kind, now, given, attributes, context)
        kept = self._keep_line(fields, journal.put)
        if kept is not True:
            self._keep_otherwise(kept, fields, journal)
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
    ) -> None:
        """A run has ended. ``inputs`` counts when ``deferred``; the other arguments are as for ``start``."""
        now = self._clock()
        try:
            run = self._runs.pop(run_id.int, None)
        except AttributeError:
            run = self._runs.pop(run_id, None)
        if run is None:
            return
        if attributes is None:
            attributes = {}
        unusual = run.unusual
        if unusual or deferred or ending is not RETURNED:
            status, message, before, given = self._settle(run, ending, (inputs, deferred), outputs, attributes)
        else:
            status, message, before, given = _OK, "", None, (outputs,) if self._content else None
        journal = self._journal_of(run) if unusual else self._journal
        fields = (self._end_kind, run.trace_id, run.span_id, now, status, message, before, given, attributes)
        kept = self._keep_line(fields, journal.put)
        if kept is not True:
            self._keep_otherwise(kept, fields, journal)
        parent = run.parent
        if parent is not None:
            parent.below -= 1
        elif not unusual or run.is_root:
            self.finished += 1
            scope.last_trace.set(TRACE_ID_PREFIX + run.trace_id)
        bridge = bridged.api
        if bridge is not None:
            bridge.ended(self, run, run_id)

    def fail(self, run_id: UUID, error: BaseException, ending: Ending, outputs: object = None, **more: Any) -> None:  # noqa: ANN401 - arguments of end()
        """A run has raised: its ``exception`` event, and its end. ``more`` is passed on to ``end``."""
        run = self._runs.get(_key(run_id))
        if run is not None and ending.status == _ERROR:
            found: dict[str, object] = dict(exception_attributes(error))
            if not self._content:
                found = {"exception.type": found["exception.type"]}
            self._event(run, "exception", found)
        self.end(run_id, outputs, ending=ending, **more)

    def keep(self, record: SpanStart | SpanEvent | SpanEnd | SpanFile | TraceUpdate, journal: Journal) -> None:
        """Write a record of another API's span, of plain values that need not be JSON yet.

        Args:
            record: inputs and outputs as ``(value,)`` or None.
            journal: where its trace is written.
        """
        if isinstance(record, SpanFile) and self.settings.redact is not None:
            return  # the hook sees JSON, and what it has not seen must not pass
        if not self._content:
            shown = without_content(record)
            if shown is None:
                return
            record = shown
        fields: tuple[object, ...] | None = None
        if isinstance(record, SpanEnd):
            fields = (self._end_kind, *record)
        elif isinstance(record, SpanStart):
            fields = (self._start_kind, *record[:8], None if record.trace is None else record.trace._asdict())
        if fields is None:
            journal.write(self._sealer.line(record))
        elif (kept := self._keep_line(fields, journal.put)) is not True:
            self._keep_otherwise(kept, fields, journal)

    def _keep_otherwise(self, kept: Kept, fields: tuple[Any, ...], journal: Journal) -> None:
        """Write a line that was not put, for the reason that ``kept`` is."""
        if kept is None:
            kept = self._keep_unknown(fields, journal.put)
        if kept is not True:
            journal.write(kept or self._sealer.line(self._record(fields)))

    def _record(self, fields: tuple[Any, ...]) -> SpanStart | SpanEnd:
        kind, *rest = fields
        if kind == self._end_kind:
            return SpanEnd(*rest)
        context = rest.pop()
        return SpanStart._make((*rest, None if context is None else TraceContext(**context)))

    def context(self, around: scope.Scope) -> dict[str, Any]:
        """The fields of a :class:`TraceContext` for a trace that starts with this said of it."""
        return self._context if around is _NO_SCOPE else _context(self.settings, around)

    def _merge(
        self, run: Run, known: tuple[str, str, object], attributes: dict[str, object]
    ) -> tuple[str, str, object, tuple[object] | None]:
        """Status, message, outputs and, where they were changed, inputs of a run that another API has changed."""
        status, message, outputs = known
        if bridged.api is None:
            return *known, None
        changes = bridged.api.changes(run)
        if status == _OK and changes.status == _ERROR:
            status, message = changes.status, changes.message if self._content else changes.message.partition(":")[0]
        for name, time_ns, found in changes.events:
            self.keep(SpanEvent(run.trace_id, run.span_id, name, time_ns, found), self._journal_of(run))  # type: ignore[arg-type]
        if not self._content:
            return status, message, outputs, None
        attributes |= changes.attributes
        return status, message, outputs if changes.outputs is None else changes.outputs[0], changes.inputs

    def _settle(
        self,
        run: Run,
        ending: Ending,
        first: tuple[object, bool],
        outputs: object,
        attributes: dict[str, object],
    ) -> tuple[str, str, tuple[object] | None, tuple[object] | None]:
        """Status, message, inputs and outputs of a run that did not just return.

        ``first`` is its inputs, and whether they come only now: it streamed.
        """
        inputs, streamed = first
        ending = run.settle(ending, streamed=streamed)
        if ending.outcome is not None:
            attributes[Attr.OUTCOME] = ending.outcome
            if ending.outcome is _ABANDONED:
                outputs = run.partial(outputs)
        status, message = ending.status, ending.message if self._content else ending.message.partition(":")[0]
        changed = None
        if run.live is not None:
            status, message, outputs, changed = self._merge(run, (status, message, outputs), attributes)
        given = (outputs,) if self._content and (outputs is not None or status == _OK) else None
        before = changed or ((inputs,) if self._content and streamed else None)
        if run.call is not None:
            self._note_return(run, status, before, outputs, attributes)
        return status, message, before, given

    def _event(self, run: Run, name: str, attributes: dict[str, object]) -> None:
        record = SpanEvent(run.trace_id, run.span_id, name, self._clock(), attributes)  # type: ignore[arg-type]
        self._journal_of(run).write(self._sealer.line(record))

    def _note_call(
        self,
        run: Run,
        named: tuple[str, str],
        attributes: dict[str, object],
        given: object,
        context: dict[str, Any] | None,
    ) -> None:
        """The run may be one of a chain that is to be logged as a model."""
        chosen = (None, None) if context is None else (context["experiment"], context["experiment_id"])
        home = id(self._journal_of(run)), *chosen
        call = None if self._chains is None else self._chains.started(*named, attributes, given, home)
        if call is not None:
            run.note(call=call)

    def _note_return(
        self, run: Run, status: str, given: object, outputs: object, attributes: Mapping[str, object]
    ) -> None:
        """Write down what is to be logged of the chain, before the end that has its trace delivered."""
        is_ok = status == _OK and Attr.OUTCOME not in attributes
        form = None if self._chains is None else self._chains.ended(run.call, given, outputs, is_ok=is_ok)
        line = (
            None if form is None else self._sealer.model_line(ModelSeen(run.trace_id, run.call.content.hash, b""), form)
        )
        if line is not None:
            self._journal_of(run).write(line)

    def _journal_of(self, run: Run) -> Journal:
        return self._journal if run.journal is None else run.journal

    def _again(self, key: object) -> None:
        """A start that came before: another handler of ours is in the run's list."""
        run = self._runs.get(key)
        if run is not None:
            run.copies += 1

    def _left_out(self, parent_run_id: UUID | None, place: Place | None) -> bool:
        """Whether a run without a known parent is below one that was left out, or drew the wrong lot."""
        if parent_run_id is not None and _key(parent_run_id) in self._runs:
            return True
        if place is not None and place.trace_id is not None:  # decided when that trace started
            return False
        return self._samples and self._sample() >= self.settings.sample_rate

    def _scoped(self, root: Run, attributes: dict[str, object]) -> dict[str, Any]:
        """What the program has said of the trace with ``context()``."""
        around = _scope()
        if root.session is None and around.session_id:
            root.session = attributes[Attr.SESSION] = _owner(around.session_id)
        if root.user is None and around.user_id:
            root.user = attributes[Attr.USER] = _owner(around.user_id)
        return _context(self.settings, around)

    def _evict(self) -> None:
        try:
            self._runs.pop(next(iter(self._runs)))
        except (StopIteration, RuntimeError, KeyError):  # another thread was at it
            return
        self.evicted += 1


def _key(run_id: UUID | None) -> object:
    """What a run is remembered by. Hashing a UUID is a call of Python code; LangChain does not stop a str either."""
    return run_id.int if type(run_id) is UUID else run_id


def _context(settings: Settings, around: scope.Scope) -> dict[str, Any]:
    """The fields of a :class:`TraceContext`."""
    return {
        "experiment": settings.experiment,
        "experiment_id": settings.experiment_id,
        "tags": {**settings.extra_tags, **around.tags},
        "metadata": around.metadata,
    }


def _note_owner(root: Run, metadata: Mapping[str, Any], attributes: dict[str, object]) -> None:
    """Session and user, on the first span of the trace that names them: LangGraph's come below the root."""
    if root.session is None:
        for key in _SESSION_KEYS:
            if metadata.get(key):
                root.session = attributes[Attr.SESSION] = _owner(metadata[key])
                break
    if root.user is None and metadata.get("user_id"):
        root.user = attributes[Attr.USER] = _owner(metadata["user_id"])


def _owner(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_ID_LENGTH else beginning(text, _MAX_ID_LENGTH)
