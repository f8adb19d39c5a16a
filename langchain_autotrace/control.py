"""``autolog()`` and the other calls that switch tracing on and off: wires capture, journal and shipper together."""

from __future__ import annotations

import atexit
import getpass
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from itertools import repeat
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from langchain_core.tracers.context import register_configure_hook

from langchain_autotrace import destination
from langchain_autotrace import settings as settings_module
from langchain_autotrace.bridge.install import Installation, check_provider
from langchain_autotrace.capture import scope
from langchain_autotrace.capture.compiled import map_writer
from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.capture.handler import CallbackHandler
from langchain_autotrace.capture.place import Chains
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.errors import JournalError
from langchain_autotrace.journal import checkpoint, codec
from langchain_autotrace.journal.folder import DestinationFolder, home
from langchain_autotrace.journal.segment import MapWriter
from langchain_autotrace.journal.writer import Journal
from langchain_autotrace.launch import Launcher
from langchain_autotrace.settings import Redact, Settings, Shipper
from langchain_autotrace.span import ProcessInfo
from langchain_autotrace.version import __version__

_logger: Final = logging.getLogger("langchain_autotrace")

_POLL_SECONDS: Final = 0.01
_RELAUNCH_SECONDS: Final = 2.0
_IMPORTED: Final = time.time()
_OF_MODELS: Final = ("log_input_examples", "registered_model_name", "model_code")
"""Settings that need ``log_models``."""


class FlushResult(NamedTuple):
    """What became of the traces this process has finished so far."""

    ok: bool
    """Everything captured before the call can be read in the store."""
    delivered: int
    """Traces stored, since the process started."""
    pending: int
    """Traces that are in the journal only."""
    rejected: int
    """Traces the store refused; they are in the ``rejected`` folder, with the reason."""
    dropped: int
    """Records that never reached the journal: the disk was full, or too many runs were open."""
    error: str | None
    """Why, when ``ok`` is False."""


class _Pipeline:
    """One set of settings, with what serves it. Pipelines of one destination share the journal."""

    def __init__(self, settings: Settings, journal: Journal, launcher: Launcher) -> None:
        self.settings = settings
        self.journal = journal
        self.launcher = launcher
        self.recorder = Recorder(settings, codec, journal, chains=_chains(settings))


def _chains(settings: Settings) -> Chains | None:
    """What logs chains as models; imported where that is asked for."""
    if not settings.log_models:
        return None
    from langchain_autotrace.models.observe import Chains as ObservedChains  # noqa: PLC0415 - see above

    return ObservedChains(settings)


class _State:
    """What the process has: its pipelines and their journals."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pipelines: list[_Pipeline] = []
        self.journals: dict[str, tuple[Journal, Launcher]] = {}
        self.installed = False


_state: Final = _State()


class AutotraceHandler(CallbackHandler):
    """The callback handler, for those who pass it themselves: ``config={"callbacks": [AutotraceHandler()]}``.

    Without arguments it follows ``autolog()``, and starts tracing with default settings where ``autolog()`` was not
    called. A run that has it is traced once, however often it is passed and whether ``autolog()`` is on or not.

    Args:
        **settings: those of :func:`autolog`, for runs that go elsewhere.

    Raises:
        SettingsError: a setting cannot be used.
        DestinationError: traces sent there would be lost.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - those of autolog()
        self._own = _pipeline_for(settings_module.resolve(**settings)).recorder if settings else None

    @property
    def recorder(self) -> Recorder:  # type: ignore[override] # an attribute there, which is faster to read
        """Where the events go."""
        return self._own or _current_recorder()


class _Holder:
    """What LangChain asks for a handler, twice for each run that is configured.

    Attributes:
        get: gives the handler, or None when tracing is off. It is no method of ours: a call of C costs half as much.
    """

    def __init__(self) -> None:
        self.get: Callable[[], CallbackHandler | None] = repeat(None).__next__

    def hold(self, handler: CallbackHandler | None) -> None:
        """Give ``handler`` from now on, in all threads."""
        self.get = repeat(handler).__next__


_holder: Final = _Holder()


