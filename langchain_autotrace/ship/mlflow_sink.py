"""Stores traces through MLflow's own tracing client: SQLite, PostgreSQL, MySQL, a tracking server, Databricks."""

from __future__ import annotations

import base64
import functools
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
import requests
import sqlalchemy.exc
from mlflow.entities import Span, TraceInfo, TraceLocation, TraceState
from mlflow.exceptions import MlflowException, MlflowNotImplementedException
from mlflow.tracing.client import TracingClient
from mlflow.tracing.constant import TRACE_SCHEMA_VERSION, TRACE_SCHEMA_VERSION_KEY, TraceMetadataKey, TraceTagKey
from mlflow.utils import git_utils, mlflow_tags

from langchain_autotrace.destination import without_password
from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.ship.assemble import FinishedTrace, SpanRecords
from langchain_autotrace.span import TRACE_ID_PREFIX, Attr, ProcessInfo, Status, TraceContext

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_DEFAULT_EXPERIMENT: Final = "0"
_REFUSED: Final = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "INVALID_STATE", "DATA_LOSS")
"""MLflow's error codes that speak of the content and not of the store (``mlflow.protos.databricks_pb2``)."""
_REFUSED_HTTP: Final = ("400", "413", "422")
_MAX_METADATA: Final = 250
_REASONING: Final = "langchain_autotrace.reasoning_tokens"
_TOKEN_KEYS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


