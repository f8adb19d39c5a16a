"""Reads stored traces as small frozen records."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from langchain_autotrace.errors import SinkUnavailable, TraceNotFound
from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.redaction import without_password
from langchain_autotrace.semconv import Attr, Status
from langchain_autotrace.view import mlflow_stored, sources

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Trace, TraceInfo

    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.sources import Source
    from langchain_autotrace.view.stored import StoredInfo, StoredSpan, StoredTrace

_PAGE: Final = 100
_NEWEST: Final = ["timestamp_ms DESC"]
_WHOLE_ID: Final = re.compile(r"tr-[0-9a-f]{32}")
_ID: Final = re.compile(r"[\w.:/-]+")
_INTERNAL_TAG: Final = "mlflow."
_SESSION: Final = "mlflow.trace.session"
_USER: Final = "mlflow.trace.user"
_NAME: Final = "mlflow.traceName"
_SHOWN_ELSEWHERE: Final = frozenset(
    {
        *("mlflow.traceInputs", "mlflow.traceOutputs", "mlflow.trace.tokenUsage", "mlflow.trace.cost"),
        *("mlflow.trace.sizeStats", "mlflow.trace.sizeBytes", "mlflow.trace_schema.version"),
        *("mlflow.trace.infoFinalized", _SESSION, _USER),
    }
)
"""Metadata that a row has under other names, or that is of no use to a reader."""
_MANY: Final = 5
NAMED_BY_SPANS: Final = frozenset({Attr.INPUTS, Attr.OUTPUTS, Attr.SPAN_TYPE, Attr.TRACE_REQUEST_ID})
"""Attributes that a span has under other names."""


class _Linked(Protocol):
    """A span that knows its parent."""

    @property
    def span_id(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...


_Any = TypeVar("_Any", bound=_Linked)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of a span or of a whole trace; None if not known."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached: int | None = None
    """Input tokens read from the provider's cache; included in ``input``."""
    reasoning: int | None = None
    """Output tokens used for reasoning; included in ``output``."""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A trace as shown in a list."""

    trace_id: str
    name: str
    status: str
    """OK, ERROR, IN_PROGRESS or STATE_UNSPECIFIED."""
    start_ms: int
    """Start time in milliseconds since the Unix epoch."""
    duration_ms: int | None
    tokens: Tokens
    cost_usd: float | None
    """Cost as calculated by MLflow, in US dollars; None if it knows no price."""
    experiment_id: str | None
    session: str | None
    user: str | None
    tags: dict[str, str]
    """The user's tags; MLflow's own are left out."""
    metadata: dict[str, str] = field(default_factory=dict)
    """The trace's metadata: the user's, and MLflow's, such as the program's file and commit."""


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span with its depth in the tree."""

    span_id: str
    parent_id: str | None
    depth: int
    """Depth in the tree; 0 for a root."""
    name: str
    type: str
    status: str
    """OK, ERROR or UNSET (still open)."""
    start_ns: int
    duration_ns: int | None
    """Duration in nanoseconds; None while the span is open."""
    outcome: str | None
    """A value of ``semconv.Outcome``: interrupted, abandoned, cancelled or lost; None for any other span."""
    error: str | None
    """``Type: message`` of the exception; None without an error."""
    model: str | None
    tokens: Tokens
    inputs: Any
    outputs: Any
    attributes: dict[str, Any]
    """All attributes but inputs, outputs, span type and trace id."""
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TraceTree:
    """A trace with its spans in the order of the tree: each span before its children, siblings by start time."""

    row: TraceRow
    spans: tuple[SpanNode, ...]


def folded(tree: TraceTree) -> tuple[TraceTree, int]:
    """Return a tree without its plumbing, and how many spans that leaves out.

    What is below such a span is shown below the nearest span above it that is visible. The first span of the trace, and
    one whose parent is missing, is always shown.
    """
    shown: list[SpanNode] = []
    path: list[bool] = []  # whether each span on the way to the present one is visible
    for span in tree.spans:
        del path[span.depth :]
        is_visible = not (span.depth and span.attributes.get(Attr.PLUMBING))
        if is_visible:
            shown.append(replace(span, depth=sum(path)))
        path.append(is_visible)
    return TraceTree(tree.row, tuple(shown)), len(tree.spans) - len(shown)


def newest(
    uri: str, *, experiment: str | None = None, limit: int, condition: str | None = None, query: Query | None = None
) -> list[TraceRow]:
    """Return the newest traces, the newest first.

    Args:
        uri: the tracking URI.
        experiment: name of the experiment to look in; all by default.
        limit: how many at most.
        condition: only those that meet it, in the language of ``mlflow.search_traces()``.
        query: the same as a query, for stores that are read without MLflow; None where it cannot say it.

    Raises:
        SinkUnavailable: the store cannot be read, or has no such experiment.
    """
    with sources.reading(uri, only_api=condition is not None and query is None) as source:
        places = _places(source, uri, experiment)
        return [row_of(info) for info in source.newest(places, limit, condition, query)]


