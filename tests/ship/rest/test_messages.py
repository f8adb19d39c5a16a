"""What is sent to a tracking server is what MLflow's client would send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from mlflow.entities import Trace as MlflowsTrace
from mlflow.entities import TraceData
from mlflow.protos.service_pb2 import StartTraceV3
from mlflow.utils.proto_json_utils import message_to_json, parse_dict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from langchain_autotrace.ship.mlflow_entities import mlflow_trace
from langchain_autotrace.ship.rest.messages import UnknownTraceError, otlp_spans, start_trace
from langchain_autotrace.ship.trace_values import trace_values
from tests.ship.bulk.corpus import EXAMPLES, traces
from tests.ship.bulk.generated import records
from tests.ship.support import end, finished, start, trace_id, whole

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Trace


def ours(trace: Trace) -> tuple[StartTraceV3, list[Any]]:
    """The row and the spans as the server reads them."""
    values = trace_values(trace)
    assert values.info is not None
    return _row(start_trace(values.info, "7").decode()), _spans(otlp_spans(values.spans))


def mlflows(trace: Trace) -> tuple[StartTraceV3, list[Any]]:
    """The same of MLflow's client."""
    made = mlflow_trace(trace, "7")
    assert made.info is not None
    sent = StartTraceV3(trace=MlflowsTrace(made.info, TraceData([])).to_proto())  # type: ignore[no-untyped-call]
    return _row(message_to_json(sent)), [span.to_otel_proto() for span in made.spans]


def _row(text: str) -> StartTraceV3:
    row = StartTraceV3()
    parse_dict(json.loads(text), row)  # type: ignore[no-untyped-call]
    return row


def _spans(message: bytes) -> list[Any]:
    resources = ExportTraceServiceRequest.FromString(message).resource_spans
    return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example(name: str) -> None:
    """Each kind of trace is sent as MLflow's client sends it."""
    (trace,) = traces(1, name)

    assert ours(trace) == mlflows(trace)


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(records=records())
def test_generated_traces(records: list[Any]) -> None:
    """A trace of any tree, with any values, is sent as MLflow's client sends it."""
    trace = finished(*records)

    assert ours(trace) == mlflows(trace)


def test_messages_one_after_the_other() -> None:
    """The spans of several traces are a message together."""
    messages = [otlp_spans(trace_values(finished(*whole(number))).spans) for number in (1, 2)]

    assert _spans(b"".join(messages)) == [*_spans(messages[0]), *_spans(messages[1])]


def link(**changes: Any) -> Trace:
    """A trace with a link."""
    found = {"trace_id": "tr-" + "a" * 32, "span_id": "b" * 16, "attributes": {"a": [1, None]}, **changes}
    ended = end(1, 1, attributes={})
    return finished(start(1, 1, attributes={}), ended._replace(details={**ended.details, "links": [found]}))


@pytest.mark.parametrize("trace", [link(), link(trace_id="a" * 32), link(attributes=None)])
def test_links(trace: Trace) -> None:
    """Links of all forms are sent as MLflow's client sends them."""
    assert ours(trace) == mlflows(trace)
    assert len(ours(trace)[1][0].links) == 1


@pytest.mark.parametrize(
    "trace",
    [
        link(trace_id="trace:/a/" + "a" * 32),
        link(span_id="b" * 20),
        finished(start(1, 1)._replace(span_id="0" * 16), end(1, 1)._replace(span_id="0" * 16)),
        finished(start(1, 1, attributes={"large": 2**64 - 1}), end(1, 1, attributes={})),
        finished(start(1, 1, at=-1_800_000_000), end(1, 1)),
    ],
)
def test_what_is_left_to_the_client(trace: Trace) -> None:
    """Ids and numbers that OTLP does not have are left to MLflow's client."""
    with pytest.raises((UnknownTraceError, ValueError)):
        ours(trace)


def test_a_long_time_ago() -> None:
    """Times are exact to the millisecond, also where a duration is negative."""
    trace = finished(start(1, 1, at=0.25), end(1, 1, at=-1.002))

    assert trace.trace_id == trace_id(1)
    assert ours(trace) == mlflows(trace)
