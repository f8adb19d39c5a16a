"""Reads stored traces from the tables of a database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.view import store
from langchain_autotrace.view.sql.conditions import condition as condition_of
from langchain_autotrace.view.sql.conditions import escaped
from langchain_autotrace.view.sql.span_json import UnknownSpanError, stored_span
from langchain_autotrace.view.sql.trace_infos import infos
from langchain_autotrace.view.stored import StoredTrace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.sql.tables import Tables
    from langchain_autotrace.view.stored import StoredInfo, StoredSpan

_EXPERIMENTS: Final = (
    "SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active' "
    "ORDER BY creation_time DESC, experiment_id"
)
_EXPERIMENT: Final = "SELECT experiment_id FROM experiments WHERE name = ?"
_NEWEST: Final = (
    "SELECT t.request_id FROM trace_info t WHERE t.experiment_id IN ({experiments}){condition} "
    "ORDER BY t.timestamp_ms DESC, t.request_id LIMIT {limit}"
)
_SPANS: Final = "SELECT content, parent_span_id, start_time_unix_nano FROM spans WHERE trace_id IN (?)"
_IN_TABLES: Final = "TRACKING_STORE"
_SIZE: Final = "mlflow.trace.sizeStats"
_NUMBER: Final = "num_spans"


class TablesSource:
    """A database; see :class:`~langchain_autotrace.view.sources.Source`."""

    def __init__(self, uri: str, tables: Tables) -> None:
        """Read the tables of the database at ``uri``."""
        self._uri, self._tables = uri, tables

    def experiments(self) -> list[tuple[str, str]]:
        """Return id and name of each experiment that is not deleted, the newest first."""
        return [(str(one), name) for one, name in self._tables.all(_EXPERIMENTS)]

    def experiment(self, name: str) -> str | None:
        """Return the id of the experiment with that name."""
        found = self._tables.all(_EXPERIMENT, (name,))
        return str(found[0][0]) if found else None

    def newest(
        self,
        experiments: Sequence[str],
        limit: int,
        condition: str | None = None,  # noqa: ARG002 - the query says the same
        query: Query | None = None,
    ) -> list[StoredInfo]:
        """Return the newest traces of the experiments that meet a query."""
        if query is None:
            return list(infos(self._tables, self._newest(experiments, limit)))
        text, values = condition_of(self._tables, query).whole(self._tables)
        return list(infos(self._tables, self._newest(experiments, limit, f" AND {text}", values)))

    def matching(self, experiments: Sequence[str], beginning: str, end: str, limit: int) -> list[str]:
        """Return the ids of the newest traces whose ids begin and end so."""
        pattern = f"{escaped(beginning)}%{escaped(end)}"
        return self._newest(experiments, limit, " AND t.request_id LIKE ? ESCAPE '\\'", (pattern,))

    def has(self, experiments: Sequence[str], trace_id: str) -> bool:
        """Return whether the experiments have the trace."""
        return bool(self._newest(experiments, 1, " AND t.request_id = ?", (trace_id,)))

    def trace(self, trace_id: str) -> StoredTrace:
        """Return a trace with its spans; through MLflow's API if they are not in the table or not known to be whole."""
        try:
            (info,) = infos(self._tables, [trace_id])
            return StoredTrace(info, self._spans(info))
        except (UnknownSpanError, ValueError):
            from langchain_autotrace.view.api_source import ApiSource  # noqa: PLC0415 - it imports MLflow

            with store.reading(self._uri) as client:
                return ApiSource(client).trace(trace_id)

    def _newest(
        self, experiments: Sequence[str], limit: int, condition: str = "", values: Sequence[object] = ()
    ) -> list[str]:
        ids = ", ".join(str(int(one)) for one in experiments) or "NULL"
        statement = _NEWEST.format(experiments=ids, condition=condition, limit=int(limit))
        return [trace_id for (trace_id,) in self._tables.all(statement, values)]

    def _spans(self, info: StoredInfo) -> list[StoredSpan]:
        rows = self._tables.all(_SPANS, (info.trace_id,))
        wanted = json.loads(info.metadata.get(_SIZE) or "{}").get(_NUMBER, 0)
        if info.tags.get(TraceKey.SPANS_LOCATION) != _IN_TABLES or len(rows) < wanted:
            raise UnknownSpanError
        # Roots first, then by start, as MLflow returns them.
        rows.sort(key=lambda row: (row[1] is not None, row[2]))
        return [stored_span(content) for content, _, _ in rows]
