"""Find, create, complete and register models in one MLflow store."""

from __future__ import annotations

import contextlib
import functools
import inspect
import tempfile
from pathlib import Path
from typing import Any, Final

import orjson
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS
from sqlalchemy.exc import SQLAlchemyError

from langchain_autotrace import destination
from langchain_autotrace.records import ModelForm, ModelSeen
from langchain_autotrace.semconv import LOADABLE_TAG, REASON_TAG, STEPS_TAG, Attr
from langchain_autotrace.ship.model_errors import at_step
from langchain_autotrace.ship.model_files import write_model
from langchain_autotrace.ship.rebuild_process import Rebuilt
from langchain_autotrace.ship.trace_values import trace_tags

_NOT_IN_A_NAME: Final = str.maketrans(dict.fromkeys("/:.%\"'", "_"))
"""Characters that MLflow does not allow in the name of a model."""
_MAX_NAME: Final = 200
_MAX_TAG: Final = 500
_SEARCHED: Final = 20
_ALIVE: Final = (LoggedModelStatus.READY, LoggedModelStatus.PENDING)


class ModelStore:
    """The models of one store."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri

    @functools.cached_property
    def client(self) -> MlflowClient:
        """The client of the store."""
        return MlflowClient(self._uri, registry_uri=self._uri)

    def find(self, experiment_id: str, content_hash: str) -> LoggedModel | None:
        """Return the model with this content hash, or None: a READY one before a PENDING one, then the oldest."""
        found = [model for model in self._search(experiment_id, content_hash) if model.status in _ALIVE]
        found.sort(
            key=lambda model: (model.status != LoggedModelStatus.READY, model.creation_timestamp, model.model_id)
        )
        return found[0] if found else None

    def _search(self, experiment_id: str, content_hash: str) -> list[LoggedModel]:
        tag = f"tags.`{Attr.CONTENT_HASH}` = '{content_hash}'"
        return list(
            self.client.search_logged_models(experiment_ids=[experiment_id], filter_string=tag, max_results=_SEARCHED)
        )

    def save(
        self, model: ModelSeen, experiment_id: str, run_id: str | None, rebuilt: Rebuilt, begun: LoggedModel | None
    ) -> LoggedModel:
        """Create the model, or complete the one begun, and return it.

        Args:
            model: the chain.
            experiment_id: experiment of its traces.
            run_id: MLflow run of its trace; None when it has none.
            rebuilt: whether it can be loaded.
            begun: a model that is PENDING, or a description that can be loaded now; None when there is none.

        Raises:
            StepError: the store refuses it, or is down.
        """
        with at_step("create"):
            logged = begun or self._create(model.content_hash, model.form, experiment_id, run_id, rebuilt)
            first = begun or self.find(experiment_id, model.content_hash) or logged
            if first.model_id != logged.model_id:  # another shipper has created it first
                self.client.delete_logged_model(logged.model_id)
                return first
        with at_step("upload"), tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), model.form, model.content_hash, logged, rebuilt)
            self.client.log_model_artifacts(logged.model_id, folder)
        with at_step("finalize"):
            return self._finalize(logged, rebuilt, is_new=begun is None)

    def _finalize(self, logged: LoggedModel, rebuilt: Rebuilt, *, is_new: bool) -> LoggedModel:
        if logged.source_run_id:
            self.client.log_outputs(logged.source_run_id, [LoggedModelOutput(logged.model_id, step=0)])
        if not is_new:  # it was a description, or begun in another environment
            self.client.set_logged_model_tags(logged.model_id, _loadable_tags(rebuilt))
        if logged.status != LoggedModelStatus.READY:
            self.client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        return self.client.get_logged_model(logged.model_id)

    def _create(
        self, content_hash: str, form: ModelForm, experiment_id: str, run_id: str | None, rebuilt: Rebuilt
    ) -> LoggedModel:
        tags = {
            **trace_tags(form["tags"]),
            "mlflow.autologging": "langchain",
            Attr.CONTENT_HASH: content_hash,
            **({STEPS_TAG: _steps(form["steps"])} if form["steps"] else {}),
            **{name: value for name, value in _loadable_tags(rebuilt).items() if value},
        }
        return self.client.create_logged_model(
            experiment_id,
            name=" ".join(form["name"].translate(_NOT_IN_A_NAME).split())[:_MAX_NAME] or "chain",
            source_run_id=run_id,
            tags=tags,
            params=form["params"],
            model_type="langchain",
        )

    def delete_begun(self, experiment_id: str, content_hash: str) -> None:
        """Delete models with this content hash that are not complete."""
        with contextlib.suppress(Exception):  # it stays PENDING, and the next process that runs the chain completes it
            for model in self._search(experiment_id, content_hash):
                if model.status == LoggedModelStatus.PENDING:
                    self.client.delete_logged_model(model.model_id)

    def register(self, name: str, model: LoggedModel) -> None:
        """Add a model to a registered model as a version.

        Args:
            name: name of the registered model, created if missing.
            model: a model that can be loaded.

        Raises:
            Exception: the store refuses it, or is down.
        """
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Without a server, MLflow would look up the id in the store of the process-wide tracking URI.
        is_far = destination.kind(self._uri) in {"server", "databricks"}
        version = self.client.create_model_version(
            name,
            f"models:/{model.model_id}" if is_far else model.artifact_location,
            run_id=model.source_run_id,
            model_id=model.model_id if is_far else None,
        )
        if not is_far:
            self._set_source(name, int(version.version), f"models:/{model.model_id}")
        versions = [{"name": name, "version": version.version}]
        self.client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: orjson.dumps(versions).decode()})

    def _set_source(self, name: str, version: int, source: str) -> None:
        """Set the source of a model version in a database, whose files stay where they are."""
        registry: Any = self.client._get_registry_client()  # type: ignore[no-untyped-call]  # noqa: SLF001 - no public way
        sessions = getattr(registry.store, "ManagedSessionMaker", None)
        if sessions is None:  # a file store
            return
        writing = {"read_only": False} if "read_only" in inspect.signature(sessions).parameters else {}
        # Else its source is the location of its files, from which it loads as well.
        with contextlib.suppress(SQLAlchemyError), sessions(**writing) as session:
            row = session.query(SqlModelVersion).filter_by(name=name, version=version).one()
            row.source = source


def _steps(names: list[str]) -> str:
    return " | ".join(names)[:_MAX_TAG]


def _loadable_tags(rebuilt: Rebuilt) -> dict[str, str]:
    reason = rebuilt.reason
    return {LOADABLE_TAG: str(reason is None).lower(), REASON_TAG: (reason or "")[:_MAX_TAG]}
