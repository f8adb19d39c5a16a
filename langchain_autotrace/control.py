"""``autolog()`` and the other functions that control tracing: connects capture, journal and shipper."""

from __future__ import annotations

import atexit
import getpass
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, Final, Unpack, cast

from langchain_core.tracers.context import register_configure_hook

from langchain_autotrace import at_exit, destination, flushing, lifetime
from langchain_autotrace import settings as settings_module
from langchain_autotrace.bridge.install import Installation, check_provider
from langchain_autotrace.capture import override, runs, scope
from langchain_autotrace.capture.handler import CallbackHandler
from langchain_autotrace.capture.interfaces import Journal as JournalInterface
from langchain_autotrace.capture.interfaces import ModelLogger
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.flushing import FlushResult
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder, state_dir
from langchain_autotrace.journal.writer import Journal
from langchain_autotrace.launch import Launcher
from langchain_autotrace.notebook import cell_display
from langchain_autotrace.records import ProcessInfo
from langchain_autotrace.redaction import without_password
from langchain_autotrace.settings import HandlerSettings, Redact, Settings, Shipper
from langchain_autotrace.version import __version__

_logger: Final = logging.getLogger("langchain_autotrace")

_LAUNCH_SECONDS: Final = 10.0
"""How long to wait at exit for another thread that is starting the shipper."""
_MODEL_SETTINGS: Final = ("log_input_examples", "registered_model_name", "model_code", "code_paths")
"""Settings that need ``log_models``."""


class _Pipeline:
    """Settings with their recorder, journal and launcher. Pipelines of one destination share the journal."""

    def __init__(self, settings: Settings, journal: Journal, launcher: Launcher) -> None:
        self.settings = settings
        self.journal = journal
        self.launcher = launcher
        self.handed_runs: runs.OpenRuns = {}
        """Open runs of the handlers that the program has created itself, with these settings."""
        self.recorder = Recorder(settings, codec.encode, journal, model_logger=_model_logger(settings))


def _model_logger(settings: Settings) -> ModelLogger | None:
    """Return the logger of chains as models; None without ``log_models``."""
    if not settings.log_models:
        return None
    from langchain_autotrace.models.observe import ObservedChains  # noqa: PLC0415 - only needed with log_models

    return ObservedChains(settings)


