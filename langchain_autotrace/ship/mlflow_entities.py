"""Convert traces to MLflow's entities."""

from __future__ import annotations

import base64
import functools
import posixpath
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from mlflow.entities import Span as MlflowSpan
from mlflow.entities import TraceData, TraceInfo, TraceLocation, TraceState
from mlflow.tracing.constant import (
    MAX_CHARS_IN_TRACE_INFO_METADATA,
    MAX_CHARS_IN_TRACE_INFO_TAGS_KEY,
    MAX_CHARS_IN_TRACE_INFO_TAGS_VALUE,
    TRACE_REQUEST_RESPONSE_PREVIEW_MAX_LENGTH_OSS,
    TRACE_SCHEMA_VERSION,
    TRACE_SCHEMA_VERSION_KEY,
    TokenUsageKey,
    TraceMetadataKey,
    TraceTagKey,
)
from mlflow.tracing.utils.truncation import set_request_response_preview
from mlflow.utils import git_utils, mlflow_tags

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.records import ProcessInfo, TraceContext
from langchain_autotrace.semconv import Attr, Status
from langchain_autotrace.ship.mlflow_cost import COST_KEYS, costs_of, with_cost
from langchain_autotrace.trace import labels, previews

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_autotrace.trace.spans import Span, Trace

_REASONING: Final = "langchain_autotrace.reasoning_tokens"
_TOKEN_KEYS: Final = (
    TokenUsageKey.INPUT_TOKENS,
    TokenUsageKey.OUTPUT_TOKENS,
    TokenUsageKey.TOTAL_TOKENS,
    TokenUsageKey.CACHE_READ_INPUT_TOKENS,
    TokenUsageKey.CACHE_CREATION_INPUT_TOKENS,
    getattr(TokenUsageKey, "CACHE_CREATION_INPUT_TOKENS_ABOVE_1HR", "cache_creation_input_tokens_above_1hr"),
)
_INVALID_IN_KEY: Final = re.compile(r"[^/\w.\- :]")
_STORE_TAGS: Final = {mlflow_tags.MLFLOW_ARTIFACT_LOCATION, TraceTagKey.SPANS_LOCATION}
"""Tags that the store writes itself. A user's tag of the same name would have the trace rejected."""
_METADATA_FROM_SPANS: Final = (
    (TraceMetadataKey.TRACE_SESSION, Attr.SESSION),
    (TraceMetadataKey.TRACE_USER, Attr.USER),
    (Attr.CONTENT_HASH, Attr.CONTENT_HASH),
    (Attr.INTERRUPTED_THREAD, Attr.INTERRUPTED_THREAD),
    (Attr.RESUMES, Attr.RESUMES),
)
"""Trace metadata keys, and the span attributes that they are copied from."""
_NUL: Final = "\x00"
_ESCAPED_NUL: Final = "\\u0000"
_NUL_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""Replaces NUL characters, which PostgreSQL does not accept in text."""


class MlflowTrace(NamedTuple):
    """A trace, or the late spans of a stored trace, as MLflow's entities."""

    trace_id: str
    info: TraceInfo | None
    """The trace's row; None for late spans, whose trace is already stored."""
    spans: list[MlflowSpan]
    files: dict[str, bytes]
    """File id -> content of the files that span values refer to (``mlflow.tracing.attachments``)."""


def mlflow_trace(trace: Trace, experiment_id: str) -> MlflowTrace:
    """Return a trace as MLflow's entities, with the cost of its spans."""
    trace = trace._replace(spans=[with_cost(span) for span in trace.spans])
    spans = [_mlflow_span(span) for span in trace.spans]
    info = None if trace.root is None else _info(trace, trace.root, experiment_id)
    if info is not None:
        _set_previews(info, trace.root, spans)
    files = {file_id: base64.b64decode(content) for file_id, content in trace.files.items()}
    return MlflowTrace(TRACE_ID_PREFIX + trace.trace_id, info, spans, files)


