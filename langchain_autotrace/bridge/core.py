"""The bridge: MLflow's spans around LangChain's runs and within them, in the same traces and the same journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mlflow.tracing.processor.mlflow_v3 import MlflowV3SpanProcessor

from langchain_autotrace.bridge import home, nesting, spans
from langchain_autotrace.bridge.ids import Ids
from langchain_autotrace.bridge.processor import JournalSpanProcessor, set_last
from langchain_autotrace.bridge.sampling import Sampler
from langchain_autotrace.bridge.traces import Traces, live_span, trace_info
from langchain_autotrace.capture import scope
from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.capture.place import LEFT_OUT, UNCHANGED, Changes, Place
from langchain_autotrace.span import TRACE_ID_PREFIX, Attr

if TYPE_CHECKING:
    from mlflow.entities import LiveSpan
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, SpanContext

    from langchain_autotrace.capture.place import Journal
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.capture.runs import Run
    from langchain_autotrace.settings import Settings

_logger: Final = logging.getLogger("langchain_autotrace")

_FIXED: Final = home.Mark(is_fixed=True)

_BOTH: Final = (
    "mlflow.langchain.autolog() is on as well, so LangChain's runs are left to it, that none is traced twice. "
    "Call mlflow.langchain.autolog(disable=True) to have them traced by langchain_autotrace."
)


class MlflowBridge:
    """Answers the recorder's questions about MLflow, and MLflow's about the runs.

    Attributes:
        current: gives the recorder that ``autolog()`` has switched on; None when tracing is off.
        flush: delivers everything captured.
        context: MLflow's runtime context.
        traces: those that MLflow knows because of the bridge.
    """

    def __init__(
        self,
        current: Callable[[], Recorder | None],
        recorders: Callable[[], Iterable[Recorder]],
        journal_for: Callable[[Settings], Journal],
        flush: Callable[[], object],
        marks: Mapping[Recorder, home.Mark],
    ) -> None:
        """Wire it up.

        Args:
            current: as the attribute.
            recorders: all recorders of the process.
            journal_for: the journal of settings.
            flush: as the attribute.
            marks: what MLflow was set to when the recorders' settings were made.
        """
        self.current = current
        self.flush = flush
        self.context: nesting.RunAwareContext | None = None
        self._recorders = recorders
        self._homes = home.Homes(journal_for)
        self._marks = marks
        self.traces = Traces()
        self._ids = Ids()
        self._leaves: dict[object, Run] = {}
        self._lock = threading.RLock()
        self._has_warned = False

    def after_fork(self) -> None:
        """In a forked child: the parent's runs and spans are the parent's."""
        self._lock = threading.RLock()
        self.traces, self._leaves = Traces(), {}
        self._ids.after_fork()

    def processor(self, before: SpanProcessor | None = None) -> JournalSpanProcessor:
        """What MLflow's tracer provider calls; ``before`` goes on with spans that it has seen the start of."""
        return JournalSpanProcessor(self, before)

    def adopt(self, provider: TracerProvider) -> None:
        """Have a tracer provider sample as ``autolog()`` was told, and make ids of its own."""
        provider.sampler = Sampler(provider.sampler, self._rate)
        provider.id_generator = self._ids  # type: ignore[assignment] # the base class is what is asked for

    def _rate(self) -> float:
        recorder = self.current()
        return 1.0 if recorder is None else recorder.settings.sample_rate

    def take_over(self, provider: TracerProvider) -> None:
        """Serve a tracer provider that MLflow has made already, in place of its processor."""
        multi = provider._active_span_processor  # noqa: SLF001 - no public way
        multi._span_processors = tuple(  # noqa: SLF001
            self.processor(one) if isinstance(one, MlflowV3SpanProcessor) else one
            for one in multi._span_processors  # noqa: SLF001
        )
        self.adopt(provider)

    def serves(self, provider: object) -> bool:
        """Whether a tracer provider calls us."""
        multi = getattr(provider, "_active_span_processor", None)
        return any(isinstance(one, JournalSpanProcessor) for one in getattr(multi, "_span_processors", ()))

    # As the recorder asks.

    def place(self, recorder: Recorder, parent: Run | None) -> Place | None:
        """Where a run that starts now stands; None: below its parent, as LangChain says."""
        try:
            return self._place(recorder, parent)
        except Exception as error:  # noqa: BLE001 - whatever MLflow says, the run is traced
            internal_errors.note("place", error)
            return None

    def _place(self, recorder: Recorder, parent: Run | None) -> Place | None:
        if home.is_off() or (parent is None and self._yields()):
            return LEFT_OUT
        # A handler that was given settings of its own has traces of its own.
        around = self.context.of_mlflow() if self.context is not None and recorder in self._marks else None
        if around is not None and around.is_valid and (parent is None or not nesting.is_around(around, parent)):
            below = self._below(around, recorder)
            if below is not None:
                return below
        if parent is not None:
            return None
        found = self.home(recorder)
        return Place(found.journal, context=found.context)

    def _below(self, around: SpanContext, recorder: Recorder) -> Place | None:
        """Below a span of MLflow's, of this process or another; None where MLflow sends its spans elsewhere (OTLP)."""
        if not around.trace_flags.sampled:
            return LEFT_OUT
        trace_id, span_id = f"{around.trace_id:032x}", f"{around.span_id:016x}"
        known = self.traces.get(around.trace_id)
        if known is not None:
            return Place(known.journal, trace_id, span_id)
        if not around.is_remote and not self.serves(home.tracer_provider()):
            return None
        found = self.home(recorder)
        return Place(found.journal, trace_id, span_id, found.context)

    def home(self, recorder: Recorder, experiment_id: str | None = None) -> home.Home:
        """Where a trace that starts now goes."""
        return self._homes.of(recorder, self._marks.get(recorder, _FIXED), experiment_id)

    def started(self, recorder: Recorder, run_id: object, run: Run, name: str, kind: str) -> None:
        """Note what MLflow may ask of a run."""
        run.name, run.kind, run.recorder = name, kind, recorder
        if run.place is None and run.parent is not None and run.parent.journal is not None:
            run.note(journal=run.parent.journal)
        if kind in nesting.LEAVES:
            self._leaves[run_id] = run

    def changes(self, run: Run) -> Changes:
        """What was made of a run through the span that stands for it."""
        try:
            return self._changes(run)
        except Exception as error:  # noqa: BLE001 - as above: the run's end is written
            internal_errors.note("changes", error)
            return UNCHANGED

    def _changes(self, run: Run) -> Changes:
        live: Any = run.live
        span = live._span  # noqa: SLF001 - no public way, as below
        if not span.is_recording():
            return UNCHANGED
        found = spans.values(span.attributes)
        span.end()
        self.traces.tell(int(run.trace_id, 16))
        kind = found.pop(Attr.SPAN_TYPE, run.kind)
        inputs, outputs = found.pop(Attr.INPUTS, None), found.pop(Attr.OUTPUTS, None)
        found.pop(Attr.TRACE_REQUEST_ID, None)
        if kind != run.kind:
            found[Attr.SPAN_TYPE] = kind
        status, message = spans.status_of(span)
        return Changes(
            attributes=found,
            events=spans.events_of(span),
            inputs=None if inputs is None else (inputs,),
            outputs=None if outputs is None else (outputs,),
            status=status,
            message=message,
        )

    def ended(self, recorder: Recorder, run: Run, run_id: object) -> None:  # noqa: ARG002 - the protocol's
        """Forget a run, and with the root its trace."""
        if run.kind in nesting.LEAVES:
            self._leaves.pop(getattr(run_id, "int", run_id), None)
        if run.parent is None:
            if run.is_root:
                set_last(TRACE_ID_PREFIX + run.trace_id)
            if run.live is not None:
                self.traces.end_root(int(run.trace_id, 16))

    def _yields(self) -> bool:
        """Whether MLflow's own autolog traces the runs; said once."""
        if not home.is_traced_by_mlflow():
            return False
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(_BOTH)
        return True

    # As MLflow's runtime context asks.

    def innermost_run(self) -> Run | bool | None:
        """The run around this code; None when there is none, False when it is one that is not traced."""
        run: Run | None = None
        run_id = nesting.config_run_id()
        if run_id is not None:
            recorder = self._recorder_of(getattr(run_id, "int", run_id))
            if recorder is not None:
                run = recorder.get(run_id)  # type: ignore[arg-type] # whatever LangChain's id is
                if run is None:  # left out, and its spans with it, unless it is left to MLflow
                    return None if self._yields() else False
        if self._leaves:
            leaf_id = nesting.leaf_on_stack()
            leaf = self._leaves.get(getattr(leaf_id, "int", leaf_id))
            if leaf is not None and (run is None or nesting.descends(leaf, run)):
                run = leaf
        return run

    def _recorder_of(self, key: object) -> Recorder | None:
        """Who traces a run; of several ``autolog()``'s."""
        current = self.current()
        if current is not None and current.knows(key):
            return current
        return next((recorder for recorder in self._recorders() if recorder.knows(key)), None)

    def live(self, run: Run) -> Span:
        """The span that stands for a run in MLflow; made with those above it when somebody asks for the first time."""
        if run.live is None:
            with self._lock:
                if run.live is None:
                    run.note(live=self._made_live(run))
        span: Span = run.live._span  # type: ignore[attr-defined] # noqa: SLF001 - no public way
        return span

    def _made_live(self, run: Run) -> LiveSpan:
        if run.parent is not None:
            self.live(run.parent)
        number = int(run.trace_id, 16)
        context = run.place.context if run.place is not None else None
        recorder: Recorder = run.recorder
        info = trace_info(number, run.name, run.started_ns, context or recorder.context(scope.NO_SCOPE))
        known = self.traces.register(info, recorder, run.journal or recorder.journal)
        span = live_span(run)
        self.traces.add(number, span, known.info)
        return span