class _State:
    """The state of tracing in this process: its pipelines and journals."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pipelines: list[_Pipeline] = []
        self.journals: dict[str, tuple[Journal, Launcher]] = {}
        self.installed = False
        self.handed_runs: runs.OpenRuns = {}
        """Open runs of the handlers that the program has created itself, without settings."""


_state: Final = _State()


class AutotraceHandler(CallbackHandler):
    """A callback handler to pass explicitly: ``config={"callbacks": [AutotraceHandler()]}``.

    Without arguments it uses the settings of ``autolog()``, or default settings when ``autolog()`` was not called. A
    run with this handler is traced once, however often it is passed and whether ``autolog()`` is on or not.

    Args:
        **settings: arguments of :func:`autolog`, for runs that need settings of their own.

    Raises:
        SettingsError: a setting is invalid or does not exist.
        DestinationError: traces sent there would be lost.
    """

    def __init__(self, **settings: Unpack[HandlerSettings]) -> None:
        own = _pipeline_for(settings_module.resolve(**settings)) if settings and not _is_overridden(settings) else None
        self._own = None if own is None else own.recorder
        self.runs = _state.handed_runs if own is None else own.handed_runs

    @property
    def recorder(self) -> Recorder:  # type: ignore[override] # an attribute in the base class, which is faster
        """The recorder that writes the events."""
        return override.current() or self._own or _current_recorder()


class _Holder:
    """The stand-in for a context variable from which LangChain gets a handler, twice for each configured run.

    Attributes:
        get: returns a new handler, or None when tracing is off. A ``partial``, in C: a method takes twice as long.
        recorder: the recorder of the handlers; None when tracing is off.
    """

    def __init__(self) -> None:
        self.hold(None)

    def hold(self, recorder: Recorder | None) -> None:
        """Make ``get`` return handlers of ``recorder`` from now on, in all threads."""
        self.recorder = recorder
        self.refresh()

    def refresh(self) -> None:
        """Make ``get`` return handlers of the recorder that takes all runs for a while, if there is one."""
        self.get: Callable[[], CallbackHandler | None] = (
            _overriding_handler
            if override.current() is not None
            else _no_handler
            if self.recorder is None
            else partial(CallbackHandler, self.recorder)
        )


def _no_handler() -> None:
    """Return None: tracing is off."""


def _overriding_handler() -> CallbackHandler | None:
    recorder = _active_recorder()
    return None if recorder is None else CallbackHandler(recorder)


_holder: Final = _Holder()


def autolog(  # noqa: PLR0913 - one argument for each setting
    *,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    log_traces: bool | None = None,
    disable: bool | None = None,
    silent: bool | None = None,
    extra_tags: Mapping[str, str] | None = None,
    sample_rate: float | None = None,
    redact: Redact | None = None,
    redact_patterns: Sequence[str | re.Pattern[str]] | None = None,
    capture_content: bool | None = None,
    max_value_bytes: int | None = None,
    max_file_bytes: int | None = None,
    shipper: Shipper | None = None,
    exit_timeout: float | None = None,
    display: bool | None = None,
    bridge: bool | None = None,
    log_models: bool | None = None,
    log_input_examples: bool | None = None,
    log_model_signatures: bool | None = None,
    registered_model_name: str | None = None,
    model_code: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    code_paths: Sequence[str | os.PathLike[str]] | None = None,
) -> None:
    """Trace every LangChain and LangGraph run of this process from now on.

    Returns at once: the shipper, a separate process, opens the store. Call it again to change settings; the last call
    wins, and open runs keep the settings they started with. Every argument can also be given as an environment
    variable, ``LANGCHAIN_AUTOTRACE_`` plus its name in capitals; an argument overrides the variable.

    Args:
        experiment: name of the MLflow experiment, created if missing. Default: the one of ``mlflow.set_experiment``,
            else MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID, else MLflow's "Default".
        tracking_uri: MLflow tracking URI of the store. Default: the one of ``mlflow.set_tracking_uri``, else
            MLFLOW_TRACKING_URI, else ``sqlite:///mlflow.db`` in the working folder.
        log_traces: False traces nothing, as in ``mlflow.langchain.autolog``.
        disable: True is the same as calling :func:`disable`.
        silent: True suppresses warnings and the summary at exit.
        extra_tags: tags for every trace.
        sample_rate: share of traces kept, 0.0 to 1.0.
        redact: function that is called with each captured value as JSON data (in LangChain's form) and returns what is
            stored in its place. If it takes two arguments, the second is a :class:`RedactContext`. If it raises,
            nothing of the value is stored.
        redact_patterns: regular expressions of additional secrets; each match is replaced by ``[REDACTED]``.
        capture_content: False keeps names, times, models, token counts and statuses, but no content.
        max_value_bytes: size in bytes over which a value is cut; at least 1,000, by default 1,000,000.
        max_file_bytes: size in bytes over which a file within a value (an image, audio, a PDF) is not kept, only its
            type and size; by default 20,000,000. A smaller one becomes an attachment of the trace.
        shipper: "process" (default), "thread", or "external" if ``langchain-autotrace ship`` runs elsewhere.
        exit_timeout: seconds to wait at exit for delivery where the shipper ends with the program: in a container
            whose first process it is, or with ``shipper="thread"``. By default 5.0. Elsewhere, exit does not wait.
        display: True shows each trace under the notebook's cell that has made it, at most 5 for a cell.
        bridge: False leaves the spans of MLflow's own API (``@mlflow.trace``, ``mlflow.start_span``) to MLflow, in
            separate traces.
        log_models: True logs each chain as an MLflow model after its first successful run, and links the traces of its
            runs to the model. A chain that was changed is a new model; the same chain in another process is the same
            model. At most 50 models per process.
        log_input_examples: True adds the input of that first run to the model as an example.
        log_model_signatures: False logs models without a signature (the types of that input and output).
        registered_model_name: name of a registered model to which each loadable model is added as a version.
        model_code: path of a Python file, or of several, that builds a chain and calls
            ``mlflow.models.set_model(chain)``. Needed to load what JSON cannot represent (lambdas, graphs, vector
            stores). Chains that none of them builds are logged as without it.
        code_paths: paths of modules and packages of yours that are copied into models, as in MLflow's ``log_model``.

    Raises:
        SettingsError: a setting is invalid, or MLflow is set to share OpenTelemetry's global tracer provider, which
            the bridge does not support.
        DestinationError: traces sent there would be lost.
        JournalError: the journal's folder cannot be written.
    """
    given = {
        "experiment": experiment,
        "tracking_uri": tracking_uri,
        "silent": silent,
        "extra_tags": extra_tags,
        "sample_rate": sample_rate,
        "redact": redact,
        "redact_patterns": redact_patterns,
        "capture_content": capture_content,
        "max_value_bytes": max_value_bytes,
        "max_file_bytes": max_file_bytes,
        "shipper": shipper,
        "exit_timeout": exit_timeout,
        "display": display,
        "bridge": bridge,
        "log_models": log_models,
        "log_input_examples": log_input_examples,
        "log_model_signatures": log_model_signatures,
        "registered_model_name": registered_model_name,
        "model_code": model_code,
        "code_paths": code_paths,
    }
    if _is_overridden(given):
        return
    off = settings_module.flag("disable", given=disable, default=False)
    if off or not settings_module.flag("log_traces", given=log_traces, default=True):
        _disable()
        return
    pipeline = _pipeline_for(settings_module.resolve(**given))
    if pipeline.settings.bridge:
        check_provider()
    _warn_of_ignored_settings(pipeline.settings)
    with _state.lock:
        _holder.hold(pipeline.recorder)
        _install_hook()
        if pipeline.settings.bridge:
            _installation.install(pipeline.recorder, is_chosen=bool(experiment or settings_module.env("experiment")))
        else:
            _installation.uninstall()
    cell_display.switch(on=pipeline.settings.display, tracking_uri=pipeline.settings.tracking_uri)


def _is_overridden(given: Mapping[str, object]) -> bool:
    """Return whether another recorder takes all runs, so that settings only have to be valid."""
    if override.current() is None:
        return False
    settings_module.checked(
        **{"tracking_uri": "memory:", **{name: one for name, one in given.items() if one is not None}}
    )
    return True


def _install_hook() -> None:
    if not _state.installed:
        # A hook cannot be removed; when tracing is off, the holder returns None instead.
        register_configure_hook(cast("ContextVar[Any]", _holder), inheritable=True, handle_class=CallbackHandler)
        _state.installed = True


@contextmanager
def captured_by(recorder: Recorder) -> Iterator[None]:
    """Have ``recorder`` take all runs within the block, in place of what ``autolog()`` and handlers have set."""
    try:
        with override.in_place(recorder), _installation.borrowed(recorder):
            with _state.lock:
                _install_hook()
                _holder.refresh()
            yield
    finally:
        _holder.refresh()


def _warn_of_ignored_settings(settings: Settings) -> None:
    ignored = [name for name in _MODEL_SETTINGS if getattr(settings, name)]
    if ignored and not settings.log_models:
        _logger.warning("these settings have no effect without log_models=True: %s", ", ".join(ignored))


def disable() -> None:
    """Stop tracing runs that start from now on. Open runs are traced to their end."""
    if override.current() is not None:
        return
    _holder.hold(None)
    _installation.uninstall()


_disable: Final = disable  # autolog() has an argument of that name


def last_trace_id() -> str | None:
    """Return MLflow's id (``tr-…``) of the last trace finished in this thread, else in this process; None before."""
    return scope.last_trace.get()


def flush(timeout: float = 30.0, *, models: bool = False) -> FlushResult:
    """Request delivery of everything captured so far, and wait for it.

    Args:
        timeout: maximum number of seconds to wait.
        models: True also waits until the chains are logged as models, and their traces linked to them, which happens
            after the traces are stored.

    Returns:
        The counters of delivery. If ``ok`` is True, every finished trace can be read in the store. A chain that could
        not be logged as a model does not change the result: a warning, ``langchain-autotrace status`` and the summary
        at exit say why.
    """
    deadline = time.monotonic() + timeout
    requests = flushing.request(_served())
    errors = [flushing.wait(one, deadline, models=False) for one in requests]
    if models and not any(errors):
        errors = [flushing.wait(one, deadline, models=True) for one in requests]
    return _result(errors)


def _served() -> list[flushing.Served]:
    with _state.lock:
        return list(_state.journals.values())


def _result(errors: Sequence[str | None]) -> FlushResult:
    """Return the result of flush requests; ``errors`` has, for each of them, why delivery failed, or None."""
    recorders = [pipeline.recorder for pipeline in _state.pipelines]
    return flushing.result([journal for journal, _ in _served()], recorders, next(filter(None, errors), None))


def _pipeline_for(settings: Settings) -> _Pipeline:
    destination.check(settings.tracking_uri)
    with _state.lock:
        found = next((one for one in _state.pipelines if one.settings == settings), None)
        if found is None:
            found = _Pipeline(settings, *_journal_for(settings))
            _state.pipelines.append(found)
        return found


def _journal_for(settings: Settings) -> tuple[Journal, Launcher]:
    path = state_dir() / destination.slug(settings.tracking_uri)
    key = f"{settings.shipper} {path}"
    if key not in _state.journals:
        folder = DestinationFolder(path)
        folder.create(without_password(settings.tracking_uri))
        launcher = Launcher(folder, settings)
        journal = Journal(folder, _describe_process)
        journal.on_segment = launcher.ensure_soon
        if not _state.journals:
            _install_process_hooks()
        _state.journals[key] = journal, launcher
    return _state.journals[key]


def _current_recorder() -> Recorder:
    return _active_recorder() or _pipeline_for(settings_module.resolve()).recorder


def _active_recorder() -> Recorder | None:
    return override.current() or _holder.recorder


def current_settings() -> Settings | None:
    """Return the settings of the last ``autolog()`` call; None when tracing is off."""
    recorder = _active_recorder()
    return None if recorder is None else recorder.settings


def _journal_of(settings: Settings) -> JournalInterface:
    """Return the journal for a tracking URI that the program has switched to in MLflow."""
    if (recorder := override.current()) is not None:
        return recorder.journal
    with _state.lock:
        return _journal_for(settings)[0]


_installation: Final = Installation(_active_recorder, _journal_of, flush)


_install_once: Final = threading.Lock()
_installed_hooks: Final[list[Callable[[], None]]] = []


def _install_process_hooks() -> None:
    with _install_once:
        if _installed_hooks:
            return
        _installed_hooks.append(_at_exit)
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    _state.lock = threading.RLock()
    runs.after_fork()
    for journal, launcher in _state.journals.values():
        journal.after_fork()
        launcher.after_fork()
    for pipeline in _state.pipelines:
        pipeline.recorder.after_fork()
    _installation.after_fork()


def _at_exit() -> None:
    line = at_exit.summary(_flush_at_exit(), flushing.notes(_served()))
    if line and not _is_silent() and not lifetime.is_worker():
        print(line, file=sys.stderr)  # noqa: T201 - logging may be shut down by now
    shutdown()


def _flush_at_exit() -> FlushResult:
    """Request delivery of everything, and wait for it where the shipper ends with this process."""
    errors, begun = [], time.monotonic()
    for one in flushing.request(_served()):
        one.launcher.ensure(wait=_LAUNCH_SECONDS)
        timeout = _exit_timeout(one.journal)
        deadline = begun + at_exit.patience(one.journal, one.launcher, timeout)
        if flushing.wait(one, deadline, models=False):
            errors.append(at_exit.trouble(one.journal, one.launcher, timeout))
        elif one.launcher.ends_with_program():
            flushing.wait(one, deadline, models=True)
    return _result(errors)


def _exit_timeout(journal: Journal) -> float:
    return max((one.settings.exit_timeout for one in _state.pipelines if one.journal is journal), default=0.0)


def _is_silent() -> bool:
    settings = [pipeline.settings for pipeline in _state.pipelines]
    return bool(settings) and all(one.silent for one in settings)


def _is_logged(_: logging.LogRecord) -> bool:
    return not _is_silent()


for _name in ("langchain_autotrace", "langchain_autotrace.ship"):
    logging.getLogger(_name).addFilter(_is_logged)


def shutdown() -> None:
    """Close the journals and discard all settings, as at exit; ``autolog()`` can switch tracing on again."""
    disable()
    with _state.lock:
        for journal, launcher in _state.journals.values():
            journal.close()
            launcher.stop()
        _state.journals.clear()
        _state.pipelines.clear()


def _describe_process() -> ProcessInfo:
    return ProcessInfo(
        pid=os.getpid(),
        host=socket.gethostname(),
        started_ns=time.time_ns(),
        user=_user(),
        source=sys.argv[0] or "<interactive>",
        folder=_folder(),
        package=__version__,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container user without a name
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""
