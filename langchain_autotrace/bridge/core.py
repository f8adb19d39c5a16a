"""The bridge itself: puts MLflow spans and LangChain runs into the same traces and the same journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from mlflow.tracing.processor.mlflow_v3 import MlflowV3SpanProcessor

from langchain_autotrace.bridge import journaled, nesting, targets
from langchain_autotrace.bridge.id_generator import Ids
from langchain_autotrace.bridge.known_traces import Traces, live_span, trace_info
from langchain_autotrace.bridge.processor import JournalSpanProcessor, set_last
from langchain_autotrace.bridge.sampling import Sampler
from langchain_autotrace.capture import scope
from langchain_autotrace.capture.enclosing import callback_manager, run_of
from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.capture.interfaces import NOT_SAMPLED, UNCHANGED, Changes, ParentSpan
from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.semconv import Attr

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, SpanContext

    from langchain_autotrace.capture.interfaces import Journal
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.capture.runs import Run
    from langchain_autotrace.settings import Settings

_logger: Final = logging.getLogger("langchain_autotrace")

_FIXED: Final = targets.SettingsSnapshot(is_fixed=True)

_BOTH_ON: Final = (
    "mlflow.langchain.autolog() is also on, so LangChain runs are left to it to avoid duplicate traces. "
    "To trace them with langchain_autotrace, call mlflow.langchain.autolog(disable=True)."
)


class MlflowBridge:
    """Links capture and MLflow: tells the recorder about MLflow spans, and MLflow about LangChain runs.

    Attributes:
        current: returns the recorder that ``autolog()`` has switched on; None when tracing is off.
        flush: delivers everything captured.
        context: MLflow's runtime context.
        traces: traces that the bridge shares with MLflow.
    """

    def __init__(
        self,
        current: Callable[[], Recorder | None],
        journal_for: Callable[[Settings], Journal],
        flush: Callable[[], object],
        snapshots: Mapping[Recorder, targets.SettingsSnapshot],
    ) -> None:
        """Create the bridge; ``install.Installation`` puts it in place.

        Args:
            current: as the attribute.
            journal_for: returns the journal for settings.
            flush: as the attribute.
            snapshots: MLflow's settings at the time when each recorder was switched on.
        """
        self.current = current
        self.flush = flush
        self.context: nesting.RunAwareContext | None = None
        self._targets = targets.TraceTargets(journal_for)
        self._snapshots = snapshots
        self.traces = Traces()
        self._ids = Ids()
        self._leaves: set[Run] = set()
        self._lock = threading.RLock()
        self._has_warned = False

    def after_fork(self) -> None:
        """Forget the parent's runs and spans in a forked child."""
        self._lock = threading.RLock()
        self.traces, self._leaves = Traces(), set()
        self._ids.after_fork()

    def processor(self, before: SpanProcessor | None = None) -> JournalSpanProcessor:
        """Return a span processor for MLflow's tracer provider.

        Args:
            before: the processor that it replaces, which still gets the end of spans whose start it has seen.
        """
        return JournalSpanProcessor(self, before)

    def adopt(self, provider: TracerProvider) -> None:
        """Make a tracer provider use ``autolog()``'s sample rate and the bridge's id generator."""
        provider.sampler = Sampler(provider.sampler, self._rate)
        provider.id_generator = self._ids  # type: ignore[assignment] # any IdGenerator will do

    def _rate(self) -> float:
        recorder = self.current()
        return 1.0 if recorder is None else recorder.settings.sample_rate

    def take_over(self, provider: TracerProvider) -> None:
        """Replace MLflow's span processor on a tracer provider that MLflow has already created."""
        multi = provider._active_span_processor  # noqa: SLF001 - no public way
        multi._span_processors = tuple(  # noqa: SLF001
            self.processor(one) if isinstance(one, MlflowV3SpanProcessor) else one
            for one in multi._span_processors  # noqa: SLF001
        )
        self.adopt(provider)

    def serves(self, provider: object) -> bool:
        """Return whether a tracer provider has the bridge's span processor."""
        multi = getattr(provider, "_active_span_processor", None)
        return any(isinstance(one, JournalSpanProcessor) for one in getattr(multi, "_span_processors", ()))

    # Called by the recorder.

    def parent_span(self, recorder: Recorder, parent: Run | None) -> ParentSpan | None:
        """Return where to attach a run that starts now; None for below its LangChain parent."""
        try:
            return self._parent_span(recorder, parent)
        except Exception as error:  # noqa: BLE001 - the run is traced whatever MLflow raises
            internal_errors.note("parent_span", error)
            return None

    def _parent_span(self, recorder: Recorder, parent: Run | None) -> ParentSpan | None:
        if targets.is_off() or (parent is None and self._yields()):
            return NOT_SAMPLED
        # A handler with its own settings has traces of its own: its recorder is not among the snapshots.
        around = self.context.of_mlflow() if self.context is not None and recorder in self._snapshots else None
        if around is not None and around.is_valid and (parent is None or not nesting.is_around(around, parent)):
            below = self._below(around, recorder)
            if below is not None:
                return below
        if parent is not None:
            return None
        found = self.target(recorder)
        return ParentSpan(found.journal, context=found.context)

    def _below(self, around: SpanContext, recorder: Recorder) -> ParentSpan | None:
        """Return an MLflow span as the parent of a new run; None if MLflow's spans do not go to the journal (OTLP)."""
        if not around.trace_flags.sampled:
            return NOT_SAMPLED
        trace_id, span_id = f"{around.trace_id:032x}", f"{around.span_id:016x}"
        known = self.traces.get(around.trace_id)
        if known is not None:
            return ParentSpan(known.journal, trace_id, span_id)
        if not around.is_remote and not self.serves(targets.tracer_provider()):
            return None
        found = self.target(recorder)
        return ParentSpan(found.journal, trace_id, span_id, found.context)

    def target(self, recorder: Recorder, experiment_id: str | None = None) -> targets.TraceTarget:
        """Return the target of a trace that starts now; ``experiment_id`` is one that its first span names."""
        return self._targets.of(recorder, self._snapshots.get(recorder, _FIXED), experiment_id)

    def started(self, run: Run) -> None:
        """Remember an open model or retriever run: LangChain sets no context variable for its methods."""
        if run.type in nesting.LEAVES:
            self._leaves.add(run)

    def changes(self, run: Run) -> Changes:
        """Return what the program has changed on a run through its MLflow span."""
        try:
            return self._changes(run)
        except Exception as error:  # noqa: BLE001 - the run's end is written whatever MLflow raises
            internal_errors.note("changes", error)
            return UNCHANGED

    def _changes(self, run: Run) -> Changes:
        live: Any = run.live
        span = live._span  # noqa: SLF001 - no public way, as below
        if not span.is_recording():
            return UNCHANGED
        found = journaled.values(span.attributes)
        span.end()
        self.traces.tell(int(run.trace_id, 16))
        kind = found.pop(Attr.SPAN_TYPE, run.type)
        inputs, outputs = found.pop(Attr.INPUTS, None), found.pop(Attr.OUTPUTS, None)
        found.pop(Attr.TRACE_REQUEST_ID, None)
        if kind != run.type:
            found[Attr.SPAN_TYPE] = kind
        status, message = journaled.status_of(span)
        return Changes(
            attributes=found,
            events=journaled.events_of(span),
            inputs=None if inputs is None else [inputs],
            outputs=None if outputs is None else [outputs],
            status=status,
            message=message,
        )

    def ended(self, run: Run) -> None:
        """Forget a run, and its trace if the run is the root."""
        self._leaves.discard(run)
        if run.parent is None:
            if run.is_root:
                set_last(TRACE_ID_PREFIX + run.trace_id)
            if run.live is not None:
                self.traces.end_root(int(run.trace_id, 16))

    def _yields(self) -> bool:
        """Return whether MLflow's own LangChain autolog traces the runs; warn about it once."""
        if not targets.is_traced_by_mlflow():
            return False
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(_BOTH_ON)
        return True

    # Called by MLflow's runtime context.

    def innermost_run(self) -> Run | Literal[False] | None:
        """Return the innermost run that encloses the calling code; None without one, False if it is not traced."""
        run: Run | None = None
        current = self.current()
        manager = callback_manager()
        if manager is not None:
            found = run_of(manager, manager.parent_run_id, current)
            if found is False:  # not traced, nor are its spans, unless MLflow's autolog traces the run
                return None if self._yields() else False
            run = found or None
        if self._leaves:
            leaf_manager = nesting.leaf_on_stack()
            leaf = run_of(leaf_manager, getattr(leaf_manager, "run_id", None), current) or None
            if leaf is not None and (run is None or nesting.descends(leaf, run)):
                run = leaf
        return run

    def live(self, run: Run) -> Span:
        """Return the MLflow span that represents a run, created on first use together with its ancestors'."""
        if run.live is None:
            with self._lock:
                if run.live is None:
                    run.note(live=self._make_live(run))
        span: Span = run.live._span  # noqa: SLF001 - no public way
        return span

    def _make_live(self, run: Run) -> LiveSpan:
        if run.parent is not None:
            self.live(run.parent)
        number = int(run.trace_id, 16)
        context = run.parent_span.context if run.parent_span is not None else None
        recorder = run.recorder
        info = trace_info(number, run.name, run.started_ns, context or recorder.context(scope.NO_SCOPE))
        known = self.traces.register(info, recorder, run.journal)
        span = live_span(run)
        self.traces.add(number, span, known.info)
        return span
