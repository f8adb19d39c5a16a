"""What is in a database of MLflow's: how large it is, and how fast its rows are written by the driver alone."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contestants import Place

TABLES = ("trace_info", "trace_tags", "trace_request_metadata", "spans")
"""Tables of a trace in the order of their foreign keys, each with its column of the trace's id."""
KEYS = {"spans": "trace_id"}
Rows = dict[str, list[tuple[Any, ...]]]
Columns = dict[str, list[str]]

BATCH = 500
"""Traces in one transaction."""


def size(place: Place) -> int:
    """Return the bytes of the database; 0 when there is none."""
    if not place.server:
        return int(place.database.stat().st_size) if place.database.exists() else 0
    with closing(place.connect()) as connection:
        return int(_rows(connection, "SELECT pg_database_size(current_database())")[0][0])


def raw(place: Place) -> dict[str, float]:
    """Delete all traces, and insert the same rows again in full batches: what the database itself takes."""
    with closing(place.connect()) as connection:
        rows, columns = _taken(connection)
    traces = [row[columns["trace_info"].index("request_id")] for row in rows["trace_info"]]
    batches = [_of(rows, columns, set(traces[begin : begin + BATCH])) for begin in range(0, len(traces), BATCH)]
    begun, cpu = time.perf_counter(), time.process_time()
    with closing(place.connect()) as connection:
        for batch in batches:
            _insert(connection, place, batch, columns)
    return {
        "raw_traces_per_s": len(traces) / (time.perf_counter() - begun),
        "raw_cpu_ms_per_trace": (time.process_time() - cpu) / len(traces) * 1e3,
    }


def _rows(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.execute(statement)
    return list(cursor.fetchall())


def _taken(connection: Any) -> tuple[Rows, Columns]:
    """Take all rows of traces out of the database; return them, and the columns, of each table."""
    rows: Rows = {}
    columns: Columns = {}
    for table in TABLES:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {table}")
        found = cursor.fetchall()
        kept = [at for at, column in enumerate(cursor.description) if column[0] != "duration_ns"]
        rows[table] = [tuple(row[at] for at in kept) for row in found]
        columns[table] = [cursor.description[at][0] for at in kept]
    for table in reversed(TABLES):
        connection.cursor().execute(f"DELETE FROM {table}")
    connection.commit()
    return rows, columns


def _of(rows: Rows, columns: Columns, traces: set[str]) -> Rows:
    """Return the rows of some traces."""
    keys = {table: columns[table].index(KEYS.get(table, "request_id")) for table in TABLES}
    return {table: [row for row in rows[table] if row[keys[table]] in traces] for table in TABLES}


def _insert(connection: Any, place: Place, rows: Rows, columns: Columns) -> None:
    cursor = connection.cursor()
    for table in TABLES:
        statement = f"INSERT INTO {table} ({', '.join(columns[table])}) VALUES"
        if place.server:
            from psycopg2.extras import execute_values

            execute_values(cursor, f"{statement} %s", rows[table], page_size=BATCH)
        else:
            cursor.executemany(f"{statement} ({', '.join('?' * len(columns[table]))})", rows[table])
    connection.commit()
