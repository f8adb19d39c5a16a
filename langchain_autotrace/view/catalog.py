"""Searches the traces of a store for lists, sessions and charts: filters, sort, pages, sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from langchain_autotrace.view.traces import TraceRow

Sort = Literal["time", "duration", "tokens", "cost", "name", "status"]

MAX_TRACES: Final = 5_000
"""Maximum number of traces, the newest ones, that are read from a store through MLflow's API."""
MAX_WITH_SPANS: Final = 300
"""Maximum number of those traces whose spans are read too, to find the models that they called."""


@dataclass(frozen=True, slots=True)
class Query:
    """Filters of a search; an empty field filters nothing."""

    experiment: str = ""
    """Name of the experiment."""
    status: str = ""
    """OK, ERROR or IN_PROGRESS."""
    name: str = ""
    """Name of the trace."""
    session: str = ""
    user: str = ""
    model: str = ""
    """Name of a model that one of the spans called."""
    logged_model: str = ""
    """Id of the MLflow model that the trace is linked to (``m-…``)."""
    tags: Mapping[str, str] = field(default_factory=dict)
    min_duration_ms: int | None = None
    max_duration_ms: int | None = None
    min_cost_usd: float | None = None
    max_cost_usd: float | None = None
    since_ms: int | None = None
    """Start of the time range in milliseconds since the Unix epoch, included."""
    until_ms: int | None = None
    """End of the time range, excluded."""
    text: str = ""
    """Text within the previews of question and answer, in any case."""


@dataclass(frozen=True, slots=True)
class ListedTrace:
    """A trace as a line of a list."""

    row: TraceRow
    experiment: str
    """Name of its experiment."""
    request: str
    """Preview of the question, as MLflow stores it."""
    response: str
    """Preview of the answer, as MLflow stores it."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the traces that were found."""

    traces: tuple[ListedTrace, ...]
    total: int
    """How many traces meet the query, on all pages."""
    is_capped: bool = False
    """Whether there may be more: ``total`` is then how many were looked at."""


@dataclass(frozen=True, slots=True)
class Session:
    """The traces of a session in sums."""

    session: str
    traces: int
    errors: int
    first_ms: int
    last_ms: int
    total_tokens: int | None
    """None where none of its traces says it; so is the cost."""
    cost_usd: float | None
    user: str
    request: str
    """Preview of the first question."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """A page of sessions, the one with the newest trace first."""

    sessions: tuple[Session, ...]
    total: int
    is_capped: bool = False
    """Whether only the newest traces were looked at."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The traces of a period in sums."""

    start_ms: int
    traces: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    input_tokens: int | None
    """None where none of its traces says it; so are the other two."""
    output_tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """Traces of one name, or calls of one model, in sums."""

    name: str
    count: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    total_tokens: int | None
    """None where none of them says it; so is the cost."""
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class ModelSums:
    """Calls of models in sums."""

    groups: tuple[Group, ...]
    """By model, the most frequent first; at most 50."""
    is_capped: bool = False
    """Whether only calls in the newest traces were counted."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What an overview shows of the traces that meet a query."""

    bucket_ms: int
    """Length of a period."""
    buckets: tuple[Bucket, ...]
    """Periods in order; those without a trace are left out."""
    names: tuple[Group, ...]
    """By name of the trace, the most frequent first; at most 50."""
    models: tuple[Group, ...]
    """By model that a span called, the most frequent first; at most 50."""
    is_capped: bool = False
    """Whether only the newest traces were counted."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Values that filters offer, the most frequent first; at most 200 each."""

    experiments: tuple[str, ...]
    names: tuple[str, ...]
    models: tuple[str, ...]
    users: tuple[str, ...]


def search(  # noqa: PLR0913 - what a page of a sorted search needs
    uri: str, query: Query, *, sort: Sort = "time", descending: bool = True, limit: int = 50, offset: int = 0
) -> Page:
    """Return a page of the traces that meet a query.

    Raises:
        SinkUnavailable: the store cannot be read; the same of the other functions.
    """
    return _way(uri).search(uri, query, sort=sort, descending=descending, limit=limit, offset=offset)


def sessions(uri: str, query: Query, *, limit: int = 50, offset: int = 0) -> Sessions:
    """Return a page of the sessions of the traces that meet a query."""
    return _way(uri).sessions(uri, query, limit=limit, offset=offset)


def overview(uri: str, query: Query, *, periods: int = 60, models: bool = True) -> Overview:
    """Return the sums of the traces that meet a query, for at most that many periods of time.

    Without ``models``, sums by model are left out: they take longer than all others; see :func:`by_model`.
    """
    return _way(uri).overview(uri, query, periods=periods, models=models)


def by_model(uri: str, query: Query) -> ModelSums:
    """Return the sums by model of the traces that meet a query."""
    return _way(uri).by_model(uri, query)


def choices(uri: str) -> Choices:
    """Return the values that filters offer."""
    return _way(uri).choices(uri)


def search_spans(uri: str, query: Query, text: str) -> Iterator[list[str]]:
    """Yield the ids of traces with a text in one of their spans, in parts, the newest first."""
    return _way(uri).search_spans(uri, query, text)


def named(uri: str, trace_ids: Sequence[str]) -> list[ListedTrace]:
    """Return the traces with these ids, those that there are, in their order."""
    return _way(uri).named(uri, trace_ids)


def delete(uri: str, trace_ids: Sequence[str]) -> int:
    """Delete traces; return how many there were."""
    from langchain_autotrace.view import catalog_api  # noqa: PLC0415 - it imports this module

    return catalog_api.delete(uri, trace_ids)


class _Way(Protocol):
    """A module that has these functions."""

    def search(  # noqa: PLR0913 - as above
        self, uri: str, query: Query, *, sort: Sort = "time", descending: bool = True, limit: int = 50, offset: int = 0
    ) -> Page: ...

    def sessions(self, uri: str, query: Query, *, limit: int = 50, offset: int = 0) -> Sessions: ...

    def overview(self, uri: str, query: Query, *, periods: int = 60, models: bool = True) -> Overview: ...

    def by_model(self, uri: str, query: Query) -> ModelSums: ...

    def choices(self, uri: str) -> Choices: ...

    def search_spans(self, uri: str, query: Query, text: str) -> Iterator[list[str]]: ...

    def named(self, uri: str, trace_ids: Sequence[str]) -> list[ListedTrace]: ...


def _way(uri: str) -> _Way:
    """Return the module that reads a store: its tables where they are known, for all others MLflow's API."""
    from langchain_autotrace.view import catalog_api, catalog_sql  # noqa: PLC0415 - they import this module

    return catalog_sql if catalog_sql.is_known(uri) else catalog_api
