"""Searches the traces of any store through MLflow's API, and does here what that API cannot.

It knows no sums, no sessions, and no filter for cost and previews: rows are read and counted here, of the newest
``MAX_TRACES`` traces that meet what the API can filter.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final

from langchain_autotrace.semconv import Attr
from langchain_autotrace.view import sums, traces
from langchain_autotrace.view.catalog import (
    MAX_TRACES,
    MAX_WITH_SPANS,
    Choices,
    ListedTrace,
    ModelSums,
    Overview,
    Page,
    Query,
    Session,
    Sessions,
    Sort,
)
from langchain_autotrace.view.catalog_filter import api_filter, meets
from langchain_autotrace.view.store import reading
from langchain_autotrace.view.sums import Call

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Span, Trace, TraceInfo

    from langchain_autotrace.view.traces import SpanNode

_PAGE: Final = 500
_PAGE_WITH_SPANS: Final = 50
_MAX_CHOICES: Final = 200
_ORDERS: Final[dict[Sort, str]] = {"time": "timestamp_ms", "duration": "execution_time_ms"}
"""What MLflow sorts by itself."""
_NEWEST: Final = "timestamp_ms DESC"
_ID: Final = re.compile(r"[\w.:/-]+")


def search(  # noqa: PLR0913 - what a page of a sorted search needs
    uri: str, query: Query, *, sort: Sort = "time", descending: bool = True, limit: int = 50, offset: int = 0
) -> Page:
    """Return a page of the traces that meet a query.

    Raises:
        SinkUnavailable: the store cannot be read.
    """
    order = f"{_ORDERS[sort]} {'DESC' if descending else 'ASC'}" if sort in _ORDERS else None
    with reading(uri) as client:
        most = min(offset + limit + 1, MAX_TRACES) if order else MAX_TRACES
        found, is_capped = _rows(client, query, order or _NEWEST, most)
    if order is None:
        found.sort(key=lambda one: _sort_key(one, sort), reverse=descending)
    return Page(tuple(found[offset : offset + limit]), len(found), is_capped=is_capped)


def sessions(uri: str, query: Query, *, limit: int = 50, offset: int = 0) -> Sessions:
    """Return a page of the sessions of the traces that meet a query; the arguments are those of :func:`search`."""
    found, is_capped = _newest(uri, query)
    by_session: dict[str, list[ListedTrace]] = defaultdict(list)
    for one in found:
        if one.row.session:
            by_session[one.row.session].append(one)
    all_sessions = [_session(name, some) for name, some in by_session.items()]
    return Sessions(tuple(all_sessions[offset : offset + limit]), len(all_sessions), is_capped=is_capped)


def overview(uri: str, query: Query, *, periods: int = 60, models: bool = True) -> Overview:
    """Return the sums of the traces that meet a query, for at most that many periods of time."""
    found, is_capped = _newest(uri, query)
    bucket_ms = sums.bucket_length([one.row.start_ms for one in found], periods)
    groups = by_model(uri, query).groups if models else ()
    return Overview(bucket_ms, sums.buckets(found, bucket_ms), sums.by_name(found), groups, is_capped=is_capped)


def by_model(uri: str, query: Query) -> ModelSums:
    """Return the sums by model of the newest traces that meet a query: their spans are read."""
    calls, is_capped = _calls(uri, query)
    return ModelSums(sums.by_model(calls), is_capped=is_capped)


def choices(uri: str) -> Choices:
    """Return the values that filters offer: those of the newest traces."""
    with reading(uri) as client:
        names = _experiment_names(client)
    found, _ = _newest(uri, Query())
    calls, _ = _calls(uri, Query())
    used = Counter(one.experiment for one in found)
    return Choices(
        experiments=tuple(sorted(names.values(), key=lambda name: (-used[name], name)))[:_MAX_CHOICES],
        names=_frequent(one.row.name for one in found),
        models=_frequent(call.model for call in calls),
        users=_frequent(one.row.user for one in found if one.row.user),
    )


def search_spans(uri: str, query: Query, text: str) -> Iterator[list[str]]:
    """Yield the ids of traces with a text in one of their spans, in parts, the newest first.

    Spans are read here, some traces at a time: MLflow's own filter reads an experiment's spans once for each trace.
    """
    wanted = text.casefold()
    with reading(uri) as client:
        for some in _pages(client, query, _NEWEST, with_spans=True):
            yield [trace.info.trace_id for trace in some if any(wanted in one for one in map(_text, trace.data.spans))]


def named(uri: str, trace_ids: Sequence[str]) -> list[ListedTrace]:
    """Return the traces with these ids, those that there are, in their order."""
    if not trace_ids:
        return []
    with reading(uri) as client:
        names = _experiment_names(client)
        known = filter(_ID.fullmatch, trace_ids)
        infos = [info for one in known for info in traces.search(client, list(names), 1, f"request_id = '{one}'")]
    return [listed(info, names) for info in infos]


def delete(uri: str, trace_ids: Sequence[str]) -> int:
    """Delete traces; return how many there were."""
    by_experiment: dict[str, list[str]] = defaultdict(list)
    with reading(uri) as client:
        everywhere = traces.locations(client, uri, None)
        for trace_id in filter(_ID.fullmatch, trace_ids):
            for info in traces.search(client, everywhere, 1, f"request_id = '{trace_id}'"):
                by_experiment[str(info.experiment_id)].append(info.trace_id)
        return sum(client.delete_traces(experiment, trace_ids=ids) for experiment, ids in by_experiment.items())


def _newest(uri: str, query: Query) -> tuple[list[ListedTrace], bool]:
    """Return the newest traces that meet a query, and whether there are more."""
    with reading(uri) as client:
        return _rows(client, query, _NEWEST, MAX_TRACES)


def _rows(client: MlflowClient, query: Query, order: str, most: int) -> tuple[list[ListedTrace], bool]:
    """Return at most that many traces that meet a query, of the first ``MAX_TRACES``, and whether there may be more."""
    names = _experiment_names(client)
    found: list[ListedTrace] = []
    looked_at = 0
    with closing(_pages(client, query, order)) as pages:
        for some in pages:
            looked_at += len(some)
            found += filter(partial(meets, query), (listed(one.info, names) for one in some))
            if len(found) >= most or looked_at >= MAX_TRACES:
                return found[:most], True
    return found, False


def listed(info: TraceInfo, experiments: Mapping[str, str]) -> ListedTrace:
    """Return a trace of MLflow's as a line of a list.

    Args:
        info: MLflow's facts of the trace.
        experiments: id -> name of each experiment.
    """
    experiment = experiments.get(str(info.experiment_id), "")
    return ListedTrace(traces.row(info), experiment, info.request_preview or "", info.response_preview or "")


def _pages(
    client: MlflowClient, query: Query, order: str, *, with_spans: bool = False
) -> Generator[list[Trace], None, None]:
    """Yield the traces that meet what MLflow can filter, in pages."""
    names = _experiment_names(client)
    locations = [one for one, name in names.items() if query.experiment in {"", name}]
    token = None
    while locations:
        page = client.search_traces(
            locations=locations,
            filter_string=api_filter(query),
            max_results=_PAGE_WITH_SPANS if with_spans else _PAGE,
            order_by=[order],
            page_token=token,
            include_spans=with_spans,
        )
        yield list(page)
        token = page.token
        if not token:
            return


def _experiment_names(client: MlflowClient) -> dict[str, str]:
    return {one.experiment_id: one.name for one in traces.experiments(client)}


def _calls(uri: str, query: Query) -> tuple[list[Call], bool]:
    """Return the calls of models in the newest traces that meet a query, and whether there may be more."""
    found: list[Call] = []
    looked_at = 0
    with reading(uri) as client:
        names = _experiment_names(client)
        for some in _pages(client, query, _NEWEST, with_spans=True):
            for trace in some:
                if meets(query, listed(trace.info, names)):
                    found += filter(None, map(_call, traces.tree_of(trace).spans))
            looked_at += len(some)
            if looked_at >= MAX_WITH_SPANS:
                return found, True
    return found, False


def _call(span: SpanNode) -> Call | None:
    if span.model is None:
        return None
    cost = span.attributes.get(Attr.COST)
    return Call(
        model=span.model,
        failed=span.status == "ERROR",
        duration_ms=None if span.duration_ns is None else span.duration_ns / 1e6,
        tokens=span.tokens.total,
        cost_usd=cost.get("total_cost") if isinstance(cost, dict) else None,
    )


def _session(name: str, newest_first: Sequence[ListedTrace]) -> Session:
    rows = [one.row for one in newest_first]
    return Session(
        session=name,
        traces=len(rows),
        errors=sum(row.status == "ERROR" for row in rows),
        first_ms=rows[-1].start_ms,
        last_ms=rows[0].start_ms,
        total_tokens=sums.total(row.tokens.total for row in rows),
        cost_usd=sums.total(row.cost_usd for row in rows),
        user=next((row.user for row in rows if row.user), ""),
        request=newest_first[-1].request,
    )


def _sort_key(one: ListedTrace, sort: Sort) -> tuple[float | str, int]:
    """Return what a trace is sorted by; where it has none, it counts as the least."""
    row = one.row
    keys: dict[Sort, float | str] = {
        "name": row.name.casefold(),
        "status": row.status,
        "tokens": -1 if row.tokens.total is None else row.tokens.total,
        "cost": -1.0 if row.cost_usd is None else row.cost_usd,
    }
    return keys[sort], row.start_ms


def _frequent(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(value for value, _ in Counter(values).most_common(_MAX_CHOICES))


def _text(span: Span) -> str:
    parts = (span.name, span.inputs, span.outputs, span.status.description)
    texts = (one if isinstance(one, str) else json.dumps(one, ensure_ascii=False, default=str) for one in parts if one)
    return "\n".join([*texts, *(str(event.attributes) for event in span.events)]).casefold()
