"""Makes the values of traces that are stored: those of MLflow's traces and spans, as plain dicts and tuples.

They are made once, for MLflow's API (``mlflow_entities.py``) and for its database (``bulk/``); MLflow is not imported.
"""

from __future__ import annotations

import binascii
import functools
import posixpath
import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.records import TraceContext
from langchain_autotrace.semconv import Attr, Status, TraceKey
from langchain_autotrace.ship.git_state import git_state
from langchain_autotrace.ship.mlflow_cost import with_cost
from langchain_autotrace.ship.mlflow_previews import preview
from langchain_autotrace.trace import labels, previews
from langchain_autotrace.trace.totals import COST_KEYS, costs_of, reasoning_of, totals, usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_autotrace.trace.spans import Span, Trace

TOKEN_KEYS: Final = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
)
"""Keys of MLflow's token usage."""
_REASONING: Final = "langchain_autotrace.reasoning_tokens"
_SCHEMA: Final = "3"
"""Version of MLflow's form of traces."""
_LONGEST_METADATA: Final = 250
_LONGEST_KEY: Final = 250
_LONGEST_TAG: Final = 4_096
_LONGEST_PREVIEW: Final = 1_000
"""Lengths in characters that all of MLflow's stores take."""
_INVALID_IN_KEY: Final = re.compile(r"[^/\w.\- :]")
_STORE_TAGS: Final = {TraceKey.ARTIFACTS, TraceKey.SPANS_LOCATION}
"""Tags that the store writes itself. A user's tag of the same name would have the trace rejected."""
_METADATA_FROM_SPANS: Final = (
    (TraceKey.SESSION, Attr.SESSION),
    (TraceKey.USER, Attr.USER),
    (Attr.CONTENT_HASH, Attr.CONTENT_HASH),
    (Attr.INTERRUPTED_THREAD, Attr.INTERRUPTED_THREAD),
    (Attr.RESUMES, Attr.RESUMES),
)
"""Trace metadata keys, and the span attributes that they are copied from."""
_NUL: Final = "\x00"
_ESCAPED_NUL: Final = "\\u0000"
_NUL_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""Replaces NUL characters, which PostgreSQL does not accept in text."""


class InfoValues(NamedTuple):
    """The values of a trace's row, beside its experiment."""

    trace_id: str
    """MLflow's id of the trace: ``tr-`` and 32 digits."""
    request_time_ms: int
    duration_ms: int
    state: str
    """Status of the trace: OK or ERROR."""
    tags: dict[str, str]
    metadata: dict[str, str]
    client_request_id: str | None
    request_preview: str | None
    response_preview: str | None


class TraceValues(NamedTuple):
    """A trace, or the late spans of a stored trace, as values to be stored."""

    trace_id: str
    """MLflow's id of the trace: ``tr-`` and 32 digits."""
    info: InfoValues | None
    """The trace's row; None for late spans, whose trace is already stored."""
    spans: list[dict[str, Any]]
    """Each as MLflow's ``Span.to_dict`` has it."""
    files: dict[str, bytes]
    """File id -> content of the files that span values refer to (``mlflow.tracing.attachments``)."""


def trace_values(trace: Trace) -> TraceValues:
    """Return the values of a trace, with the cost of its spans."""
    trace = trace._replace(spans=[with_cost(span) for span in trace.spans])
    spans = [_span_values(span) for span in trace.spans]
    return TraceValues(
        trace_id=TRACE_ID_PREFIX + trace.trace_id,
        info=None if trace.root is None else _info(trace, trace.root, spans),
        spans=spans,
        files={file_id: binascii.a2b_base64(content) for file_id, content in trace.files.items()},
    )


def _info(trace: Trace, root: Span, spans: Sequence[Mapping[str, Any]]) -> InfoValues:
    ended = root.start_ns if root.end_ns is None else root.end_ns
    update = _without_nul(trace.update)
    context = trace.context or TraceContext(experiment=None, experiment_id=None, tags={}, metadata={})
    tags = _beside(labels.trace_tags(trace.spans), update.get("tags", context["tags"]))
    tags[TraceKey.NAME] = update.get("name", root.name)
    given = _beside(labels.trace_metadata(trace.spans), update.get("metadata", context["metadata"]))
    request, response = _run_previews(root) if labels.is_run(root) else _mlflow_previews(trace.spans, spans)
    return InfoValues(
        trace_id=TRACE_ID_PREFIX + trace.trace_id,
        request_time_ms=root.start_ns // 1_000_000,
        duration_ms=(ended - root.start_ns) // 1_000_000,
        state=str(update.get("state", Status.ERROR if root.status == Status.ERROR else Status.OK)),
        tags=trace_tags(tags),
        metadata=_metadata(trace, given),
        client_request_id=update.get("client_request_id"),
        request_preview=_first_known(update.get("request_preview"), request),
        response_preview=_first_known(update.get("response_preview"), response),
    )


def _first_known(*texts: str | None) -> str | None:
    return next((text for text in texts if text is not None), None)


def _run_previews(root: Span) -> tuple[str | None, str | None]:
    """Return the previews of a run's request and response."""
    request = previews.request_preview(root, _LONGEST_PREVIEW)
    response = previews.response_preview(root, _LONGEST_PREVIEW)
    return request and _text(request), response and _text(response)


