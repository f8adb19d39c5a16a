"""A finished trace as MLflow's entities."""

from __future__ import annotations

import base64
import functools
import posixpath
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from mlflow.entities import Span, TraceData, TraceInfo, TraceLocation, TraceState
from mlflow.tracing.constant import (
    MAX_CHARS_IN_TRACE_INFO_METADATA,
    MAX_CHARS_IN_TRACE_INFO_TAGS_KEY,
    MAX_CHARS_IN_TRACE_INFO_TAGS_VALUE,
    TRACE_SCHEMA_VERSION,
    TRACE_SCHEMA_VERSION_KEY,
    TokenUsageKey,
    TraceMetadataKey,
    TraceTagKey,
)
from mlflow.tracing.utils.truncation import set_request_response_preview
from mlflow.utils import git_utils, mlflow_tags

from langchain_autotrace.span import TRACE_ID_PREFIX, Attr, Json, ProcessInfo, Status, TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_autotrace.ship.assemble import FinishedTrace, SpanRecords

_REASONING: Final = "langchain_autotrace.reasoning_tokens"
_TOKEN_KEYS: Final = (
    TokenUsageKey.INPUT_TOKENS,
    TokenUsageKey.OUTPUT_TOKENS,
    TokenUsageKey.TOTAL_TOKENS,
    TokenUsageKey.CACHE_READ_INPUT_TOKENS,
    TokenUsageKey.CACHE_CREATION_INPUT_TOKENS,
    getattr(TokenUsageKey, "CACHE_CREATION_INPUT_TOKENS_ABOVE_1HR", "cache_creation_input_tokens_above_1hr"),
)
_ODD_IN_KEY: Final = re.compile(r"[^/\w.\- :]")
_OF_THE_STORE: Final = {mlflow_tags.MLFLOW_ARTIFACT_LOCATION, TraceTagKey.SPANS_LOCATION}
"""Tags that the store writes itself: one of the user's with such a name would lose the trace."""
_OF_SPANS: Final = (
    (TraceMetadataKey.TRACE_SESSION, Attr.SESSION),
    (TraceMetadataKey.TRACE_USER, Attr.USER),
    (Attr.CONTENT_HASH, Attr.CONTENT_HASH),
)
"""A trace's metadata, and the attribute of the span that says it."""
_NUL: Final = "\x00"
_ESCAPED_NUL: Final = b"\\u0000"
_INSTEAD_OF_NUL: Final = "\N{REPLACEMENT CHARACTER}"
"""PostgreSQL takes no NUL in a text."""


class MlflowTrace(NamedTuple):
    """A trace, or the spans of one that came late."""

    trace_id: str
    info: TraceInfo | None
    """What the trace's row says; None when the row is there already."""
    spans: list[Span]
    files: dict[str, bytes]
    """Files that the spans' values name (``mlflow.tracing.attachments``), by their ids."""


def mlflow_trace(trace: FinishedTrace, experiment_id: str) -> MlflowTrace:
    """The trace as MLflow's entities."""
    attributes = [_attributes(span) for span in trace.spans]
    spans = [_span(span, own) for span, own in zip(trace.spans, attributes, strict=True)]
    info = None
    if trace.root is not None:
        root = next(span for span in trace.spans if span.start is trace.root)
        context = trace.root.trace or TraceContext(None, None, {}, {})
        changed: dict[str, Any] = {} if trace.update is None else _loads(trace.update.fields)
        context = context._replace(
            tags={**changed.get("tags", context.tags), TraceTagKey.TRACE_NAME: changed.get("name", root.start.name)},
            metadata=changed.get("metadata", context.metadata),
        )
        info = _info(trace, root, context, experiment_id)
        info.trace_metadata = _metadata(trace, context, attributes)
        info.state = TraceState(changed.get("state", info.state))
        info.client_request_id = changed.get("client_request_id")
        info.request_preview = changed.get("request_preview")
        info.response_preview = changed.get("response_preview")
        set_request_response_preview(info, TraceData(spans))
    files = {file.file_id: base64.b64decode(file.content) for span in trace.spans for file in span.files}
    return MlflowTrace(TRACE_ID_PREFIX + trace.trace_id, info, spans, files)


def _info(trace: FinishedTrace, root: SpanRecords, context: TraceContext, experiment_id: str) -> TraceInfo:
    ended = root.end.time_ns if root.end else root.start.time_ns
    return TraceInfo(
        trace_id=TRACE_ID_PREFIX + trace.trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=root.start.time_ns // 1_000_000,
        execution_duration=(ended - root.start.time_ns) // 1_000_000,
        state=TraceState.ERROR if root.end and root.end.status == Status.ERROR else TraceState.OK,
        tags=trace_tags(context.tags),
    )


