"""Reads stored traces in one of two ways: from the tables of a known database, or through MLflow's API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from langchain_autotrace.view import store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.stored import StoredInfo, StoredTrace


class Source(Protocol):
    """A store to read traces from. Experiments are named by their ids."""

    def experiments(self) -> Sequence[tuple[str, str]]:
        """Return id and name of each experiment that is not deleted, the newest first."""

    def experiment(self, name: str) -> str | None:
        """Return the id of the experiment with that name, which may be deleted; None if there is none."""

    def newest(
        self, experiments: Sequence[str], limit: int, condition: str | None = None, query: Query | None = None
    ) -> list[StoredInfo]:
        """Return the newest traces of the experiments, the newest first.

        Args:
            experiments: where to look.
            limit: how many at most.
            condition: what they have to meet, in the language of ``mlflow.search_traces()``.
            query: the same as a query; None where it cannot say it.
        """

    def matching(self, experiments: Sequence[str], beginning: str, end: str, limit: int) -> list[str]:
        """Return the ids of the newest traces whose ids begin and end so; ``_`` may stand for any letter."""

    def has(self, experiments: Sequence[str], trace_id: str) -> bool:
        """Return whether the experiments have the trace."""

    def trace(self, trace_id: str) -> StoredTrace:
        """Return a trace, which is there, with its spans."""


@contextlib.contextmanager
def reading(uri: str, *, only_api: bool = False) -> Iterator[Source]:
    """Yield the store at ``uri``, and convert errors raised within the block.

    Args:
        uri: the tracking URI of a store that exists.
        only_api: read through MLflow's API.

    Raises:
        DestinationError: there can be no store at ``uri``.
        SinkUnavailable: the store is down, or its schema is of another MLflow version.
    """
    if not only_api:
        from langchain_autotrace.view.sql import tables  # noqa: PLC0415 - not needed for servers
        from langchain_autotrace.view.sql.tables_source import TablesSource  # noqa: PLC0415

        with tables.reading(uri) as found:
            if found is not None:
                yield TablesSource(uri, found)
                return
    from langchain_autotrace.view.api_source import ApiSource  # noqa: PLC0415 - it imports MLflow

    with store.reading(uri) as client:
        yield ApiSource(client)
