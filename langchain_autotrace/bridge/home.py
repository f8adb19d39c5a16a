"""Where a trace that starts now goes and what is said of it, by MLflow's switches and by ``autolog()``.

What a program says last counts: ``autolog()`` notes what MLflow was set to, and what has changed since is followed.
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

if TYPE_CHECKING:
    from langchain_autotrace.capture.place import Journal
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.settings import Settings

_logger: Final = logging.getLogger("langchain_autotrace")

_SOURCE_RUN: Final = "mlflow.sourceRun"
_MODEL_ID: Final = "mlflow.modelId"


class Mark(NamedTuple):
    """What MLflow was set to when ``autolog()`` was called."""

    tracking_uri: str | None = None
    experiment_id: str | None = None
    location: object = None
    """What ``mlflow.tracing.set_destination`` has set."""
    is_chosen: bool = False
    """Whether ``autolog()`` was told the experiment."""
    is_fixed: bool = False
    """Whether the settings are those of a handler of its own, which follows nothing."""


class Home(NamedTuple):
    """Where a trace goes and what is said of it."""

    journal: Journal | None
    """None: where the recorder writes."""
    context: dict[str, Any]
    """The fields of a ``TraceContext``."""


def mark(*, is_chosen: bool) -> Mark:
    """What MLflow is set to now; nothing, where it is not imported."""
    return Mark(_tracking_uri(), _active_experiment(), _location(), is_chosen)


def is_off() -> bool:
    """Whether MLflow's tracing is switched off: by ``disable()``, ``trace_disabled``, or ``context(enabled=False)``."""
    user = _user_context()
    if user is not None and user.enabled is False:
        return True
    return type(tracer_provider()).__name__ == "NoOpTracerProvider"


def tracer_provider() -> object:
    """MLflow's tracer provider; None until it has made one."""
    module = sys.modules["mlflow.tracing.provider"]
    return module.provider._isolated_tracer_provider  # noqa: SLF001 - no public way without making one


def is_traced_by_mlflow() -> bool:
    """Whether ``mlflow.langchain.autolog()`` is on."""
    utils = sys.modules.get("mlflow.utils.autologging_utils")
    integrations: dict[str, dict[str, Any]] = getattr(utils, "AUTOLOGGING_INTEGRATIONS", {})
    config = integrations.get("langchain", {"disable": True})
    return not config.get("disable", True) and bool(config.get("log_traces", True))


class Homes:
    """Finds them, for the recorders of a process."""

    def __init__(self, journal_for: Callable[[Settings], Journal]) -> None:
        """``journal_for`` gives the journal of settings with another tracking URI."""
        self._journal_for = journal_for
        self._journals: dict[tuple[str, str], Journal | None] = {}
        self._uris: dict[str | None, str] = {}

    def of(self, recorder: Recorder, known: Mark, experiment_id: str | None = None) -> Home:
        """Where a trace that starts now goes.

        Args:
            recorder: whose settings hold where MLflow says nothing.
            known: what MLflow was set to when those settings were made.
            experiment_id: one that the span itself names.
        """
        settings = recorder.settings
        uri, journal = settings.tracking_uri, None
        said = _tracking_uri()
        if said is not None and said != known.tracking_uri and not known.is_fixed:
            uri, journal = self._elsewhere(settings, self._normalized(said))
        context = dict(recorder.context(scope.current.get()))
        tags, metadata = dict(context["tags"]), dict(context["metadata"])
        # An id means something in its own store only.
        if uri == self._normalized(said or os.environ.get("MLFLOW_TRACKING_URI")):
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
        return Home(journal, {**context, "tags": tags, "metadata": metadata})

    def _elsewhere(self, settings: Settings, uri: str) -> tuple[str, Journal | None]:
        """The tracking URI that the program has switched to, and its journal; the settings' own, where it is no use."""
        if uri == settings.tracking_uri:
            return uri, None
        key = (settings.shipper, uri)
        if key not in self._journals:
            try:
                destination.check(uri)
                self._journals[key] = self._journal_for(settings.model_copy(update={"tracking_uri": uri}))
            except AutotraceError as error:
                stays = destination.without_password(settings.tracking_uri)
                _logger.warning("traces go on to %s, for MLflow was switched to what would lose them: %s", stays, error)
                self._journals[key] = None
        found = self._journals[key]
        return (settings.tracking_uri, None) if found is None else (uri, found)

    def _normalized(self, uri: str | None) -> str:
        if uri not in self._uris:
            self._uris[uri] = destination.normalized(uri or destination.default_uri())
        return self._uris[uri]


def _chosen_experiment(known: Mark, run: Any) -> str | None:  # noqa: ANN401 - MLflow's Run
    """The experiment's id by MLflow's own order; None where ``autolog()``'s own counts."""
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
