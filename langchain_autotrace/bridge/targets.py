"""Chooses the target of a new trace (journal, experiment, tags) from MLflow's settings and ``autolog()``'s.

The latest setting wins: ``autolog()`` takes a snapshot of MLflow's settings, and what has changed since overrides it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_autotrace import destination
from langchain_autotrace.capture import scope
from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.redaction import without_password

if TYPE_CHECKING:
    from langchain_autotrace.capture.interfaces import Journal
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.records import TraceContext
    from langchain_autotrace.settings import Settings

_logger: Final = logging.getLogger("langchain_autotrace")

_SOURCE_RUN: Final = "mlflow.sourceRun"
_MODEL_ID: Final = "mlflow.modelId"


class SettingsSnapshot(NamedTuple):
    """MLflow's settings at the time when ``autolog()`` was called."""

    tracking_uri: str | None = None
    experiment_id: str | None = None
    location: object = None
    """The destination set by ``mlflow.tracing.set_destination``."""
    is_chosen: bool = False
    """Whether ``autolog()`` was given the experiment."""
    is_fixed: bool = False
    """Whether the recorder belongs to a handler with its own settings, which ignores MLflow's."""


class TraceTarget(NamedTuple):
    """The journal that a trace is written to, and its context."""

    journal: Journal | None
    """Where the trace is written; None for the recorder's own journal."""
    context: TraceContext


def snapshot(*, is_chosen: bool) -> SettingsSnapshot:
    """Return MLflow's current settings; they are None while MLflow is not imported."""
    return SettingsSnapshot(_tracking_uri(), _active_experiment(), _location(), is_chosen)


def is_off() -> bool:
    """Return whether MLflow's tracing is off, by ``disable()``, ``trace_disabled``, or ``context(enabled=False)``."""
    user = _user_context()
    if user is not None and user.enabled is False:
        return True
    return type(tracer_provider()).__name__ == "NoOpTracerProvider"


def tracer_provider() -> object:
    """Return MLflow's tracer provider; None until MLflow has created one."""
    module = sys.modules["mlflow.tracing.provider"]
    return module.provider._isolated_tracer_provider  # noqa: SLF001 - the public way creates one


def is_traced_by_mlflow() -> bool:
    """Return whether ``mlflow.langchain.autolog()`` is on and logs traces."""
    utils = sys.modules.get("mlflow.utils.autologging_utils")
    integrations: dict[str, dict[str, Any]] = getattr(utils, "AUTOLOGGING_INTEGRATIONS", {})
    config = integrations.get("langchain", {"disable": True})
    return not config.get("disable", True) and bool(config.get("log_traces", True))


class TraceTargets:
    """Chooses the targets of new traces, for all recorders of a process."""

    def __init__(self, journal_for: Callable[[Settings], Journal]) -> None:
        """Open journals of other tracking URIs with ``journal_for``, which returns the journal for settings."""
        self._journal_for = journal_for
        self._journals: dict[tuple[str, str], Journal | None] = {}
        self._uris: dict[str | None, str] = {}

    def of(self, recorder: Recorder, known: SettingsSnapshot, experiment_id: str | None = None) -> TraceTarget:
        """Return the target of a trace that starts now.

        Args:
            recorder: its settings apply where MLflow's have not changed.
            known: MLflow's settings when the recorder was switched on.
            experiment_id: an experiment that the span itself names.
        """
        settings = recorder.settings
        uri, journal = settings.tracking_uri, None
        requested = _tracking_uri()
        if requested is not None and requested != known.tracking_uri and not known.is_fixed:
            uri, journal = self._elsewhere(settings, self._normalized(requested))
        context = recorder.context(scope.current.get()).copy()
        tags, metadata = dict(context["tags"]), dict(context["metadata"])
        # Ids of experiments, runs and models are valid in their own store only.
        if uri == self._normalized(requested or os.environ.get("MLFLOW_TRACKING_URI")):
            run = _active_run()
            found = None if known.is_fixed else experiment_id or _chosen_experiment(known, run)
            if found is not None:
                context["experiment"], context["experiment_id"] = None, found
            if run is not None:
                metadata[_SOURCE_RUN] = run.info.run_id
            if model_id := _active_model():
                metadata[_MODEL_ID] = model_id
        elif uri != settings.tracking_uri:
            context["experiment"] = context["experiment_id"] = None
        if (user := _user_context()) is not None:
            tags |= user.tags
            metadata |= user.metadata
        return TraceTarget(journal, {**context, "tags": tags, "metadata": metadata})

    def _elsewhere(self, settings: Settings, uri: str) -> tuple[str, Journal | None]:
        """Return the tracking URI that the program has switched to, and its journal.

        If traces cannot go there, return the settings' own URI and None.
        """
        if uri == settings.tracking_uri:
            return uri, None
        key = (settings.shipper, uri)
        if key not in self._journals:
            try:
                destination.check(uri)
                self._journals[key] = self._journal_for(settings.model_copy(update={"tracking_uri": uri}))
            except AutotraceError as error:
                stays = without_password(settings.tracking_uri)
                _logger.warning(
                    "still sending traces to %s: MLflow's new tracking URI cannot be used: %s", stays, error
                )
                self._journals[key] = None
        found = self._journals[key]
        return (settings.tracking_uri, None) if found is None else (uri, found)

    def _normalized(self, uri: str | None) -> str:
        if uri not in self._uris:
            self._uris[uri] = destination.normalized(uri or destination.default_uri())
        return self._uris[uri]


def _chosen_experiment(known: SettingsSnapshot, run: Any) -> str | None:  # noqa: ANN401 - MLflow's Run
    """Return the id of the experiment by MLflow's order of precedence; None if ``autolog()``'s applies."""
    location = _location()
    if location is not None and not (known.is_chosen and location is known.location):
        found = getattr(location, "experiment_id", None)
        if found:
            return str(found)
    if run is not None:
        return str(run.info.experiment_id)
    active = _active_experiment()
    return active if active is not None and active != known.experiment_id else None


def _tracking_uri() -> str | None:
    utils = sys.modules.get("mlflow.tracking._tracking_service.utils")
    found = getattr(utils, "_tracking_uri", None)
    return None if found is None else str(found)


def _active_experiment() -> str | None:
    found = getattr(sys.modules.get("mlflow.tracking.fluent"), "_active_experiment_id", None)
    return None if found is None else str(found)


def _location() -> object:
    registry = getattr(sys.modules.get("mlflow.tracing.provider"), "_MLFLOW_TRACE_USER_DESTINATION", None)
    return None if registry is None else registry.get()


def _active_run() -> Any:  # noqa: ANN401 - MLflow's Run
    latest = getattr(sys.modules.get("mlflow.tracking.fluent"), "_get_latest_active_run", None)
    return None if latest is None else latest()


def _active_model() -> str | None:
    active = getattr(sys.modules.get("mlflow.tracking.fluent"), "_get_active_model_id_global", None)
    return None if active is None else active()


def _user_context() -> Any:  # noqa: ANN401 - MLflow's own
    variable = getattr(sys.modules.get("mlflow.tracing.context"), "_USER_TRACE_CONTEXT", None)
    return None if variable is None else variable.get()
