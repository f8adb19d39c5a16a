"""Links stored traces to their model, hundreds at once, with the rows that MLflow's ``start_trace`` would leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.ship.bulk.revisions import INFO, METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.ship.bulk.databases import Database

_UNLINKED: Final = f"""
request_id IN ({{marks}}) AND NOT EXISTS (
    SELECT 1 FROM {METADATA} AS other WHERE other.request_id = {INFO}.request_id AND other.key = '{TraceKey.MODEL_ID}'
)"""  # noqa: S608 - constants
_COUNT: Final = f"UPDATE {INFO} SET db_payload_generation = db_payload_generation + 1 WHERE {_UNLINKED}"  # noqa: S608
"""MLflow counts the writes to a trace."""
_LINK: Final = (
    f"INSERT INTO {METADATA} (request_id, key, value) SELECT request_id, '{TraceKey.MODEL_ID}', {{mark}} "  # noqa: S608
    f"FROM {INFO} WHERE {_UNLINKED}"
)
_PAGE: Final = 500


def link_stored(database: Database, cursor: Any, trace_ids: Sequence[str], model_id: str) -> None:  # noqa: ANN401
    """Link traces to a model, except those that were deleted or name one.

    Args:
        database: the database.
        cursor: a cursor in a transaction that was begun.
        trace_ids: MLflow's ids of the traces.
        model_id: MLflow's id of the model.

    Raises:
        Exception: of the database's driver.
    """
    found = sorted(set(trace_ids))  # in the order in which MLflow takes its locks
    for begin in range(0, len(found), _PAGE):
        page = found[begin : begin + _PAGE]
        marks = ", ".join([database.mark] * len(page))
        cursor.execute(_COUNT.format(marks=marks), page)
        cursor.execute(_LINK.format(mark=database.mark, marks=marks), [model_id, *page])