def tree(uri: str, trace_id: str, *, experiment: str | None = None) -> TraceTree:
    """Return one trace as a tree.

    Args:
        uri: the tracking URI.
        trace_id: MLflow's id, the first or last digits of one (with or without ``tr-``), or ``last``.
        experiment: name of the experiment to look in; all by default.

    Raises:
        TraceNotFound: there is no such trace, or more than one.
        SinkUnavailable: the store cannot be read.
    """
    with sources.reading(uri) as source:
        return tree_of_stored(chosen(source, uri, trace_id, experiment=experiment))


def chosen(source: Source, uri: str, trace_id: str, *, experiment: str | None = None) -> StoredTrace:
    """Return one trace; the other arguments and the errors are those of :func:`tree`."""
    return source.trace(_find(source, uri, trace_id, experiment))


def stored_trace(client: MlflowClient, uri: str, trace_id: str, *, experiment: str | None = None) -> Trace:
    """Return one trace as MLflow's; the arguments and errors are those of :func:`tree`."""
    found: Trace = client.get_trace(_find(_api(client), uri, trace_id, experiment), display=False)
    return found


def tree_of(trace: Trace) -> TraceTree:
    """Return a trace of MLflow's as a tree."""
    return tree_of_stored(mlflow_stored.trace_of(trace))


def tree_of_stored(trace: StoredTrace) -> TraceTree:
    """Return a stored trace as a tree."""
    spans = tuple(_node(span, depth) for span, depth in in_order(trace.spans, lambda span: span.start_ns))
    reasoning = _sum(span.tokens.reasoning for span in spans)
    return TraceTree(row_of(trace.info, reasoning), spans)


def _find(source: Source, uri: str, wanted: str, experiment: str | None) -> str:
    public, places = without_password(uri), _places(source, uri, experiment)
    if wanted == "last":
        rows = source.newest(places, 1)
        if not rows:
            msg = f"no traces yet in {public}: call langchain_autotrace.autolog() in your program and run it."
            raise TraceNotFound(msg)
        return rows[0].trace_id
    found = _abbreviated(source, places, wanted) if _ID.fullmatch(wanted) else []
    if not found:
        msg = f"no trace {wanted!r} in {public}; see: langchain-autotrace list"
        raise TraceNotFound(msg)
    if len(found) > 1:
        some = ", ".join(found[:_MANY])
        msg = f"more than one trace matches {wanted!r}: {some}{', …' if len(found) > _MANY else ''}. Use a longer id."
        raise TraceNotFound(msg)
    return found[0]


def _abbreviated(source: Source, places: Sequence[str], wanted: str) -> list[str]:
    """Return the ids that begin with some digits; where none does, those that end with them."""
    start = wanted if wanted.startswith(TRACE_ID_PREFIX) else TRACE_ID_PREFIX + wanted
    if _WHOLE_ID.fullmatch(start):
        return [start] if source.has(places, start) else []
    found = source.matching(places, start, "", _MANY + 1)
    return [one for one in found if one.startswith(start)] or [
        one for one in source.matching(places, "", wanted, _MANY + 1) if one.endswith(wanted)
    ]


def _places(source: Source, uri: str, experiment: str | None) -> list[str]:
    """Return the ids of the experiments to look in: the one with that name, or all.

    Raises:
        SinkUnavailable: there is no experiment with that name.
    """
    if experiment is None:
        return [experiment_id for experiment_id, _ in source.experiments()]
    found = source.experiment(experiment)
    if found is None:
        names = ", ".join(repr(name) for _, name in source.experiments()[:_MANY])
        msg = (
            f"no experiment {experiment!r} in {without_password(uri)}; existing experiments include: {names or 'none'}."
        )
        raise SinkUnavailable(msg)
    return [found]


def locations(client: MlflowClient, uri: str, experiment: str | None) -> list[str]:
    """Return the ids of the experiments to look in: the one with that name, or all.

    Raises:
        SinkUnavailable: there is no experiment with that name.
    """
    return _places(_api(client), uri, experiment)


def _api(client: MlflowClient) -> Source:
    from langchain_autotrace.view.api_source import ApiSource  # noqa: PLC0415 - it imports this module

    return ApiSource(client)


def experiments(client: MlflowClient) -> list[Experiment]:
    """Return all experiments of a store."""
    page = client.search_experiments()
    found = list(page)
    while page.token:
        page = client.search_experiments(page_token=page.token)
        found += page
    return found