class MlflowSink:
    """Writes batches of traces to one MLflow tracking URI."""

    def __init__(self, tracking_uri: str) -> None:
        """Connects with the first batch, and creates the database then if there is none."""
        self._uri = tracking_uri
        self._experiments: dict[tuple[str | None, str | None], str] = {}

    @functools.cached_property
    def _client(self) -> TracingClient:
        return TracingClient(self._uri)

    def write(self, batch: Sequence[FinishedTrace]) -> None:
        """Store the batch: each new trace's row, then the spans of all traces of an experiment in one call.

        Raises:
            SinkUnavailable: the store is down, busy, refuses the credentials, or lost the experiment.
            TraceRejected: the store refuses the content.
        """
        with self._mapped_errors():
            by_experiment: dict[str, list[Span]] = defaultdict(list)
            for trace in batch:
                experiment = self._experiment(trace.root.trace if trace.root else None, trace.trace_id)
                if trace.root is not None:
                    self._client.start_trace(_trace_info(trace, experiment))
                by_experiment[experiment].extend(_span(span) for span in trace.spans)
            for experiment, spans in by_experiment.items():
                self._client.log_spans(experiment, spans)

    def _experiment(self, context: TraceContext | None, trace_id: str) -> str:
        if context is None:  # spans that came late: wherever their trace is
            return str(self._client.get_trace_info(TRACE_ID_PREFIX + trace_id).experiment_id)
        key = (context.experiment, context.experiment_id)
        if key not in self._experiments:
            self._experiments[key] = self._resolve(*key)
        return self._experiments[key]

    def _resolve(self, name: str | None, experiment_id: str | None) -> str:
        """The id of the experiment, created when it does not exist."""
        store = self._client.store
        if name is None:
            return experiment_id or _DEFAULT_EXPERIMENT
        found = store.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(store.create_experiment(name))
        except MlflowException:  # another process was faster
            found = store.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """MLflow's, SQLAlchemy's and requests' errors as the two that the shipper knows."""
        try:
            yield
        except sqlalchemy.exc.DataError as error:
            raise TraceRejected(_reason(error)) from error
        except MlflowException as error:
            self._experiments.clear()  # it may have been deleted; look again
            kind = TraceRejected if _is_refusal(error) else SinkUnavailable
            raise kind(_reason(error)) from error
        except (requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError, ImportError) as error:
            self.__dict__.pop("_client", None)  # connect anew
            raise SinkUnavailable(f"{without_password(self._uri)}: {_reason(error)}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise TraceRejected(_reason(error)) from error


def _is_refusal(error: MlflowException) -> bool:
    if isinstance(error, MlflowNotImplementedException):
        return False
    if error.error_code in _REFUSED:
        return True
    return any(f"failed with error code {status}" in str(error) for status in _REFUSED_HTTP)


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {without_password(lines[0][:500]) if lines else ''}"


def _trace_info(trace: FinishedTrace, experiment: str) -> TraceInfo:
    root = next(span for span in trace.spans if span.start is trace.root)
    ended = root.end.time_ns if root.end else root.start.time_ns
    context = root.start.trace or TraceContext(None, None, {}, {})
    return TraceInfo(
        trace_id=TRACE_ID_PREFIX + trace.trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=root.start.time_ns // 1_000_000,
        execution_duration=(ended - root.start.time_ns) // 1_000_000,
        state=TraceState.ERROR if root.end and root.end.status == Status.ERROR else TraceState.OK,
        trace_metadata=_metadata(trace, context),
        tags={**context.tags, TraceTagKey.TRACE_NAME: root.start.name},
    )


def _metadata(trace: FinishedTrace, context: TraceContext) -> dict[str, str]:
    found = {TRACE_SCHEMA_VERSION_KEY: str(TRACE_SCHEMA_VERSION)}
    if trace.process is not None:
        found |= _environment(trace.process)
    attributes = [merged_attributes(span) for span in trace.spans]
    for key, name in ((TraceMetadataKey.TRACE_SESSION, Attr.SESSION), (TraceMetadataKey.TRACE_USER, Attr.USER)):
        value = next((one[name] for one in attributes if one.get(name)), None)
        if value:
            found[key] = str(value)
    totals = _totals([one[Attr.TOKEN_USAGE] for one in attributes if one.get(Attr.TOKEN_USAGE)])
    if totals:
        found[TraceMetadataKey.TOKEN_USAGE] = orjson.dumps(totals).decode()
    reasoning = sum(one.get(Attr.REASONING_TOKENS) or 0 for one in attributes)
    if reasoning:
        found[_REASONING] = str(reasoning)
    return {
        key: value if "tokenUsage" in key else value[:_MAX_METADATA]
        for key, value in (found | context.metadata).items()
    }


def _totals(usages: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(one.get(key, 0) for one in usages) for key in _TOKEN_KEYS if any(key in one for one in usages)}


@functools.lru_cache(maxsize=256)
def _environment(process: ProcessInfo) -> dict[str, str]:
    """Source, user and git state of the program, under the names that MLflow's own traces have them."""
    found = {
        mlflow_tags.MLFLOW_USER: process.user,
        mlflow_tags.MLFLOW_SOURCE_NAME: process.source,
        mlflow_tags.MLFLOW_SOURCE_TYPE: "LOCAL",
        mlflow_tags.MLFLOW_GIT_COMMIT: git_utils.get_git_commit(process.folder),
        mlflow_tags.MLFLOW_GIT_BRANCH: git_utils.get_git_branch(process.folder),
        mlflow_tags.MLFLOW_GIT_REPO_URL: git_utils.get_git_repo_url(process.folder),
    }
    return {key: str(value) for key, value in found.items() if value}


def merged_attributes(span: SpanRecords) -> dict[str, Any]:
    """A span's attributes, the end's over the start's, as plain values."""
    attributes = orjson.loads(span.start.attributes)
    if span.end is not None:
        attributes |= orjson.loads(span.end.attributes)
    return dict(attributes)


def _span(span: SpanRecords) -> Span:
    start, end = span.start, span.end
    return Span.from_dict(
        {
            "trace_id": _base64(start.trace_id),
            "span_id": _base64(start.span_id),
            "parent_span_id": _base64(start.parent_id) if start.parent_id else None,
            "name": start.name,
            "start_time_unix_nano": start.time_ns,
            "end_time_unix_nano": end.time_ns if end else None,
            "status": {"code": f"STATUS_CODE_{end.status if end else 'UNSET'}", "message": end.message if end else ""},
            "attributes": _span_attributes(span),
            "events": [
                {"name": event.name, "time_unix_nano": event.time_ns, "attributes": _event_attributes(event.attributes)}
                for event in span.events
            ],
        }
    )


def _span_attributes(span: SpanRecords) -> dict[str, str]:
    """MLflow keeps each attribute as a JSON text."""
    start, end = span.start, span.end
    found = {key: orjson.dumps(value).decode() for key, value in merged_attributes(span).items()}
    found[Attr.TRACE_REQUEST_ID] = f'"{TRACE_ID_PREFIX}{start.trace_id}"'
    found[Attr.SPAN_TYPE] = f'"{start.type}"'
    inputs = end.inputs if end and end.inputs is not None else start.inputs
    if inputs is not None:
        found[Attr.INPUTS] = inputs.decode()
    if end and end.outputs is not None:
        found[Attr.OUTPUTS] = end.outputs.decode()
    return found


def _event_attributes(attributes: bytes) -> dict[str, Any]:
    """OpenTelemetry's events take flat values."""
    return {
        key: value if isinstance(value, str | int | float | bool) else orjson.dumps(value).decode()
        for key, value in orjson.loads(attributes).items()
        if value is not None
    }


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()
