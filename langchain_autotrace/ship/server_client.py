"""MLflow's tracing client, for the store that it was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracing.client import TracingClient
from mlflow.tracing.utils.artifact_utils import get_artifact_uri_for_trace

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository


class ServerClient(TracingClient):
    """MLflow's tracing client, made to look for the files of traces at its own server, not at the process's."""

    def _get_artifact_repo_for_trace(self, trace_info: TraceInfo) -> ArtifactRepository:
        return get_artifact_repository(get_artifact_uri_for_trace(trace_info), tracking_uri=self.tracking_uri)
