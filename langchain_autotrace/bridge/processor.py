"""Replaces MLflow's span processor and exporter: MLflow spans are written to the journal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import mlflow.tracing.fluent
import mlflow.tracing.utils
from mlflow.tracing.constant import SpanAttributeKey, TraceMetadataKey, TraceTagKey
from mlflow.tracing.utils import get_otel_attribute
from opentelemetry.sdk.trace import SpanProcessor

from langchain_autotrace.bridge.journaled import JournaledSpan
from langchain_autotrace.bridge.known_traces import trace_info
from langchain_autotrace.capture import scope
from langchain_autotrace.capture.guard import guarded
from langchain_autotrace.ids import TRACE_ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from langchain_autotrace.bridge.core import MlflowBridge
    from langchain_autotrace.records import TraceContext


class _Queue:
    """Stands in for the queue of MLflow's exporter, which MLflow's flush functions call."""

    def __init__(self, flush: Callable[[], object]) -> None:
        self._flush = flush

    def flush(self, terminate: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as MLflow calls it
        """Deliver everything captured."""
        self._flush()


class _Exporter:
    """Stands in for MLflow's exporter."""

    def __init__(self, flush: Callable[[], object]) -> None:
        self._async_queue = _Queue(flush)


def _with_owner(context: TraceContext) -> TraceContext:
    """Return the context of a trace that begins with an MLflow span, with session, user and evaluation request added.

    A trace that begins with a run has session and user in the run's own records.
    """
    around = scope.current.get()
    owner = {TraceMetadataKey.TRACE_SESSION: around.session_id, TraceMetadataKey.TRACE_USER: around.user_id}
    metadata = {key: value for key, value in owner.items() if value} | context["metadata"]
    request = evaluated_request()
    tags = {TraceTagKey.EVAL_REQUEST_ID: request} if request else {}
    return {**context, "metadata": metadata, "tags": {**context["tags"], **tags}}


class JournalSpanProcessor(SpanProcessor):
    """Span processor that writes MLflow spans to the journal.

    Attributes:
        span_exporter: a stand-in that MLflow's flush functions look for.
        before: the processor that this one replaced, which still gets the end of spans whose start it has seen.
    """

    def __init__(self, bridge: MlflowBridge, before: SpanProcessor | None = None) -> None:
        """Write the spans with the recorders and targets of ``bridge``."""
        self.span_exporter = _Exporter(bridge.flush)
        self.before = before
        self._bridge = bridge

    @guarded
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Write the start of an MLflow span."""
        number, span_number = span.context.trace_id, span.context.span_id
        traces = self._bridge.traces
        known = traces.join(number, span_number)
        context = None
        if known is None:
            recorder = self._bridge.current()
            if recorder is None or self._is_of_before(span):
                if self.before is not None:
                    self.before.on_start(span, parent_context)
                return
            found = self._bridge.target(recorder, get_otel_attribute(span, SpanAttributeKey.EXPERIMENT_ID))
            context = _with_owner(found.context)
            scope.current.get().note_start(f"{number:032x}")
            journal = found.journal or recorder.journal
            info = trace_info(number, span.name, span.start_time or 0, context)
            known = traces.register(info, recorder, journal, span_number=span_number)
        live = JournaledSpan(span, f"{TRACE_ID_PREFIX}{number:032x}")
        live.recorder, live.journal, live.context = known.recorder, known.journal, context
        traces.add(number, live, known.info)
        traces.open_spans[number, span_number] = live
        live.write_start()

    def _is_of_before(self, span: Span) -> bool:
        """Return whether the span is below one that started before the bridge was installed."""
        above = span.parent
        return self.before is not None and above is not None and not above.is_remote

    @guarded
    def on_end(self, span: ReadableSpan) -> None:
        """Write the end of an MLflow span."""
        number, span_number = span.context.trace_id, span.context.span_id
        traces = self._bridge.traces
        live = traces.open_spans.pop((number, span_number), None)
        if live is None:
            if self.before is not None:
                self.before.on_end(span)
            return
        traces.tell(number)
        live.write_end(span)
        traces.end_span(number, span_number)
        if span.parent is None:
            trace_id = f"{TRACE_ID_PREFIX}{number:032x}"
            live.recorder.finished += 1
            scope.last_trace.set(trace_id)
            set_last(trace_id)
            self._hand_over(trace_id)

    def _hand_over(self, trace_id: str) -> None:
        """Deliver the trace now if MLflow evaluates it, as MLflow reads it from the store when the function returns."""
        if request := evaluated_request():
            self._bridge.flush()
            mlflow.tracing.fluent._EVAL_REQUEST_ID_TO_TRACE_ID[request] = trace_id  # noqa: SLF001 - as its exporter

    def shutdown(self) -> None:
        """Do nothing: there are no resources to release."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - OpenTelemetry's
        """Deliver everything captured."""
        self._bridge.flush()
        return True


def set_last(trace_id: str) -> None:
    """Make ``mlflow.get_last_active_trace_id()`` return this trace."""
    mlflow.tracing.fluent._set_last_active_trace_id(trace_id)  # noqa: SLF001 - no public way


def prediction_context() -> Any:  # noqa: ANN401 - MLflow's own
    """Return MLflow's prediction context, or None if its module is not imported: no context can be set then.

    MLflow's own function tries to import ``mlflow.pyfunc`` for each span. mlflow-skinny does not have it, so that each
    attempt fails and takes milliseconds.
    """
    module = sys.modules.get("mlflow.pyfunc.context")
    get = getattr(module, "get_prediction_context", None)
    return None if get is None else get()


def spare_imports() -> None:
    """Make MLflow call ``prediction_context`` instead of its own function."""
    mlflow.tracing.utils._try_get_prediction_context = prediction_context  # noqa: SLF001 - no public way


def evaluated_request() -> str | None:
    """Return the id of the request that ``mlflow.evaluate`` is making; None outside of an evaluation."""
    context = prediction_context()
    return context.request_id if context is not None and context.is_evaluate else None
