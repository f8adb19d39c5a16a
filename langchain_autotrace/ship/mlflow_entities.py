"""Convert the values of traces to MLflow's entities, for MLflow's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlflow.entities import Span as MlflowSpan
from mlflow.entities import TraceInfo, TraceLocation, TraceState

from langchain_autotrace.ship.trace_values import InfoValues, trace_values

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Trace


class MlflowTrace(NamedTuple):
    """A trace, or the late spans of a stored trace, as MLflow's entities."""

    trace_id: str
    info: TraceInfo | None
    """The trace's row; None for late spans, whose trace is already stored."""
    spans: list[MlflowSpan]
    files: dict[str, bytes]
    """File id -> content of the files that span values refer to (``mlflow.tracing.attachments``)."""

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of the trace's row; empty for late spans."""
        return {} if self.info is None else self.info.trace_metadata


def mlflow_trace(trace: Trace, experiment_id: str) -> MlflowTrace:
    """Return a trace as MLflow's entities, with the cost of its spans."""
    values = trace_values(trace)
    info = None if values.info is None else _info(values.info, experiment_id)
    return MlflowTrace(values.trace_id, info, [MlflowSpan.from_dict(span) for span in values.spans], values.files)


def _info(values: InfoValues, experiment_id: str) -> TraceInfo:
    return TraceInfo(
        trace_id=values.trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=values.request_time_ms,
        execution_duration=values.duration_ms,
        state=TraceState(values.state),
        tags=values.tags,
        trace_metadata=values.metadata,
        client_request_id=values.client_request_id,
        request_preview=values.request_preview,
        response_preview=values.response_preview,
    )
