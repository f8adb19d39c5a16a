"""Looks for a text in the contents of spans."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from langchain_autotrace.view.sql.conditions import Condition, condition, contains, escaped
from langchain_autotrace.view.sql.span_json import stored_span
from langchain_autotrace.view.sql.trace_infos import marks
from langchain_autotrace.view.stored import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.sql.tables import Tables

_PART: Final = 200
"""Traces whose spans are read at a time: a database is locked against writers as long as it is read."""
_PLAIN: Final = re.compile(r"[a-z0-9_]+(?: [a-z0-9_]+)*", re.ASCII)
"""What stands in a span's JSON as it stands in the text."""
_NEXT: Final = (
    "SELECT t.timestamp_ms, t.request_id FROM trace_info t WHERE {condition}{after} "
    "ORDER BY t.timestamp_ms DESC, t.request_id LIMIT {part}"
)
_AFTER: Final = " AND (t.timestamp_ms < ? OR (t.timestamp_ms = ? AND t.request_id > ?))"
_SPANS: Final = "SELECT s.trace_id, s.content FROM spans s WHERE s.trace_id IN ({marks}) AND {contains}"


def search_spans(tables: Tables, query: Query, text: str) -> Iterator[list[str]]:
    """Yield the ids of traces with a text in one of their spans, in parts, the newest first; a part may be empty."""
    for ids in _parts(tables, condition(tables, query)):
        found = _with_text(tables, ids, text.casefold())
        yield [trace_id for trace_id in ids if trace_id in found]


def _parts(tables: Tables, wanted: Condition) -> Iterator[list[str]]:
    """Yield the ids of the traces that meet a condition, in parts, the newest first."""
    after: tuple[object, ...] = ()
    while True:
        statement = _NEXT.format(condition=wanted.text, after=_AFTER if after else "", part=_PART)
        rows = tables.all(statement, (*wanted.values, *after))
        if not rows:
            return
        yield [trace_id for _, trace_id in rows if wanted.ids is None or trace_id in wanted.ids]
        last_ms, last_id = rows[-1]
        after = (last_ms, last_ms, last_id)


def _with_text(tables: Tables, trace_ids: Sequence[str], wanted: str) -> set[str]:
    """Return those of the traces that have a text, in small letters, in a span.

    The database leaves out the spans that cannot have it: in their JSON, quotes and letters other than English are
    escaped, some of them twice.
    """
    pattern = "%".join(("", *map(escaped, _PLAIN.findall(wanted)), ""))
    statement = _SPANS.format(marks=marks(trace_ids), contains=contains("s.content", tables.dialect.like))
    found: set[str] = set()
    for trace_id, content in tables.all(statement, (*trace_ids, pattern or "%")):
        if trace_id not in found and content and wanted in text_of(stored_span(content)):
            found.add(trace_id)
    return found