def autolog(  # noqa: PLR0913 - the settings, each by name
    *,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    log_traces: bool | None = None,
    disable: bool | None = None,
    silent: bool | None = None,
    extra_tags: Mapping[str, str] | None = None,
    sample_rate: float | None = None,
    redact: Redact | None = None,
    capture_content: bool | None = None,
    max_value_bytes: int | None = None,
    shipper: Shipper | None = None,
    exit_timeout: float | None = None,
    bridge: bool | None = None,
    log_models: bool | None = None,
    log_input_examples: bool | None = None,
    log_model_signatures: bool | None = None,
    registered_model_name: str | None = None,
    model_code: str | os.PathLike[str] | None = None,
) -> None:
    """Trace every LangChain and LangGraph run of this process from now on.

    Returns at once: the database is opened by the shipper, a process of its own. Call it again to change settings;
    the last call wins, and runs that are open go on with what they started with. Every argument can also be given
    as an environment variable, ``LANGCHAIN_AUTOTRACE_`` and its name in capitals; arguments come first.

    Args:
        experiment: name of the MLflow experiment, created if missing. Default: MLFLOW_EXPERIMENT_NAME or
            MLFLOW_EXPERIMENT_ID, what ``mlflow.set_experiment`` chose, else MLflow's "Default".
        tracking_uri: where traces go, as MLflow writes it. Default: what ``mlflow.set_tracking_uri`` chose,
            MLFLOW_TRACKING_URI, else ``sqlite:///mlflow.db`` in the working folder.
        log_traces: False traces nothing, as with ``mlflow.langchain.autolog``.
        disable: True is :func:`disable`.
        silent: print no warning and no line at exit.
        extra_tags: tags for every trace.
        sample_rate: share of traces kept, 0.0 to 1.0.
        redact: called with each captured value in JSON form, returns what is kept of it. An exception keeps nothing.
        capture_content: False keeps names, times, models, token counts and statuses, and nothing of what was said.
        max_value_bytes: size in bytes over which one value is cut; at least 1,000, by default 1,000,000.
        shipper: "process" (default), "thread", or "external" where ``langchain-autotrace ship`` runs elsewhere.
        exit_timeout: seconds to wait at exit for delivery, by default 5.0.
        bridge: False leaves the spans of MLflow's own API (``@mlflow.trace``, ``mlflow.start_span``) to MLflow, in
            traces of their own.
        log_models: True logs each chain, after the first run of it that ends well, as an MLflow model, and links the
            traces of its runs to it. A chain that was changed is another model; the same chain in another process is
            the same. At most 50 of a process.
        log_input_examples: True gives the model that first input as an example.
        log_model_signatures: False leaves the model without the types of that input and output.
        registered_model_name: models that can be loaded become versions of this registered model.
        model_code: a Python file that builds the chain and names it with ``mlflow.models.set_model(chain)``: the way to
            load what JSON cannot hold (lambdas, graphs, retrievers).

    Raises:
        SettingsError: a setting has a value that cannot be used, or MLflow is set to share OpenTelemetry's global
            tracer provider, which the bridge cannot serve.
        DestinationError: traces sent there would be lost.
        JournalError: the journal's folder cannot be written.
    """
    off = settings_module.flag("disable", given=disable, default=False)
    if off or not settings_module.flag("log_traces", given=log_traces, default=True):
        _disable()
        return
    pipeline = _pipeline_for(
        settings_module.resolve(
            experiment=experiment,
            tracking_uri=tracking_uri,
            silent=silent,
            extra_tags=extra_tags,
            sample_rate=sample_rate,
            redact=redact,
            capture_content=capture_content,
            max_value_bytes=max_value_bytes,
            shipper=shipper,
            exit_timeout=exit_timeout,
            bridge=bridge,
            log_models=log_models,
            log_input_examples=log_input_examples,
            log_model_signatures=log_model_signatures,
            registered_model_name=registered_model_name,
            model_code=model_code,
        )
    )
    if pipeline.settings.bridge:
        check_provider()
    _say_what_models_need(pipeline.settings)
    with _state.lock:
        _holder.hold(CallbackHandler(pipeline.recorder))
        if not _state.installed:
            # There is no way to take a hook back; the holder answers None instead.
            register_configure_hook(cast("ContextVar[Any]", _holder), inheritable=True, handle_class=CallbackHandler)
            _state.installed = True
        if pipeline.settings.bridge:
            _installation.install(pipeline.recorder, is_chosen=bool(experiment or settings_module.env("experiment")))
        else:
            _installation.uninstall()