def _mlflow_previews(spans: Sequence[Span], values: Sequence[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Return the previews that MLflow makes itself, where the root is a span of its own."""
    for span, made in zip(spans, values, strict=True):
        if not span.parent_id:
            texts = made["attributes"]
            request = None if span.inputs is None else preview(span.inputs[0], texts[Attr.INPUTS], "user")
            response = None if span.outputs is None else preview(span.outputs[0], texts[Attr.OUTPUTS], "assistant")
            return request and _text(request), response and _text(response)
    return None, None


def _beside(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return what was given, and what was found under other keys.

    MySQL rejects a trace with keys that differ only in case or accents, so of those the one given, or the first, stays.
    """
    taken = {_folded(key) for key in given}
    kept: dict[str, str] = {}
    for key, value in found.items():
        folded = _folded(key)
        if folded not in taken:
            taken.add(folded)
            kept[key] = value
    return {**kept, **given}


@functools.lru_cache(maxsize=1024)
def _folded(key: str) -> str:
    """Return the key that is stored as a database compares it that ignores case and accents."""
    return "".join(one for one in unicodedata.normalize("NFKD", _key(key)) if not unicodedata.combining(one)).casefold()


def trace_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return trace tags with keys and values that MLflow accepts."""
    return {key: _text(value)[:_LONGEST_TAG] for key, value in _with_valid_keys(tags).items() if key not in _STORE_TAGS}


def _metadata(trace: Trace, given: Mapping[str, str]) -> dict[str, str]:
    found = {TraceKey.SCHEMA: _SCHEMA}
    if trace.process is not None:
        found |= _environment(trace.process.user, trace.process.source, trace.process.folder)
    for span in reversed(trace.spans):  # the first one that has a value counts
        for key, name in _METADATA_FROM_SPANS:
            if value := span.attributes.get(name):
                found[key] = str(value)
    if tokens := totals(trace.spans, usage_of, TOKEN_KEYS):
        found[TraceKey.TOKEN_USAGE] = orjson.dumps(tokens).decode()
    if costs := totals(trace.spans, costs_of, COST_KEYS):
        found[TraceKey.COST] = orjson.dumps(costs).decode()
    if reasoning := sum(map(reasoning_of, trace.spans)):
        found[_REASONING] = str(reasoning)
    return {key: _text(value)[:_LONGEST_METADATA] for key, value in (found | _with_valid_keys(given)).items()}


@functools.lru_cache(maxsize=256)
def _environment(user: str, source: str, folder: str) -> dict[str, str]:
    """Return user, source and git state of the program, under MLflow's names."""
    git = git_state(folder)
    found = {
        "mlflow.user": user,
        "mlflow.source.name": source,
        TraceKey.SOURCE_TYPE: "LOCAL",
        "mlflow.source.git.commit": git.commit,
        "mlflow.source.git.branch": git.branch,
        "mlflow.source.git.repoURL": git.repository,
    }
    return {key: str(value) for key, value in found.items() if value}


def _with_valid_keys(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return the pairs with keys that MLflow allows (``mlflow.utils.validation._validate_tag_name``)."""
    return {_key(key): str(value) for key, value in pairs.items()}


@functools.lru_cache(maxsize=1024)
def _key(key: str) -> str:
    """Return the key that is stored in place of one that the program gave."""
    clean = _INVALID_IN_KEY.sub("_", key)[:_LONGEST_KEY]
    # Stores that keep each tag in a file reject keys that are not normalized relative paths.
    if posixpath.normpath(clean) != clean or clean.startswith(("/", ".")):
        clean = f"_{clean.replace('/', '_')}"[:_LONGEST_KEY]
    return clean


def _span_values(span: Span) -> dict[str, Any]:
    # OpenTelemetry takes a message with an error only.
    message = _text(span.message) if span.status == Status.ERROR else ""
    return {
        "trace_id": _base64(span.trace_id),
        "span_id": _base64(span.span_id),
        "parent_span_id": _base64(span.parent_id) if span.parent_id else None,
        "name": _text(span.name),
        "start_time_unix_nano": span.start_ns,
        "end_time_unix_nano": span.end_ns,
        "events": [
            {
                "name": _text(event.name),
                "time_unix_nano": event.time_ns,
                "attributes": _event_attributes(event.attributes),
            }
            for event in span.events
        ],
        "status": {"code": f"STATUS_CODE_{span.status or 'UNSET'}", "message": message},
        "attributes": _span_attributes(span),
        "links": span.links,
    }


def _span_attributes(span: Span) -> dict[str, str]:
    """Return a span's attributes as MLflow stores them: each as JSON text."""
    known: dict[str, Any] = {Attr.SPAN_TYPE: span.type, **span.attributes}
    if known.get(Attr.SESSION) is not None:
        # MLflow rejects spans with a longer id (mlflow.store.tracking.utils.trace_analytics.validate_session_id).
        known[Attr.SESSION] = str(known[Attr.SESSION])[:_LONGEST_METADATA]
    if known.pop(Attr.TOKEN_USAGE, None) and (usage := usage_of(span)):
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
    return binascii.b2a_base64(bytes.fromhex(digits), newline=False).decode()
