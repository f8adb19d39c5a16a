"""Turns a query into a filter of MLflow's, and checks what MLflow has no filter for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_autotrace.view.catalog import ListedTrace, Query

_SESSION: Final = "metadata.`mlflow.trace.session`"
_USER: Final = "metadata.`mlflow.trace.user`"
_LOGGED_MODEL: Final = "metadata.`mlflow.modelId`"
_MODEL: Final = "span.attributes.mlflow.llm.model"


def api_filter(query: Query) -> str | None:
    """Return a query as far as MLflow's language can say it; None where it says nothing.

    Model and logged model are in it alone; everything else :func:`meets` checks too.
    """
    return " AND ".join(_conditions(query)) or None


def _conditions(query: Query) -> Iterator[str]:
    texts = {
        "trace.status": query.status,
        "trace.name": query.name,
        _SESSION: query.session,
        _USER: query.user,
        _LOGGED_MODEL: query.logged_model,
        **{f"tag.`{key}`": value for key, value in query.tags.items() if "`" not in key},
    }
    for field, text in texts.items():
        if text and (quoted := _quoted(text)):
            yield f"{field} = {quoted}"
    if query.model and "'" not in query.model:
        # MLflow puts the pattern behind the attribute's name in the span's JSON: ``"…model": "\\"gpt-4o\\""``.
        yield f'{_MODEL} LIKE \': "_"{query.model}_""\''
    numbers = (
        ("trace.execution_time_ms >=", query.min_duration_ms),
        ("trace.execution_time_ms <=", query.max_duration_ms),
        ("trace.timestamp_ms >=", query.since_ms),
        ("trace.timestamp_ms <", query.until_ms),
    )
    yield from (f"{condition} {number}" for condition, number in numbers if number is not None)


def _quoted(text: str) -> str | None:
    """Return a text as MLflow's language quotes it; None for one with both kinds of quotation marks."""
    mark = next((mark for mark in "'\"" if mark not in text), None)
    return None if mark is None else f"{mark}{text}{mark}"


def meets(query: Query, trace: ListedTrace) -> bool:
    """Return whether a trace meets a query, its models apart."""
    row = trace.row
    wanted = text_in(query.text, trace)
    equal = (
        (query.experiment, trace.experiment),
        (query.status, row.status),
        (query.name, row.name),
        (query.session, row.session),
        (query.user, row.user),
        *((value, row.tags.get(key)) for key, value in query.tags.items()),
    )
    return (
        wanted
        and all(not asked or asked == found for asked, found in equal)
        and _within(row.duration_ms, query.min_duration_ms, query.max_duration_ms)
        and _within(row.cost_usd, query.min_cost_usd, query.max_cost_usd)
        and _within(row.start_ms, query.since_ms, None if query.until_ms is None else query.until_ms - 1)
    )


def text_in(text: str, trace: ListedTrace) -> bool:
    """Return whether a text is in the previews of question and answer, in any case."""
    wanted = text.casefold()
    return wanted in trace.request.casefold() or wanted in trace.response.casefold()


def _within(number: float | None, least: float | None, most: float | None) -> bool:
    if number is None:
        return least is None and most is None
    return (least is None or number >= least) and (most is None or number <= most)
