"""Makes the rows of a new trace: what MLflow's ``start_trace`` and then ``log_spans`` leave in its database."""

from __future__ import annotations

import binascii
import json
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from langchain_autotrace.semconv import Attr, Status, TraceKey
from langchain_autotrace.ship.bulk.older_rows import with_metrics
from langchain_autotrace.ship.bulk.revisions import INFO, METADATA, SPANS, TAGS
from langchain_autotrace.ship.bulk.stored_span import stored_span, text_of
from langchain_autotrace.ship.trace_values import TOKEN_KEYS
from langchain_autotrace.trace.totals import COST_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_autotrace.ship.trace_values import InfoValues, TraceValues

_TRACE_TAG: Final = "mlflow.traceTag."
_CONVERSATION: Final = "gen_ai.conversation.id"
_LONGEST_MODEL: Final = 500
_LARGEST: Final = 2**63 - 1
_STATES: Final = frozenset({Status.OK, Status.ERROR})
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode
_FIELDS: Final = [
    "trace_id", "span_id", "parent_span_id", "name", "start_time_unix_nano", "end_time_unix_nano", "events", "status",
    "attributes", "links",
]  # fmt: skip
"""Fields of a span in the order in which MLflow writes them."""
_COLUMNS_OF_METADATA: Final = (TraceKey.SESSION, TraceKey.TOKEN_USAGE, TraceKey.COST)
"""Metadata that are columns of the trace's row."""

Row = dict[str, Any]
TableRows = dict[str, list[Row]]
"""Table -> its rows, each column -> value; columns that are left out are empty."""


class UnknownTraceError(Exception):
    """It is not known what MLflow would store of the trace."""


class Place(NamedTuple):
    """Where a trace goes."""

    experiment_id: int
    traces: str
    """Address of the folder that has the files of the experiment's traces."""


def trace_rows(values: TraceValues, place: Place, *, has_metrics: bool) -> TableRows:
    """Return the rows of a new trace.

    Args:
        values: the trace.
        place: where it goes.
        has_metrics: whether tokens and costs are in tables of their own (:class:`Revision`).

    Raises:
        UnknownTraceError: only MLflow knows them.
    """
    if values.info is None:
        raise UnknownTraceError
    spans = [stored_span(span) for span in values.spans]
    _check_spans(spans)
    columns = _analytics(values.info.metadata)
    has_session, has_sums = _check_sums(spans, columns, values.info.metadata)
    is_final = has_sums or (has_session and not has_metrics)
    info = _info_row(values.info, place, columns, spans, is_final=is_final)
    _check_previews(info, spans)
    rows = {
        INFO: [info],
        TAGS: _pairs(values.trace_id, _tags(values.info, place)),
        METADATA: _pairs(values.trace_id, _metadata(values.info)),
        SPANS: [
            _span_row(values.trace_id, place.experiment_id, was, span)
            for was, span in zip(values.spans, spans, strict=True)
        ],
    }
    return with_metrics(rows, values.info) if has_metrics else rows


def _check_spans(spans: Sequence[Mapping[str, Any]]) -> None:
    """Check that the spans are one tree's, each once, and that none says something of the trace."""
    ids = {span["span_id"] for span in spans}
    roots = sum(not span["parent_span_id"] for span in spans)
    names = {key for span in spans for key in span["attributes"]}
    if (
        len(ids) < len(spans)
        or roots != 1
        or _CONVERSATION in names
        or any(key.startswith(_TRACE_TAG) for key in names)
    ):
        raise UnknownTraceError


def _analytics(metadata: Mapping[str, str]) -> Row:
    """Return the columns that MLflow makes of a trace's metadata."""
    found: Row = {}
    if TraceKey.SESSION in metadata:
        found["session_id"] = metadata[TraceKey.SESSION]
    tokens, costs = (_json_object(metadata.get(key)) for key in (TraceKey.TOKEN_USAGE, TraceKey.COST))
    for key in TOKEN_KEYS:
        if key in tokens:
            found[key] = _checked(tokens[key], type(tokens[key]) is int and abs(tokens[key]) <= _LARGEST)
    for key in COST_KEYS:
        if key in costs:
            amount = costs[key]
            found[key] = float(_checked(amount, type(amount) in {int, float} and math.isfinite(amount)))
    return found


def _json_object(text: str | None) -> dict[str, Any]:
    value = {} if text is None else orjson.loads(text)
    return dict(_checked(value, isinstance(value, dict)))


def _checked(value: Any, is_known: bool) -> Any:  # noqa: ANN401, FBT001 - JSON, and a condition
    if not is_known:
        raise UnknownTraceError
    return value


def _check_sums(spans: Sequence[Mapping[str, Any]], columns: Row, metadata: Mapping[str, str]) -> tuple[bool, bool]:
    """Check that session, user, tokens and cost of the spans are the trace's, too: else ``log_spans`` adds them.

    Returns:
        Whether there is a session, and whether tokens or cost: with them, ``log_spans`` leaves the trace's times alone.
    """
    session, user = (_first_named(spans, key) for key in (Attr.SESSION, Attr.USER))
    has_tokens, has_cost = (any(key in span["attributes"] for span in spans) for key in (Attr.TOKEN_USAGE, Attr.COST))
    if (
        (session and columns.get("session_id") is None)
        or (user and TraceKey.USER not in metadata)
        or (has_tokens and not _any_in(columns, TOKEN_KEYS))
        or (has_cost and not _any_in(columns, COST_KEYS))
    ):
        raise UnknownTraceError
    return bool(session), has_tokens or has_cost


