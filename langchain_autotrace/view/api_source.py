"""Reads stored traces through MLflow's client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_autotrace.view import mlflow_stored, traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow import MlflowClient

    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.stored import StoredInfo, StoredTrace


class ApiSource:
    """A store of any kind; see :class:`~langchain_autotrace.view.sources.Source`."""

    def __init__(self, client: MlflowClient) -> None:
        """Read by MLflow's client."""
        self._client = client

    def experiments(self) -> list[tuple[str, str]]:
        """Return id and name of each experiment that is not deleted, the newest first."""
        return [(one.experiment_id, one.name) for one in traces.experiments(self._client)]

    def experiment(self, name: str) -> str | None:
        """Return the id of the experiment with that name."""
        found = self._client.get_experiment_by_name(name)
        return None if found is None else str(found.experiment_id)

    def newest(
        self,
        experiments: Sequence[str],
        limit: int,
        condition: str | None = None,
        query: Query | None = None,  # noqa: ARG002 - the condition says the same
    ) -> list[StoredInfo]:
        """Return the newest traces of the experiments that meet a condition."""
        return list(map(mlflow_stored.info_of, traces.search(self._client, list(experiments), limit, condition)))

    def matching(self, experiments: Sequence[str], beginning: str, end: str, limit: int) -> list[str]:
        """Return the ids of the newest traces whose ids begin and end so."""
        return self._ids(experiments, limit, f"request_id LIKE '{beginning}%{end}'")

    def has(self, experiments: Sequence[str], trace_id: str) -> bool:
        """Return whether the experiments have the trace."""
        return bool(self._ids(experiments, 1, f"request_id = '{trace_id}'"))

    def trace(self, trace_id: str) -> StoredTrace:
        """Return a trace with its spans."""
        return mlflow_stored.trace_of(self._client.get_trace(trace_id, display=False))

    def _ids(self, experiments: Sequence[str], limit: int, condition: str) -> list[str]:
        return [str(info.trace_id) for info in traces.search(self._client, list(experiments), limit, condition)]