def _set_previews(info: TraceInfo, root: Span | None, spans: list[MlflowSpan]) -> None:
    """Set the previews that the program has not set itself; where the root is a span of MLflow's own, to MLflow's."""
    if root is None or not labels.is_run(root):
        set_request_response_preview(info, TraceData(spans))
        return
    limit = TRACE_REQUEST_RESPONSE_PREVIEW_MAX_LENGTH_OSS
    if info.request_preview is None and (request := previews.request_preview(root, limit)) is not None:
        info.request_preview = _text(request)
    if info.response_preview is None and (response := previews.response_preview(root, limit)) is not None:
        info.response_preview = _text(response)


def _info(trace: Trace, root: Span, experiment_id: str) -> TraceInfo:
    ended = root.start_ns if root.end_ns is None else root.end_ns
    update = _without_nul(trace.update)
    context = trace.context or TraceContext(experiment=None, experiment_id=None, tags={}, metadata={})
    tags = _beside(labels.trace_tags(trace.spans), update.get("tags", context["tags"]))
    tags[TraceTagKey.TRACE_NAME] = update.get("name", root.name)
    state = TraceState.ERROR if root.status == Status.ERROR else TraceState.OK
    return TraceInfo(
        trace_id=TRACE_ID_PREFIX + trace.trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=root.start_ns // 1_000_000,
        execution_duration=(ended - root.start_ns) // 1_000_000,
        state=TraceState(update.get("state", state)),
        tags=trace_tags(tags),
        trace_metadata=_metadata(
            trace, _beside(labels.trace_metadata(trace.spans), update.get("metadata", context["metadata"]))
        ),
        client_request_id=update.get("client_request_id"),
        request_preview=update.get("request_preview"),
        response_preview=update.get("response_preview"),
    )