def trace_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a trace as MLflow takes them."""
    return {
        key: _text(value)[:MAX_CHARS_IN_TRACE_INFO_TAGS_VALUE]
        for key, value in _with_keys(tags).items()
        if key not in _OF_THE_STORE
    }


def _metadata(trace: FinishedTrace, context: TraceContext, attributes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found = {TRACE_SCHEMA_VERSION_KEY: str(TRACE_SCHEMA_VERSION)}
    if trace.process is not None:
        found |= _environment(trace.process._replace(started_ns=0))
    for key, name in _OF_SPANS:
        value = next((own[name] for own in attributes if own.get(name)), None)
        if value:
            found[key] = str(value)
    totals = _totals(_counted_once(trace.spans, attributes))
    if totals:
        found[TraceMetadataKey.TOKEN_USAGE] = orjson.dumps(totals).decode()
    reasoning = sum(_count(own.get(Attr.REASONING_TOKENS)) for own in attributes)
    if reasoning:
        found[_REASONING] = str(reasoning)
    return {
        key: _text(value)[:MAX_CHARS_IN_TRACE_INFO_METADATA]
        for key, value in (found | _with_keys(context.metadata)).items()
    }


def _counted_once(spans: Sequence[SpanRecords], attributes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, int]]:
    """The usages that count: one below another is a part of it, as a client's own span within a model's."""
    usages = {span.start.span_id: own.get(Attr.TOKEN_USAGE) for span, own in zip(spans, attributes, strict=True)}
    parents = {span.start.span_id: span.start.parent_id for span in spans}
    counted = []
    for span_id, usage in usages.items():
        above = parents[span_id] if usage else None
        while above is not None and not usages.get(above):
            above = parents.get(above)
        if usage and above is None:
            counted.append(usage)
    return counted


def _totals(usages: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(one.get(key, 0) for one in usages) for key in _TOKEN_KEYS if any(key in one for one in usages)}


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


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


def _with_keys(pairs: Mapping[str, str]) -> dict[str, str]:
    """The pairs with their keys made such as MLflow allows (``mlflow.utils.validation._validate_tag_name``)."""
    return {_key(key): str(value) for key, value in pairs.items()}


def _key(key: str) -> str:
    clean = _ODD_IN_KEY.sub("_", key)[:MAX_CHARS_IN_TRACE_INFO_TAGS_KEY]
    # Stores that keep each tag in a file take no key that is another path than it seems.
    if posixpath.normpath(clean) != clean or clean.startswith(("/", ".")):
        clean = f"_{clean.replace('/', '_')}"[:MAX_CHARS_IN_TRACE_INFO_TAGS_KEY]
    return clean


def _attributes(span: SpanRecords) -> dict[str, Any]:
    """A span's attributes, the end's over the start's, as plain values."""
    attributes: dict[str, Any] = _loads(span.start.attributes)
    if span.end is not None:
        attributes |= _loads(span.end.attributes)
    if (session := attributes.get(Attr.SESSION)) is not None:
        # MLflow refuses the span of any other (mlflow.store.tracking.utils.trace_analytics.validate_session_id).
        attributes[Attr.SESSION] = str(session)[:MAX_CHARS_IN_TRACE_INFO_METADATA]
    if (usage := attributes.pop(Attr.TOKEN_USAGE, None)) and isinstance(usage, dict):
        # MLflow sums them up, and breaks down over what is no number.
        attributes[Attr.TOKEN_USAGE] = {key: count for key, count in usage.items() if isinstance(count, int)}
    return attributes


def _span(span: SpanRecords, attributes: Mapping[str, Any]) -> Span:
    start, end = span.start, span.end
    return Span.from_dict(
        {
            "trace_id": _base64(start.trace_id),
            "span_id": _base64(start.span_id),
            "parent_span_id": _base64(start.parent_id) if start.parent_id else None,
            "name": _text(start.name),
            "start_time_unix_nano": start.time_ns,
            "end_time_unix_nano": end.time_ns if end else None,
            "status": {
                "code": f"STATUS_CODE_{end.status if end else 'UNSET'}",
                "message": _text(end.message) if end else "",
            },
            "attributes": _span_attributes(span, attributes),
            "links": attributes.get(Attr.LINKS, ()),
            "events": [
                {
                    "name": _text(event.name),
                    "time_unix_nano": event.time_ns,
                    "attributes": _event_attributes(event.attributes),
                }
                for event in span.events
            ],
        }
    )


def _span_attributes(span: SpanRecords, attributes: Mapping[str, Any]) -> dict[str, str]:
    """MLflow keeps each attribute as a JSON text."""
    start, end = span.start, span.end
    known = {Attr.SPAN_TYPE: start.type, **attributes}
    found = {key: orjson.dumps(value).decode() for key, value in known.items() if key != Attr.LINKS}
    found[Attr.TRACE_REQUEST_ID] = f'"{TRACE_ID_PREFIX}{start.trace_id}"'
    if span.inputs is not None:
        found[Attr.INPUTS] = _json(span.inputs).decode()
    if end and end.outputs is not None:
        found[Attr.OUTPUTS] = _json(end.outputs).decode()
    return found


def _event_attributes(attributes: Json) -> dict[str, Any]:
    """OpenTelemetry's events take flat values."""
    return {
        key: value if isinstance(value, str | int | float | bool) else orjson.dumps(value).decode()
        for key, value in _loads(attributes).items()
        if value is not None
    }


def _text(text: str) -> str:
    return text.replace(_NUL, _INSTEAD_OF_NUL)


def _json(document: Json) -> Json:
    return orjson.dumps(_loads(document)) if _ESCAPED_NUL in document else document


def _loads(document: Json) -> Any:  # noqa: ANN401 - any JSON
    value = orjson.loads(document)
    return _without_nul(value) if _ESCAPED_NUL in document else value


def _without_nul(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()
