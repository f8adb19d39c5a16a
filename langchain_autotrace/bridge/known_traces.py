"""Registers traces with MLflow's trace manager, and writes to the journal what the program changes on them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from mlflow.entities import LiveSpan, TraceInfo, TraceLocation, TraceState
from mlflow.tracing.constant import TraceTagKey
from mlflow.tracing.trace_manager import InMemoryTraceManager
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, _Span
from opentelemetry.trace import SpanContext, TraceFlags

from langchain_autotrace.bridge.journaled import JournaledSpan, update_of
from langchain_autotrace.ids import TRACE_ID_PREFIX, span_digits

if TYPE_CHECKING:
    from langchain_autotrace.capture.interfaces import Journal
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.capture.runs import Run
    from langchain_autotrace.records import TraceContext

_DEFAULT_EXPERIMENT: Final = "0"
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_RESOURCE: Final = Resource.get_empty()
_LIMITS: Final = SpanLimits()


class Known:
    """A trace that the bridge shares with MLflow's trace manager."""

    __slots__ = ("info", "is_ours", "is_root_open", "journal", "open", "recorder", "told")

    def __init__(
        self, info: TraceInfo, recorder: Recorder, journal: Journal, *, is_ours: bool, is_root_open: bool
    ) -> None:
        self.info = info
        self.recorder = recorder
        self.journal = journal
        self.is_ours = is_ours
        """Whether the bridge has registered it; if not, MLflow had it already."""
        self.is_root_open = is_root_open
        """Whether its root run is open."""
        self.open: set[int] = set()
        """Ids of its open MLflow spans."""
        self.told = update_of(info)
        """Its own fields as last written to the journal."""


class Traces:
    """The traces that the bridge shares with MLflow. Thread-safe.

    Traces and spans are identified by number: their OpenTelemetry ids as integers.

    Attributes:
        open_spans: open MLflow spans, by trace number and span number.
    """

    def __init__(self) -> None:
        self.open_spans: dict[tuple[int, int], JournaledSpan] = {}
        self._known: dict[int, Known] = {}
        self._lock = threading.RLock()

    def get(self, number: int) -> Known | None:
        """Return the trace with that number; None if it is unknown."""
        return self._known.get(number)

    def join(self, number: int, span_number: int) -> Known | None:
        """Return the trace and keep it until that MLflow span has ended; None if the trace is unknown."""
        with self._lock:
            known = self._known.get(number)
            if known is not None:
                known.open.add(span_number)
            return known

    def register(
        self,
        info: TraceInfo,
        recorder: Recorder,
        journal: Journal,
        *,
        span_number: int | None = None,
    ) -> Known:
        """Register a trace with MLflow unless MLflow has it already, and return it.

        Args:
            info: the trace as MLflow's API is to show it.
            recorder: writes its spans, with that recorder's settings.
            journal: where they are written.
            span_number: the MLflow span that joins the trace; None for its root run.
        """
        number = int(info.trace_id.removeprefix(TRACE_ID_PREFIX), 16)
        with self._lock:
            known = self._known.get(number)
            if known is None:
                manager = _manager()
                with manager.get_trace(manager.get_mlflow_trace_id_from_otel_id(number)) as found:
                    is_ours = found is None
                    info = info if found is None else found.info
                if is_ours:
                    manager.register_trace(number, info)
                known = Known(info, recorder, journal, is_ours=is_ours, is_root_open=span_number is None)
                self._known[number] = known
            if span_number is not None:
                known.open.add(span_number)
            return known

    def add(self, number: int, span: LiveSpan, info: TraceInfo) -> None:
        """Register a span of a trace with MLflow."""
        manager = _manager()
        try:
            manager.register_span(span)
        except KeyError:  # MLflow evicts traces that are open for an hour, or if there are over a thousand
            manager.register_trace(number, info)
            manager.register_span(span)

    def tell(self, number: int) -> None:
        """Write the trace's own fields to the journal if the program has changed them."""
        known = self._known.get(number)
        if known is None:
            return
        update = update_of(known.info)
        if update != known.told:
            known.told = update
            known.recorder.write_span(update, known.journal)

    def end_span(self, number: int, span_number: int) -> None:
        """Note that an MLflow span has ended; forget the trace if nothing else in it is open."""
        with self._lock:
            known = self._known.get(number)
            if known is not None:
                known.open.discard(span_number)
                self._forget(number, known)

    def end_root(self, number: int) -> None:
        """Note that the trace's root run has ended; forget the trace if nothing else in it is open."""
        with self._lock:
            known = self._known.get(number)
            if known is not None:
                known.is_root_open = False
                self._forget(number, known)

    def _forget(self, number: int, known: Known) -> None:
        if known.open or known.is_root_open:
            return
        self._known.pop(number, None)
        if known.is_ours:
            # Not pop_trace(), which copies all spans.
            manager = _manager()
            with manager._lock:  # noqa: SLF001 - no public way
                trace_id = manager._otel_id_to_mlflow_trace_id.pop(number, None)  # noqa: SLF001
                manager._traces.pop(trace_id, None)  # noqa: SLF001


def _manager() -> Any:  # noqa: ANN401 - MLflow's own
    return InMemoryTraceManager.get_instance()  # type: ignore[no-untyped-call]


def trace_info(number: int, name: str, started_ns: int, context: TraceContext) -> TraceInfo:
    """Return an open trace as MLflow's API shows it."""
    return TraceInfo(
        trace_id=f"{TRACE_ID_PREFIX}{number:032x}",
        # If autolog() was given an experiment's name, only the shipper knows its id.
        trace_location=TraceLocation.from_experiment_id(context.get("experiment_id") or _DEFAULT_EXPERIMENT),
        request_time=started_ns // 1_000_000,
        state=TraceState.IN_PROGRESS,
        trace_metadata=dict(context["metadata"]),
        tags={**context["tags"], TraceTagKey.TRACE_NAME: name},
    )


def live_span(run: Run) -> LiveSpan:
    """Return a new MLflow span that represents a run. The run's own records are written, not this span."""
    number = int(run.trace_id, 16)
    above = None if run.parent_id is None else span_digits(run.parent_id)
    span = _Span(
        name=run.name,
        context=SpanContext(number, int(run.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=None if above is None else SpanContext(number, int(above, 16), is_remote=False, trace_flags=_SAMPLED),
        resource=_RESOURCE,
        limits=_LIMITS,
    )
    span.start(run.started_ns)
    return LiveSpan(span, TRACE_ID_PREFIX + run.trace_id, run.type)
