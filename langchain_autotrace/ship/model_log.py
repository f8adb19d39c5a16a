"""Logs chains as MLflow's LoggedModels: each content once in an experiment, whole or not at all.

The content's hash is a tag. Before a model is made the store is asked for it, so that another process and another day
find the same one; a crash leaves a model PENDING, which the next shipper goes on with. No failure here keeps a trace
from being stored: it is noted, what was begun is deleted, and the trace goes on without its model.
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
from langchain_autotrace.ship.mlflow_errors import reason as reason_of
from langchain_autotrace.ship.mlflow_form import trace_tags
from langchain_autotrace.ship.model_files import write_model
from langchain_autotrace.ship.rebuild import Rebuilding, Rebuilt
from langchain_autotrace.span import LOADABLE_TAG, REASON_TAG, Attr, ModelForm, ModelSeen

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_NOT_IN_A_NAME: Final = str.maketrans(dict.fromkeys("/:.%\"'", "_"))
"""MLflow takes none of these in a model's name."""
_MAX_NAME: Final = 200
_MAX_TAG: Final = 500
_MAX_RELINKED: Final = 500
_SEARCHED: Final = 20

_FIXES: Final = {
    "search": "Models need a store of MLflow 3 or newer, and the right to read them there",
    "create": "See that models may be created in the experiment",
    "upload": "See that the experiment's artifact location can be written from here",
    "finalize": "See that neither the run nor the model was deleted meanwhile",
}
"""What mends a step that failed."""

_Key = tuple[str, str]
"""Experiment id and content hash."""


