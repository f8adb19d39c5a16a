"""The traces that MLflow's trace manager has because of the bridge, and what the program changes in them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from mlflow.entities import LiveSpan, TraceInfo, TraceLocation, TraceState
from mlflow.tracing.constant import TraceTagKey
from mlflow.tracing.trace_manager import InMemoryTraceManager
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, _Span
from opentelemetry.trace import SpanContext, TraceFlags

from langchain_autotrace.bridge.spans import JournaledSpan, update_of
from langchain_autotrace.span import TRACE_ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_autotrace.capture.place import Journal
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.capture.runs import Run

_DEFAULT_EXPERIMENT: Final = "0"
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_RESOURCE: Final = Resource.get_empty()
_LIMITS: Final = SpanLimits()


class Known:
    """A trace that MLflow's trace manager has."""

    __slots__ = ("info", "is_ours", "is_root_open", "journal", "open", "recorder", "told")

    def __init__(
        self, info: TraceInfo, recorder: Recorder, journal: Journal, *, is_ours: bool, is_root_open: bool
    ) -> None:
        self.info = info
        self.recorder = recorder
        self.journal = journal
        self.is_ours = is_ours
        """Whether the bridge has registered it, and not MLflow for a trace that began elsewhere."""
        self.is_root_open = is_root_open
        """Whether the run that it began with is open."""
        self.open: set[int] = set()
        """Open spans of MLflow's."""
        self.told = update_of(info)
        """Its own fields as the journal has them."""


class Traces:
    """Registers traces with MLflow, writes down what changes in them, and takes them out again. Thread-safe.

    Attributes:
        open_spans: MLflow's, by the numbers of trace and span.
    """

    def __init__(self) -> None:
        self.open_spans: dict[tuple[int, int], JournaledSpan] = {}
        self._known: dict[int, Known] = {}
        self._lock = threading.RLock()

    def get(self, number: int) -> Known | None:
        """The trace of that OpenTelemetry id."""
        return self._known.get(number)

    def join(self, number: int, span_number: int) -> Known | None:
        """The trace, which is not forgotten while that span of MLflow's is open; None when it is not known."""
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
        """Make a trace known to MLflow, unless it is.

        Args:
            info: what is known of it.
            recorder: whose settings its spans are written with.
            journal: where they are written.
            span_number: MLflow's span that it is joined for; None for the run that it begins with.
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
        """Let MLflow find a span of a trace."""
        manager = _manager()
        try:
            manager.register_span(span)
        except KeyError:  # MLflow forgets traces that are open for an hour, and those over a thousand
            manager.register_trace(number, info)
            manager.register_span(span)

    def tell(self, number: int) -> None:
        """Write down what the program has changed in a trace, if it has."""
        known = self._known.get(number)
        if known is None:
            return
        update = update_of(known.info)
        if update != known.told:
            known.told = update
            known.recorder.keep(update, known.journal)

    def end_span(self, number: int, span_number: int) -> None:
        """A span of MLflow's has ended; with the last one the trace is forgotten."""
        with self._lock:
            known = self._known.get(number)
            if known is not None:
                known.open.discard(span_number)
                self._forget(number, known)

    def end_root(self, number: int) -> None:
        """The run that the trace began with has ended."""
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
            # Not pop_trace(), which makes copies of all spans.
            manager = _manager()
            with manager._lock:  # noqa: SLF001 - no public way
                trace_id = manager._otel_id_to_mlflow_trace_id.pop(number, None)  # noqa: SLF001
                manager._traces.pop(trace_id, None)  # noqa: SLF001


def _manager() -> Any:  # noqa: ANN401 - MLflow's own
    return InMemoryTraceManager.get_instance()  # type: ignore[no-untyped-call]


def trace_info(number: int, name: str, started_ns: int, context: Mapping[str, Any]) -> TraceInfo:
    """An open trace as MLflow's API shows it."""
    return TraceInfo(
        trace_id=f"{TRACE_ID_PREFIX}{number:032x}",
        # The id of an experiment that autolog() names is known to the shipper only.
        trace_location=TraceLocation.from_experiment_id(context.get("experiment_id") or _DEFAULT_EXPERIMENT),
        request_time=started_ns // 1_000_000,
        state=TraceState.IN_PROGRESS,
        trace_metadata=dict(context["metadata"]),
        tags={**context["tags"], TraceTagKey.TRACE_NAME: name},
    )


def live_span(run: Run) -> LiveSpan:
    """The span that stands for a run in MLflow. It is written with the run, not by MLflow."""
    number = int(run.trace_id, 16)
    above = run.parent.span_id if run.parent is not None else None
    if run.place is not None:
        above = run.place.span_id
    span = _Span(
        name=run.name,
        context=SpanContext(number, int(run.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=None if above is None else SpanContext(number, int(above, 16), is_remote=False, trace_flags=_SAMPLED),
        resource=_RESOURCE,
        limits=_LIMITS,
    )
    span.start(run.started_ns)
    return LiveSpan(span, TRACE_ID_PREFIX + run.trace_id, run.kind)