def _say_what_models_need(settings: Settings) -> None:
    asked = [name for name in _OF_MODELS if getattr(settings, name)]
    if asked and not settings.log_models:
        _logger.warning("%s does nothing without log_models=True: no model is logged.", " and ".join(asked))


def disable() -> None:
    """Trace no run that starts from now on. Runs that are open are traced to their end."""
    _holder.hold(None)
    _installation.uninstall()


_disable: Final = disable  # autolog() has an argument of that name


def last_trace_id() -> str | None:
    """MLflow's id (``tr-…``) of the trace that finished last in this thread, else in this process; None before."""
    return scope.last_trace.get()


def flush(timeout: float = 30.0) -> FlushResult:
    """Have everything captured so far delivered, and wait for it.

    Args:
        timeout: seconds to wait at most.

    Returns:
        What was delivered and what was not. With ``ok`` True, every trace that had finished can be read.
    """
    return _flush(timeout, give_up=False)


def _flush(timeout: float, *, give_up: bool) -> FlushResult:
    deadline = time.monotonic() + timeout
    with _state.lock:
        served = list(_state.journals.values())
    marks = [(journal, launcher, journal.flush_mark()) for journal, launcher in served]
    errors = [
        error
        for journal, launcher, mark in marks
        if mark and (error := _wait(journal, launcher, mark, deadline, give_up=give_up))
    ]
    return _result([journal for journal, _ in served], errors[0] if errors else None)


def _wait(journal: Journal, launcher: Launcher, mark: int, deadline: float, *, give_up: bool) -> str | None:
    """Wait until the shipper has answered the mark; the reason why it did not, else None."""
    asked, launch_at = time.time(), 0.0
    folder = journal.folder
    while True:
        if _checkpoint(journal).flushed >= mark:
            return None
        now = time.monotonic()
        status = folder.read_status()
        failing = status.get("error") if status.get("time", 0.0) >= asked else None
        if now >= deadline or (give_up and failing):
            return failing or status.get("error") or _why_late(folder, launcher)
        if now >= launch_at:
            launcher.ensure()
            launch_at = now + _RELAUNCH_SECONDS
        time.sleep(_POLL_SECONDS)


def _why_late(folder: DestinationFolder, launcher: Launcher) -> str:
    if folder.has_shipper():
        return "the shipper is still at it"
    if launcher.is_external:
        return "no shipper is running; start one with: langchain-autotrace ship --follow"
    return f"the shipper did not start; see {folder.log_file}"


def _checkpoint(journal: Journal) -> checkpoint.Checkpoint:
    try:
        return checkpoint.glance(journal.folder, journal.process)
    except (OSError, JournalError):
        return checkpoint.Checkpoint()


def _result(journals: list[Journal], error: str | None) -> FlushResult:
    done = [_checkpoint(journal) for journal in journals if journal.process]
    recorders = [pipeline.recorder for pipeline in _state.pipelines]
    delivered = sum(one.delivered for one in done)
    rejected = sum(one.rejected for one in done)
    dropped = sum(journal.dropped for journal in journals) + sum(recorder.evicted for recorder in recorders)
    finished = sum(recorder.finished for recorder in recorders)
    pending = max(finished - delivered - rejected, 0) if error else 0
    return FlushResult(error is None and not dropped, delivered, pending, rejected, dropped, error)


def _pipeline_for(settings: Settings) -> _Pipeline:
    destination.check(settings.tracking_uri)
    with _state.lock:
        found = next((one for one in _state.pipelines if one.settings == settings), None)
        if found is None:
            found = _Pipeline(settings, *_journal_for(settings))
            _state.pipelines.append(found)
        return found