def _beside(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return what was given, and what was found under other keys.

    MySQL rejects a trace with keys that differ only in case or accents, so of those the one given, or the first, stays.
    """
    taken = {_folded(_key(key)) for key in given}
    kept: dict[str, str] = {}
    for key, value in found.items():
        folded = _folded(_key(key))
        if folded not in taken:
            taken.add(folded)
            kept[key] = value
    return {**kept, **given}


def _folded(key: str) -> str:
    """Return a key as a database compares it that ignores case and accents."""
    return "".join(one for one in unicodedata.normalize("NFKD", key) if not unicodedata.combining(one)).casefold()


def trace_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return trace tags with keys and values that MLflow accepts."""
    return {
        key: _text(value)[:MAX_CHARS_IN_TRACE_INFO_TAGS_VALUE]
        for key, value in _with_valid_keys(tags).items()
        if key not in _STORE_TAGS
    }


def _metadata(trace: Trace, given: Mapping[str, str]) -> dict[str, str]:
    found = {TRACE_SCHEMA_VERSION_KEY: str(TRACE_SCHEMA_VERSION)}
    if trace.process is not None:
        found |= _environment(trace.process._replace(started_ns=0))
    for key, name in _METADATA_FROM_SPANS:
        value = next((span.attributes[name] for span in trace.spans if span.attributes.get(name)), None)
        if value:
            found[key] = str(value)
    totals = _totals(_outermost(trace.spans, _usage), _TOKEN_KEYS)
    if totals:
        found[TraceMetadataKey.TOKEN_USAGE] = orjson.dumps(totals).decode()
    costs = _totals(_outermost(trace.spans, costs_of), COST_KEYS)
    if costs:
        found[TraceMetadataKey.COST] = orjson.dumps(costs).decode()
    reasoning = sum(_count(span.attributes.get(Attr.REASONING_TOKENS)) for span in trace.spans)
    if reasoning:
        found[_REASONING] = str(reasoning)
    return {
        key: _text(value)[:MAX_CHARS_IN_TRACE_INFO_METADATA] for key, value in (found | _with_valid_keys(given)).items()
    }


def _outermost(spans: Sequence[Span], amounts_of: Callable[[Span], Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Return the tokens or costs to add up: not those below others, such as of a client's own span within a model's."""
    amounts = {span.span_id: amounts_of(span) for span in spans}
    parents = {span.span_id: span.parent_id for span in spans}
    counted: list[Mapping[str, float]] = []
    for span_id, amount in amounts.items():
        above = parents[span_id] if amount else None
        while above is not None and not amounts.get(above):
            above = parents.get(above)
        if amount and above is None:
            counted.append(amount)
    return counted


def _usage(span: Span) -> dict[str, int]:
    """Return the integer counts of a span's token usage: MLflow adds them up, and fails on any other value."""
    usage = span.attributes.get(Attr.TOKEN_USAGE)
    if not isinstance(usage, dict):
        return {}
    return {key: count for key, count in usage.items() if isinstance(count, int)}


def _totals(amounts: Sequence[Mapping[str, float]], keys: Sequence[str]) -> dict[str, float]:
    return {key: sum(one.get(key, 0) for one in amounts) for key in keys if any(key in one for one in amounts)}


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


@functools.lru_cache(maxsize=256)
def _environment(process: ProcessInfo) -> dict[str, str]:
    """Return user, source and git state of the program, under MLflow's names."""
    found = {
        mlflow_tags.MLFLOW_USER: process.user,
        mlflow_tags.MLFLOW_SOURCE_NAME: process.source,
        mlflow_tags.MLFLOW_SOURCE_TYPE: "LOCAL",
        mlflow_tags.MLFLOW_GIT_COMMIT: git_utils.get_git_commit(process.folder),
        mlflow_tags.MLFLOW_GIT_BRANCH: git_utils.get_git_branch(process.folder),
        mlflow_tags.MLFLOW_GIT_REPO_URL: git_utils.get_git_repo_url(process.folder),
    }
    return {key: str(value) for key, value in found.items() if value}


def _with_valid_keys(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the pairs with keys that MLflow allows (``mlflow.utils.validation._validate_tag_name``)."""
    return {_key(key): str(value) for key, value in pairs.items()}


def _key(key: str) -> str:
    clean = _INVALID_IN_KEY.sub("_", key)[:MAX_CHARS_IN_TRACE_INFO_TAGS_KEY]
    # Stores that keep each tag in a file reject keys that are not normalized relative paths.
    if posixpath.normpath(clean) != clean or clean.startswith(("/", ".")):
        clean = f"_{clean.replace('/', '_')}"[:MAX_CHARS_IN_TRACE_INFO_TAGS_KEY]
    return clean


def _mlflow_span(span: Span) -> MlflowSpan:
    return MlflowSpan.from_dict(
        {
            "trace_id": _base64(span.trace_id),
            "span_id": _base64(span.span_id),
            "parent_span_id": _base64(span.parent_id) if span.parent_id else None,
            "name": _text(span.name),
            "start_time_unix_nano": span.start_ns,
            "end_time_unix_nano": span.end_ns,
            "status": {"code": f"STATUS_CODE_{span.status or 'UNSET'}", "message": _text(span.message)},
            "attributes": _span_attributes(span),
            "links": span.links,
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


def _span_attributes(span: Span) -> dict[str, str]:
    """Return a span's attributes as MLflow stores them: each as JSON text."""
    known: dict[str, Any] = {Attr.SPAN_TYPE: span.type, **span.attributes}
    if known.get(Attr.SESSION) is not None:
        # MLflow rejects spans with a longer id (mlflow.store.tracking.utils.trace_analytics.validate_session_id).
        known[Attr.SESSION] = str(known[Attr.SESSION])[:MAX_CHARS_IN_TRACE_INFO_METADATA]
    if known.pop(Attr.TOKEN_USAGE, None) and (usage := _usage(span)):
        known[Attr.TOKEN_USAGE] = usage
    found = {key: _json(value) for key, value in known.items()}
    found[Attr.TRACE_REQUEST_ID] = f'"{TRACE_ID_PREFIX}{span.trace_id}"'
    if span.inputs is not None:
        found[Attr.INPUTS] = _json(span.inputs[0])
    if span.outputs is not None:
        found[Attr.OUTPUTS] = _json(span.outputs[0])
    return found


def _event_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's attributes with flat values, as OpenTelemetry requires."""
    return {
        _text(key): _text(value)
        if isinstance(value, str)
        else value
        if isinstance(value, int | float)
        else _json(value)
        for key, value in attributes.items()
        if value is not None
    }


def _text(text: str) -> str:
    return text.replace(_NUL, _NUL_REPLACEMENT)


def _json(value: object) -> str:
    text = orjson.dumps(value).decode()
    return orjson.dumps(_without_nul(value)).decode() if _ESCAPED_NUL in text else text


def _without_nul(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()