def _first_named(spans: Iterable[Mapping[str, Any]], key: str) -> str | None:
    text = next((text for span in spans if (text := span["attributes"].get(key))), None)
    return None if text is None else text_of(text)


def _any_in(columns: Row, keys: Iterable[str]) -> bool:
    return any(columns.get(key) is not None for key in keys)


def _info_row(
    info: InfoValues, place: Place, columns: Row, spans: Sequence[Mapping[str, Any]], *, is_final: bool
) -> Row:
    started, took = (info.request_time_ms, info.duration_ms) if is_final else _widened(info, spans)
    return {
        "request_id": info.trace_id,
        "experiment_id": place.experiment_id,
        "timestamp_ms": started,
        "execution_time_ms": took,
        "status": _checked(info.state, info.state in _STATES),
        "client_request_id": info.client_request_id,
        "request_preview": info.request_preview,
        "response_preview": info.response_preview,
        "db_payload_generation": 1,
        "trace_name": info.tags[TraceKey.NAME],
        **columns,
    }


def _widened(info: InfoValues, spans: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return begin and duration in milliseconds of the trace with all its spans."""
    started = min(info.request_time_ms, min(span["start_time_unix_nano"] for span in spans) // 1_000_000)
    ends = [span["end_time_unix_nano"] for span in spans if span["end_time_unix_nano"] is not None]
    if not ends:
        return started, info.duration_ms
    return started, max(info.request_time_ms + info.duration_ms, max(ends) // 1_000_000) - started


def _check_previews(info: Row, spans: Sequence[Mapping[str, Any]]) -> None:
    root = next(span["attributes"] for span in spans if not span["parent_span_id"])
    for column, key in (("request_preview", Attr.INPUTS), ("response_preview", Attr.OUTPUTS)):
        _checked(None, info[column] is not None or key not in root)


def _tags(info: InfoValues, place: Place) -> dict[str, str]:
    own = {key: value for key, value in info.tags.items() if key != TraceKey.NAME}
    artifacts = f"{place.traces}/{info.trace_id}/artifacts"
    return {**own, TraceKey.ARTIFACTS: artifacts, TraceKey.SPANS_LOCATION: "TRACKING_STORE"}


def _metadata(info: InfoValues) -> dict[str, str]:
    own = {key: value for key, value in info.metadata.items() if key not in _COLUMNS_OF_METADATA}
    return {**own, TraceKey.FINALIZED: "true"}


def _pairs(trace_id: str, pairs: Mapping[str, str]) -> list[Row]:
    return [{"request_id": trace_id, "key": key, "value": value} for key, value in pairs.items()]


def _span_row(trace_id: str, experiment_id: int, was: Mapping[str, Any], span: Mapping[str, Any]) -> Row:
    attributes = span["attributes"]
    costs = json.loads(attributes[Attr.COST]) if Attr.COST in attributes else {}
    kind = orjson.loads(was["attributes"][Attr.SPAN_TYPE])
    return {
        "trace_id": trace_id,
        "experiment_id": experiment_id,
        "span_id": _hexadecimal(span["span_id"]),
        "parent_span_id": _hexadecimal(span["parent_span_id"]) if span["parent_span_id"] else None,
        "name": span["name"],
        "type": _checked(kind, isinstance(kind, str)),
        "status": span["status"]["code"].removeprefix("STATUS_CODE_"),
        "start_time_unix_nano": span["start_time_unix_nano"],
        "end_time_unix_nano": span["end_time_unix_nano"],
        "content": _content(span),
        **{key: _amount(costs[key]) for key in COST_KEYS if key in costs},
        "model_name": _named(attributes.get(Attr.MODEL)),
        "model_provider": _named(attributes.get(Attr.PROVIDER)),
    }


def _content(span: Mapping[str, Any]) -> str:
    """Return the JSON text that MLflow stores of a span: that of Python's ``json``, with a space after each separator.

    Texts are escaped by orjson, which does it in the same way: for long ones, it takes a tenth of the time.
    """
    _checked(None, [*span] == _FIELDS)
    status, texts = span["status"], [f"{_plain(key)}: {_plain(text)}" for key, text in span["attributes"].items()]
    return (
        f'{{"trace_id": {_plain(span["trace_id"])}, "span_id": {_plain(span["span_id"])}, '
        f'"parent_span_id": {_plain(span["parent_span_id"])}, "name": {_plain(span["name"])}, '
        f'"start_time_unix_nano": {_plain(span["start_time_unix_nano"])}, '
        f'"end_time_unix_nano": {_plain(span["end_time_unix_nano"])}, "events": {_list(span["events"])}, '
        f'"status": {{"code": {_plain(status["code"])}, "message": {_plain(status["message"])}}}, '
        f'"attributes": {{{", ".join(texts)}}}, "links": {_list(span["links"])}}}'
    )


def _plain(value: str | int | None) -> str:
    """Return a text, number or None as JSON."""
    return orjson.dumps(value).decode()


def _list(items: Sequence[Any]) -> str:
    return _encode(items) if items else "[]"


def _hexadecimal(base64_id: str) -> str:
    return binascii.a2b_base64(base64_id).hex()


def _amount(value: object) -> float | None:
    is_amount = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_amount and math.isfinite(value) else None  # type: ignore[arg-type] # as checked


def _named(text: str | None) -> str | None:
    """Return a model's or provider's name as MLflow shortens it for its column."""
    return None if text is None else text_of(text)[:_LONGEST_MODEL]