class ModelLog:
    """Logs models into one store, and says which trace is of which.

    Attributes:
        failures: what could not be logged, in a line each.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.failures: list[str] = []
        self._uri = tracking_uri
        self._ids: dict[_Key, str | None] = {}
        """Models that are known; None for those that failed, which this process does not try again."""
        self._rebuilding: dict[str, Rebuilding] = {}
        self._made: MlflowClient | None = None

    @property
    def _client(self) -> MlflowClient:
        if self._made is None:
            self._made = MlflowClient(self._uri, registry_uri=self._uri)
        return self._made

    def prepare(self, models: Iterable[ModelSeen]) -> None:
        """Begin what takes long and needs no store: building the chains again."""
        new = [model for model in models if not self._is_known(model) and model.content_hash not in self._rebuilding]
        if new:
            started = Rebuilding(new)
            self._rebuilding |= {model.content_hash: started for model in new}

    def _is_known(self, model: ModelSeen) -> bool:
        return any(content_hash == model.content_hash for _, content_hash in self._ids)

    def log(self, model: ModelSeen, experiment_id: str, run_id: str | None) -> None:
        """Log a chain, unless it is there.

        Args:
            model: what is known of it.
            experiment_id: of its trace.
            run_id: the run that its trace is of.

        Raises:
            Exception: the store cannot be asked, or what was begun could not be deleted: to be tried again as a whole.
        """
        key = experiment_id, model.content_hash
        if key in self._ids:
            return
        form: ModelForm = orjson.loads(model.form)
        try:
            found = self._find(*key)
        except Exception as error:
            if not _is_final(error):
                raise
            self._ids[key] = None
            self._note(form["name"], "search", error)
            return
        if found is not None and found.status == LoggedModelStatus.READY and not _may_improve(found, form):
            self._ids[key] = found.model_id
            return
        self.prepare([model])
        rebuilt = self._rebuilding[model.content_hash].result(model)
        if found is not None and found.status == LoggedModelStatus.READY and rebuilt.reason is not None:
            self._ids[key] = found.model_id  # a description, still
            self._say_description(form, rebuilt)
        else:
            self._ids[key] = self._log_new(model, experiment_id, run_id, rebuilt, found)
        self._rebuilding.pop(model.content_hash, None)

    def _find(self, experiment_id: str, content_hash: str) -> LoggedModel | None:
        """The model of that content: one that is whole, else one that was begun; of several, the oldest."""
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
        """Make the model, or go on with the one that was begun; its id, None when it could not be made."""
        form: ModelForm = orjson.loads(model.form)
        step = "create"
        try:
            made = begun or self._create(model.content_hash, form, experiment_id, run_id, rebuilt)
            first = begun or self._find(experiment_id, model.content_hash) or made
            if first.model_id != made.model_id:  # another shipper was faster
                self._client.delete_logged_model(made.model_id)
                return str(first.model_id)
            step = "upload"
            self._upload(form, model.content_hash, made, rebuilt)
            step = "finalize"
            if made.source_run_id:
                self._client.log_outputs(made.source_run_id, [LoggedModelOutput(made.model_id, step=0)])
            if made.status == LoggedModelStatus.READY:  # a description that can be loaded now
                self._client.set_logged_model_tags(made.model_id, {LOADABLE_TAG: "true", REASON_TAG: ""})
            else:
                self._client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
        except Exception as error:  # noqa: BLE001 - whatever it is, the traces go on
            self._delete_begun(experiment_id, model.content_hash)  # where that fails too, all of it is tried again
            self._note(form["name"], step, error)
            return None
        self._say_description(form, rebuilt)
        self._register(form, made, rebuilt)
        self._link_stored(experiment_id, model.content_hash, made.model_id)
        return str(made.model_id)

    def _say_description(self, form: ModelForm, rebuilt: Rebuilt) -> None:
        if rebuilt.reason is not None and (form["code"] is not None or not form["problems"]):
            # Else the program has said it.
            self._say(f"the chain {form['name']!r} is logged as a description that cannot be loaded: {rebuilt.reason}")

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

    def _upload(self, form: ModelForm, content_hash: str, made: LoggedModel, rebuilt: Rebuilt) -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), form, content_hash, made, rebuilt)
            self._client.log_model_artifacts(made.model_id, folder)

    def _delete_begun(self, experiment_id: str, content_hash: str) -> None:
        try:
            for model in self._search(experiment_id, content_hash):
                if model.status == LoggedModelStatus.PENDING:
                    self._client.delete_logged_model(model.model_id)
        except Exception as error:
            if not _is_final(error):
                raise

    def _register(self, form: ModelForm, made: LoggedModel, rebuilt: Rebuilt) -> None:
        name = form["registered_model_name"]
        if name is None:
            return
        if rebuilt.reason is not None:
            self._say(f"the chain {form['name']!r} is no version of {name!r}: it cannot be loaded ({rebuilt.reason})")
            return
        try:
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # A database's store would look for the id in the store that the whole process is set to.
            is_far = destination.kind(self._uri) in {"server", "databricks"}
            version = self._client.create_model_version(
                name,
                f"models:/{made.model_id}" if is_far else made.artifact_location,
                run_id=made.source_run_id,
                model_id=made.model_id if is_far else None,
            )
            known = [{"name": name, "version": version.version}]
            self._client.set_logged_model_tags(made.model_id, {MLFLOW_MODEL_VERSIONS: orjson.dumps(known).decode()})
        except Exception as error:  # noqa: BLE001 - whatever it is, the traces go on
            self._say(f"the model {made.model_id} is no version of {name!r}: register failed: {reason_of(error)}")

    def _link_stored(self, experiment_id: str, content_hash: str, model_id: str) -> None:
        """Link the traces that came before their model: of runs that failed, of processes that were faster."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, the traces go on
            self._say(f"earlier traces do not name the model {model_id}: link failed: {reason_of(error)}")

    def link(self, infos: Iterable[TraceInfo]) -> None:
        """Name the models of a batch's traces, unless the program has named one itself."""
        missing: set[_Key] = set()
        for info in infos:
            metadata: dict[str, Any] = info.trace_metadata
            key = str(info.experiment_id), metadata.get(Attr.CONTENT_HASH, "")
            if not key[1] or TraceMetadataKey.MODEL_ID in metadata or key in missing:
                continue
            model_id = self._id_of(*key)
            if model_id is None:
                missing.add(key)  # many traces of a chain whose runs all fail: the store is asked once
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
                return None  # its first run failed: it may come
            self._ids[key] = found.model_id
        return self._ids[key]

    def _note(self, name: str, step: str, error: Exception) -> None:
        self._say(
            f"the chain {name!r} is not logged as a model, its traces are: {step} failed: {reason_of(error)}. "
            f"{_FIXES[step]}; the next process that runs the chain tries again."
        )

    def _say(self, text: str) -> None:
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
"""MLflow's error codes of a store that has no models, or none for us: trying again would keep the traces waiting."""


def _may_improve(found: LoggedModel, form: ModelForm) -> bool:
    """Whether a description may be one that can be loaded now: its file is given, or it is built where it can be."""
    return found.tags.get(LOADABLE_TAG) != "true" and (form["code"] is not None or not form["problems"])


def _is_final(error: Exception) -> bool:
    if isinstance(error, MlflowException) and not isinstance(error.__cause__, sqlalchemy.exc.SQLAlchemyError):
        return error.error_code in _FINAL
    return isinstance(error, NotImplementedError)
