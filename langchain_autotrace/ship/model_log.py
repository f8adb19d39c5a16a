"""Log chains as MLflow LoggedModels: each content once per experiment, completely or not at all.

The hash of the content is a tag. The store is searched for it before a model is created, so that another process, or
the same one another day, finds the same model. A crash leaves the model PENDING, and the next shipper completes it. A
failure to log never keeps a trace from being stored: it is noted, the unfinished model is deleted, and the trace is
stored without a model.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import sqlalchemy.exc
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracing.constant import TraceMetadataKey
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from langchain_autotrace import destination
from langchain_autotrace.records import ModelForm, ModelSeen
from langchain_autotrace.redaction import error_line
from langchain_autotrace.semconv import LOADABLE_TAG, REASON_TAG, Attr
from langchain_autotrace.ship.mlflow_entities import trace_tags
from langchain_autotrace.ship.model_files import write_model
from langchain_autotrace.ship.rebuild_process import Rebuilding, Rebuilt

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_NOT_IN_A_NAME: Final = str.maketrans(dict.fromkeys("/:.%\"'", "_"))
"""Characters that MLflow does not allow in the name of a model."""
_MAX_NAME: Final = 200
_MAX_TAG: Final = 500
_MAX_RELINKED: Final = 500
_SEARCHED: Final = 20

_FIXES: Final = {
    "search": "Models need a store of MLflow 3 or newer, and permission to read models in it",
    "create": "Check that you have permission to create models in the experiment",
    "upload": "Check that the experiment's artifact location is writable from here",
    "finalize": "Check that neither the run nor the model has been deleted",
}
"""Step -> advice for the user when it has failed."""

_Key = tuple[str, str]
"""Experiment id and content hash."""


class ModelLog:
    """A writer of models to one store, which also links traces to their models.

    Attributes:
        failures: what could not be logged, one line of text each.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.failures: list[str] = []
        self._uri = tracking_uri
        self._ids: dict[_Key, str | None] = {}
        """Ids of the models logged or found; None for those that failed, which this process does not retry."""
        self._rebuilding: dict[str, Rebuilding] = {}
        self._made: MlflowClient | None = None

    @property
    def _client(self) -> MlflowClient:
        if self._made is None:
            self._made = MlflowClient(self._uri, registry_uri=self._uri)
        return self._made

    def prepare(self, models: Iterable[ModelSeen]) -> None:
        """Start rebuilding the chains in a process, which takes long and does not need the store."""
        new = [model for model in models if not self._is_known(model) and model.content_hash not in self._rebuilding]
        if new:
            started = Rebuilding(new)
            self._rebuilding |= {model.content_hash: started for model in new}

    def _is_known(self, model: ModelSeen) -> bool:
        return any(content_hash == model.content_hash for _, content_hash in self._ids)

    def log(self, model: ModelSeen, experiment_id: str, run_id: str | None) -> None:
        """Log a chain as a model, unless the experiment has that model.

        Args:
            model: the chain.
            experiment_id: experiment of its trace.
            run_id: MLflow run of its trace; None when it has none.

        Raises:
            Exception: the store cannot be searched, or an unfinished model could not be deleted. Retry the call.
        """
        key = experiment_id, model.content_hash
        if key in self._ids:
            return
        form = model.form
        try:
            found = self._find(*key)
        except Exception as error:
            if not _is_final(error):
                raise
            self._ids[key] = None
            self._report_failure(form["name"], "search", error)
            return
        if found is not None and found.status == LoggedModelStatus.READY and not _may_improve(found, form):
            self._ids[key] = found.model_id
            return
        self.prepare([model])
        rebuilt = self._rebuilding[model.content_hash].result(model)
        if found is not None and found.status == LoggedModelStatus.READY and rebuilt.reason is not None:
            self._ids[key] = found.model_id  # still a description only
            self._report_description(form, rebuilt)
        else:
            self._ids[key] = self._log_new(model, experiment_id, run_id, rebuilt, found)
        self._rebuilding.pop(model.content_hash, None)

    def _find(self, experiment_id: str, content_hash: str) -> LoggedModel | None:
        """Return the model with this content hash, or None: a READY one before a PENDING one, then the oldest."""
        found = [model for model in self._search(experiment_id, content_hash) if model.status in _ALIVE]
        found.sort(
            key=lambda model: (model.status != LoggedModelStatus.READY, model.creation_timestamp, model.model_id)
        )
        return found[0] if found else None

    def _search(self, experiment_id: str, content_hash: str) -> list[LoggedModel]:
        tag = f"tags.`{Attr.CONTENT_HASH}` = '{content_hash}'"
        return list(
            self._client.search_logged_models(experiment_ids=[experiment_id], filter_string=tag, max_results=_SEARCHED)
        )

    def _log_new(
        self, model: ModelSeen, experiment_id: str, run_id: str | None, rebuilt: Rebuilt, begun: LoggedModel | None
    ) -> str | None:
        """Create the model, or complete the one begun; return its id, or None when that fails."""
        form = model.form
        step = "create"
        try:
            logged = begun or self._create(model.content_hash, form, experiment_id, run_id, rebuilt)
            first = begun or self._find(experiment_id, model.content_hash) or logged
            if first.model_id != logged.model_id:  # another shipper has created it first
                self._client.delete_logged_model(logged.model_id)
                return str(first.model_id)
            step = "upload"
            self._upload(form, model.content_hash, logged, rebuilt)
            step = "finalize"
            if logged.source_run_id:
                self._client.log_outputs(logged.source_run_id, [LoggedModelOutput(logged.model_id, step=0)])
            if logged.status == LoggedModelStatus.READY:  # was a description, and can be loaded now
                self._client.set_logged_model_tags(logged.model_id, {LOADABLE_TAG: "true", REASON_TAG: ""})
            else:
                self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        except Exception as error:  # noqa: BLE001 - no failure may keep traces from being stored
            self._delete_begun(experiment_id, model.content_hash)  # if this raises, the batch is retried
            self._report_failure(form["name"], step, error)
            return None
        self._report_description(form, rebuilt)
        self._register(form, logged, rebuilt)
        self._link_stored(experiment_id, model.content_hash, logged.model_id)
        return str(logged.model_id)

    def _report_description(self, form: ModelForm, rebuilt: Rebuilt) -> None:
        if rebuilt.reason is not None and (form["code"] is not None or not form["problems"]):
            # Otherwise the program has already logged the reason.
            self._report(f"the chain {form['name']!r} cannot be loaded from its logged model: {rebuilt.reason}")

    def _create(
        self, content_hash: str, form: ModelForm, experiment_id: str, run_id: str | None, rebuilt: Rebuilt
    ) -> LoggedModel:
        tags = {
            **trace_tags(form["tags"]),
            "mlflow.autologging": "langchain",
            Attr.CONTENT_HASH: content_hash,
            LOADABLE_TAG: str(rebuilt.reason is None).lower(),
        }
        if rebuilt.reason is not None:
            tags[REASON_TAG] = rebuilt.reason[:_MAX_TAG]
        return self._client.create_logged_model(
            experiment_id,
            name=" ".join(form["name"].translate(_NOT_IN_A_NAME).split())[:_MAX_NAME] or "chain",
            source_run_id=run_id,
            tags=tags,
            params=form["params"],
            model_type="langchain",
        )

    def _upload(self, form: ModelForm, content_hash: str, logged: LoggedModel, rebuilt: Rebuilt) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), form, content_hash, logged, rebuilt)
            self._client.log_model_artifacts(logged.model_id, folder)

    def _delete_begun(self, experiment_id: str, content_hash: str) -> None:
        try:
            for model in self._search(experiment_id, content_hash):
                if model.status == LoggedModelStatus.PENDING:
                    self._client.delete_logged_model(model.model_id)
        except Exception as error:
            if not _is_final(error):
                raise

    def _register(self, form: ModelForm, logged: LoggedModel, rebuilt: Rebuilt) -> None:
        name = form["registered_model_name"]
        if name is None:
            return
        if rebuilt.reason is not None:
            self._report(
                f"the chain {form['name']!r} was not registered as a version of {name!r}: it cannot be loaded "
                f"({rebuilt.reason})"
            )
            return
        try:
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # With a database, MLflow would look up the id in the store of the process-wide tracking URI.
            is_far = destination.kind(self._uri) in {"server", "databricks"}
            version = self._client.create_model_version(
                name,
                f"models:/{logged.model_id}" if is_far else logged.artifact_location,
                run_id=logged.source_run_id,
                model_id=logged.model_id if is_far else None,
            )
            versions = [{"name": name, "version": version.version}]
            self._client.set_logged_model_tags(
                logged.model_id, {MLFLOW_MODEL_VERSIONS: orjson.dumps(versions).decode()}
            )
        except Exception as error:  # noqa: BLE001 - as above
            self._report(
                f"the model {logged.model_id} could not be registered as a version of {name!r}: {error_line(error)}"
            )

    def _link_stored(self, experiment_id: str, content_hash: str, model_id: str) -> None:
        """Link the traces that were stored before their model: of failed runs, and of other processes."""
        try:
            stored = self._client.search_traces(
                locations=[experiment_id],
                filter_string=f"metadata.`{Attr.CONTENT_HASH}` = '{content_hash}'",
                max_results=_MAX_RELINKED,
                include_spans=False,
            )
            for trace in stored:
                if TraceMetadataKey.MODEL_ID not in trace.info.trace_metadata:
                    trace.info.trace_metadata[TraceMetadataKey.MODEL_ID] = model_id
                    self._client._tracing_client.start_trace(trace.info)  # noqa: SLF001 - no public way
        except Exception as error:  # noqa: BLE001 - as above
            self._report(f"earlier traces could not be linked to the model {model_id}: {error_line(error)}")

    def link(self, infos: Iterable[TraceInfo]) -> None:
        """Set the model id in the metadata of a batch's traces, unless the program has set one."""
        missing: set[_Key] = set()
        for info in infos:
            metadata: dict[str, Any] = info.trace_metadata
            key = str(info.experiment_id), metadata.get(Attr.CONTENT_HASH, "")
            if not key[1] or TraceMetadataKey.MODEL_ID in metadata or key in missing:
                continue
            model_id = self._id_of(*key)
            if model_id is None:
                missing.add(key)  # search once for a chain of which all runs have failed
            else:
                metadata[TraceMetadataKey.MODEL_ID] = model_id

    def _id_of(self, experiment_id: str, content_hash: str) -> str | None:
        key = experiment_id, content_hash
        if key not in self._ids:
            try:
                found = self._find(*key)
            except Exception as error:
                if not _is_final(error):
                    raise
                found = None
            if found is None:
                return None  # the model may be logged later: no run of the chain has succeeded yet
            self._ids[key] = found.model_id
        return self._ids[key]

    def _report_failure(self, name: str, step: str, error: Exception) -> None:
        self._report(
            f"the chain {name!r} could not be logged as a model ({step} failed: {error_line(error)}); its traces are "
            f"not affected. {_FIXES[step]}; the next process that runs the chain will retry."
        )

    def _report(self, text: str) -> None:
        if text not in self.failures:
            self.failures.append(text)
            _logger.warning("%s", text)


_ALIVE: Final = (LoggedModelStatus.READY, LoggedModelStatus.PENDING)
_FINAL: Final = frozenset(
    {
        *("BAD_REQUEST", "ENDPOINT_NOT_FOUND", "FEATURE_DISABLED", "INVALID_PARAMETER_VALUE", "NOT_FOUND"),
        *("NOT_IMPLEMENTED", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"),
    }
)
"""MLflow's error codes of a store without models or without permission: a retry would only hold up the traces."""


def _may_improve(found: LoggedModel, form: ModelForm) -> bool:
    """Return whether a description may be replaced by a loadable model: the chain has a file or can be rebuilt."""
    return found.tags.get(LOADABLE_TAG) != "true" and (form["code"] is not None or not form["problems"])


def _is_final(error: Exception) -> bool:
    if isinstance(error, MlflowException) and not isinstance(error.__cause__, sqlalchemy.exc.SQLAlchemyError):
        return error.error_code in _FINAL
    return isinstance(error, NotImplementedError)