def _journal_for(settings: Settings) -> tuple[Journal, Launcher]:
    path = home() / destination.slug(settings.tracking_uri)
    key = f"{settings.shipper} {path}"
    if key not in _state.journals:
        folder = DestinationFolder(path)
        folder.create(destination.without_password(settings.tracking_uri))
        launcher = Launcher(folder, settings)
        journal = Journal(folder, _describe_process, writer=map_writer() or MapWriter)
        journal.on_segment = launcher.ensure_soon
        if not _state.journals:
            _install_process_hooks()
        _state.journals[key] = journal, launcher
    return _state.journals[key]


def _current_recorder() -> Recorder:
    return _switched_on() or _pipeline_for(settings_module.resolve()).recorder


def _switched_on() -> Recorder | None:
    handler = _holder.get()
    return None if handler is None else handler.recorder


def current_settings() -> Settings | None:
    """Those of the last ``autolog()``; None when tracing is off."""
    recorder = _switched_on()
    return None if recorder is None else recorder.settings


def _recorders() -> list[Recorder]:
    return [pipeline.recorder for pipeline in _state.pipelines]


def _journal_elsewhere(settings: Settings) -> Journal:
    """The journal of a tracking URI that the program has switched to."""
    with _state.lock:
        return _journal_for(settings)[0]


_installation: Final = Installation(_switched_on, _recorders, _journal_elsewhere, flush)


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
    for journal, launcher in _state.journals.values():
        journal.after_fork()
        launcher.after_fork()
    for pipeline in _state.pipelines:
        pipeline.recorder.after_fork()
    _installation.after_fork()


def _at_exit() -> None:
    waits = [pipeline.settings.exit_timeout for pipeline in _state.pipelines if pipeline.settings.shipper != "external"]
    result = _flush(max(waits, default=0.0), give_up=True)
    line = _farewell(result, _notes())
    if line and not _is_silent():
        print(line, file=sys.stderr)  # noqa: T201 - logging may be shut down by now
    shutdown()


def _is_silent() -> bool:
    settings = [pipeline.settings for pipeline in _state.pipelines]
    return bool(settings) and all(one.silent for one in settings)


def _let_through(_: logging.LogRecord) -> bool:
    return not _is_silent()


for _name in ("langchain_autotrace", "langchain_autotrace.ship"):
    logging.getLogger(_name).addFilter(_let_through)


def shutdown() -> None:
    """Close the journals and forget all settings, as at the end of the process; tracing can be switched on again."""
    disable()
    with _state.lock:
        for journal, launcher in _state.journals.values():
            journal.close()
            launcher.stop()
        _state.journals.clear()
        _state.pipelines.clear()


def _notes() -> list[str]:
    """What the shipper could not store beside the traces while this process was there."""
    statuses = [journal.folder.read_status() for journal, _ in _state.journals.values()]
    return [note for status in statuses if status.get("time", 0.0) >= _IMPORTED for note in status.get("notes", ())]


def _farewell(result: FlushResult, notes: Sequence[str] = ()) -> str:
    """What the user must know at exit, in one line; empty when all went well."""
    parts = []
    if result.pending:
        why = f" ({result.error})" if result.error else ""
        parts.append(
            f"{_traces(result.pending)} still in the journal{why}; delivered by the next run, or now by: "
            "langchain-autotrace ship"
        )
    if result.rejected:
        parts.append(f"{_traces(result.rejected)} rejected by the store; see: langchain-autotrace status")
    if result.dropped:
        parts.append(f"{result.dropped} records not captured, the disk was full or too many runs were open")
    if notes:
        more = f" ({len(notes) - 1} more: langchain-autotrace status)" if len(notes) > 1 else ""
        parts.append(notes[0].rstrip(".") + more)
    if internal_errors.count:
        parts.append(f"{internal_errors.count} internal errors, please report them")
    return f"langchain-autotrace: {'; '.join(parts)}." if parts else ""


def _traces(count: int) -> str:
    return f"{count} trace{'s' if count != 1 else ''}"


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
    except (KeyError, OSError, ImportError):  # a container's user without a name
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""
