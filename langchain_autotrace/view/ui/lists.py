"""Data of the pages that show many traces: the list, sessions, the overview, models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.redaction import scrub_text
from langchain_autotrace.view import catalog, models
from langchain_autotrace.view.catalog_filter import meets
from langchain_autotrace.view.page_data import json_text
from langchain_autotrace.view.store import exists
from langchain_autotrace.view.ui import queries

if TYPE_CHECKING:
    from langchain_autotrace.view.catalog import ListedTrace, Query
    from langchain_autotrace.view.ui.http_messages import Request
    from langchain_autotrace.view.ui.live import Live

_MAX_MODELS: Final = 200


def trace_list(uri: str, live: Live, request: Request) -> dict[str, Any]:
    """Return a page of traces; the first page of the newest has those of the journal too."""
    version = live.version()
    query, (sort, descending), (limit, offset) = queries.query(request), queries.sort(request), queries.page(request)
    found = _search(uri, query, sort=sort, descending=descending, limit=limit, offset=offset)
    stored = {one.row.trace_id for one in found.traces}
    is_newest = (sort, descending, offset) == ("time", True, 0)
    running = [one for one in _of_journal(live, query) if one.row.trace_id not in stored] if is_newest else []
    return {
        "version": version,
        "traces": [*(_row(one, in_store=False) for one in running), *map(_row, found.traces)],
        "total": found.total + len(running),
        "capped": found.is_capped,
        "limit": limit,
        "offset": offset,
    }


def _search(uri: str, query: Query, **options: Any) -> catalog.Page:  # noqa: ANN401 - those of search()
    return catalog.search(uri, query, **options) if exists(uri) else catalog.Page((), 0)


def _of_journal(live: Live, query: Query) -> list[ListedTrace]:
    """Return the traces of the journal that meet a query; those of which that is not known yet do not."""
    if query.model or query.logged_model:
        return []
    return [one for one in live.listed() if meets(query, one)]


def _row(one: ListedTrace, *, in_store: bool = True) -> dict[str, Any]:
    row = one.row
    return {
        "id": row.trace_id,
        "name": scrub_text(row.name),
        "status": row.status,
        "start_ms": row.start_ms,
        "duration_ms": row.duration_ms,
        "tokens": {"input": row.tokens.input, "output": row.tokens.output, "total": row.tokens.total},
        "cost": row.cost_usd,
        "experiment": one.experiment,
        "session": row.session,
        "user": row.user,
        "tags": row.tags,
        "request": scrub_text(one.request),
        "response": scrub_text(one.response),
        "stored": in_store,
    }


def content_hits(uri: str, request: Request) -> Iterator[bytes]:
    """Yield, a line of JSON each, the traces with a text in one of their spans, as they are found; last an error."""
    query = dataclasses.replace(queries.query(request), text="")
    text = request.param("text")
    looking = catalog.search_spans(uri, query, text) if text and exists(uri) else iter(())
    try:
        for ids in looking:
            yield _line({"traces": [_row(one) for one in catalog.named(uri, ids)]})
    except AutotraceError as error:
        yield _line({"error": str(error)})
    finally:
        if isinstance(looking, Iterator) and hasattr(looking, "close"):
            looking.close()


def _line(data: object) -> bytes:
    return (json_text(data) + "\n").encode("utf-8", "backslashreplace")


def choice_lists(uri: str) -> dict[str, Any]:
    """Return what filters offer."""
    return dataclasses.asdict(catalog.choices(uri) if exists(uri) else catalog.Choices((), (), (), ()))


def session_list(uri: str, request: Request) -> dict[str, Any]:
    """Return a page of sessions."""
    limit, offset = queries.page(request)
    query = queries.query(request)
    found = catalog.sessions(uri, query, limit=limit, offset=offset) if exists(uri) else catalog.Sessions((), 0)
    sessions = [
        {**dataclasses.asdict(one), "request": scrub_text(one.request), "session": one.session}
        for one in found.sessions
    ]
    page = {"total": found.total, "capped": found.is_capped, "limit": limit, "offset": offset}
    return {"sessions": sessions, "newest": _newest(found), **page}


def overview_sums(uri: str, request: Request) -> dict[str, Any]:
    """Return the sums of the overview but those by model."""
    query = queries.query(request)
    found = catalog.overview(uri, query, models=False) if exists(uri) else catalog.Overview(3_600_000, (), (), ())
    return {**dataclasses.asdict(found), "newest": _newest(found)}


def _newest(found: catalog.Overview | catalog.Sessions) -> int | None:
    """Return how many of the newest traces were counted; None where all were."""
    return catalog.MAX_TRACES if found.is_capped else None


def model_sums(uri: str, request: Request) -> dict[str, Any]:
    """Return the sums by model of the overview."""
    query = queries.query(request)
    found = catalog.by_model(uri, query) if exists(uri) else catalog.ModelSums(())
    newest = catalog.MAX_WITH_SPANS if found.is_capped else None
    return {"models": [dataclasses.asdict(one) for one in found.groups], "newest": newest}


def model_list(uri: str, request: Request) -> dict[str, Any]:
    """Return the newest models."""
    experiment = request.param("experiment") or None
    found = models.newest(uri, experiment=experiment, limit=_MAX_MODELS) if exists(uri) else []
    return {"models": [dataclasses.asdict(one) for one in found]}


def model_page(uri: str, model_id: str) -> dict[str, Any]:
    """Return one model with its details."""
    return dataclasses.asdict(models.page(uri, model_id, experiment=None))