def search(client: MlflowClient, locations: list[str], limit: int, condition: str | None = None) -> list[TraceInfo]:
    """Return MLflow's facts of the newest traces that meet a condition in its language."""
    found: list[TraceInfo] = []
    token = None
    while locations and len(found) < limit:
        page = client.search_traces(
            locations=locations,
            filter_string=condition,
            max_results=min(limit - len(found), _PAGE),
            order_by=_NEWEST,
            page_token=token,
            include_spans=False,
        )
        found += [trace.info for trace in page]
        token = page.token
        if not token:
            break
    return found


def row(info: TraceInfo) -> TraceRow:
    """Return the facts of a trace of MLflow's; the tokens for reasoning are known by its spans only."""
    return row_of(mlflow_stored.info_of(info))


def row_of(info: StoredInfo, reasoning: int | None = None) -> TraceRow:
    """Return the facts of a trace.

    Args:
        info: what the store has of it.
        reasoning: tokens for reasoning, which its spans know.
    """
    return TraceRow(
        trace_id=info.trace_id,
        name=info.tags.get(_NAME) or "-",
        status=info.state,
        start_ms=info.start_ms,
        duration_ms=info.duration_ms,
        tokens=tokens_of(info.usage, reasoning),
        cost_usd=info.cost.get("total_cost"),
        experiment_id=info.experiment_id,
        session=info.metadata.get(_SESSION),
        user=info.metadata.get(_USER),
        tags=users_tags(info.tags),
        metadata=shown_metadata(info.metadata),
    )


def users_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return a trace's tags without MLflow's own."""
    return {key: value for key, value in tags.items() if not key.startswith(_INTERNAL_TAG)}


def shown_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a trace's metadata without what a :class:`TraceRow` has under other names, or what is of no use."""
    return {key: value for key, value in metadata.items() if key not in _SHOWN_ELSEWHERE}


def tokens_of(usage: object, reasoning: object = None) -> Tokens:
    """Return token counts from those under MLflow's names; counts that are not known are None."""
    known = usage if isinstance(usage, Mapping) else {}
    return Tokens(
        input=known.get("input_tokens"),
        output=known.get("output_tokens"),
        total=known.get("total_tokens"),
        cached=known.get("cache_read_input_tokens"),
        reasoning=reasoning if isinstance(reasoning, int) else None,
    )


def _sum(counts: Iterator[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def in_order(spans: Sequence[_Any], start_of: Callable[[_Any], int]) -> Iterator[tuple[_Any, int]]:
    """Yield all spans in tree order, each with its depth; a span whose parent is missing is shown as a root.

    Args:
        spans: the spans of a trace.
        start_of: returns the start of a span; siblings are ordered by it.
    """
    children: dict[str | None, list[_Any]] = defaultdict(list)
    ids = {span.span_id for span in spans}
    for span in reversed(sorted(spans, key=start_of)):  # noqa: C413 - keeps the order of spans that start at the same time
        children[span.parent_id if span.parent_id in ids else None].append(span)
    waiting = [(span, 0) for span in children.pop(None, [])]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting += [(child, depth + 1) for child in children.pop(span.span_id, [])]
    # Spans that are their own ancestors are not reached from any root.
    yield from ((span, 0) for circle in children.values() for span in circle)


def _node(span: StoredSpan, depth: int) -> SpanNode:
    attributes = {key: value for key, value in span.attributes.items() if key not in NAMED_BY_SPANS}
    return SpanNode(
        span_id=span.span_id,
        parent_id=span.parent_id,
        depth=depth,
        name=span.name,
        type=str(span.attributes.get(Attr.SPAN_TYPE) or "UNKNOWN"),
        status=span.status,
        start_ns=span.start_ns,
        duration_ns=None if span.end_ns is None else span.end_ns - span.start_ns,
        outcome=attributes.get(Attr.OUTCOME),
        error=error_of(span.status, span.events, span.message),
        model=attributes.get(Attr.MODEL),
        tokens=tokens_of(attributes.get(Attr.TOKEN_USAGE), attributes.get(Attr.REASONING_TOKENS)),
        inputs=span.attributes.get(Attr.INPUTS),
        outputs=span.attributes.get(Attr.OUTPUTS),
        attributes=attributes,
        events=span.events,
    )


def error_of(status: str, events: Sequence[Mapping[str, Any]], description: str | None) -> str | None:
    """Return ``Type: message`` of a span's error; None without one.

    Args:
        status: the span's status.
        events: its events.
        description: the text of its status.
    """
    if status != Status.ERROR:
        return None
    for event in events:
        kind, message = event.get("exception.type"), event.get("exception.message")
        if kind:
            return f"{kind}: {message}" if message else str(kind)
    return description or None
