"""Checks the installation, the settings, the store and the journals, and suggests fixes."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from langchain_autotrace import destination, settings
from langchain_autotrace.errors import AutotraceError, SinkUnavailable
from langchain_autotrace.journal.folder import HOME_VARIABLE, is_temporary, state_dir
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.ship.schema import schema
from langchain_autotrace.version import __version__
from langchain_autotrace.view import backlog, store
from langchain_autotrace.view.deliver import traces
from langchain_autotrace.view.text import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Level = Literal["ok", "warning", "problem"]

_PACKAGES: Final = (
    "langchain-core",
    "langgraph",
    "langchain-openai",
    "mlflow-skinny",
    "mlflow",
    "sqlalchemy",
    "alembic",
)
_DATABASE_PACKAGES: Final = ("sqlalchemy", "alembic")
_LANGSMITH: Final = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2", "LANGCHAIN_TRACING")
_MB: Final = 1_000_000
_LITTLE_ROOM_MB: Final = 500
_NO_ROOM_MB: Final = 20
"""A journal allocates a megabyte at a time."""
_OLD_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    level: Level
    subject: str
    finding: str
    fix: str = ""
    """What to do; empty if there is nothing to do."""


def versions() -> dict[str, str | None]:
    """Return the versions of Python, this package, and the packages it works with; None if not installed."""
    return {
        "python": platform.python_version(),
        "langchain-autotrace": __version__,
        **{name: _version(name) for name in _PACKAGES},
    }


def examine(tracking_uri: str | None) -> Iterator[Check]:
    """Run all checks and yield their results one by one. Nothing is changed."""
    yield from _packages()
    yield from _switches()
    try:
        uri = settings.resolve(tracking_uri=tracking_uri).tracking_uri
    except AutotraceError as error:
        yield Check("problem", "settings", str(error), "correct the value")
        return
    yield from _guarded(lambda: _destination(uri), "destination")
    yield from _guarded(_journal, "journal")
    yield from _guarded(lambda: _backlogs(tracking_uri and uri), "backlog")
    yield from _guarded(_other_tracers, "other tracers")


def _guarded(checks: Callable[[], Iterator[Check]], subject: str) -> Iterator[Check]:
    """Yield the results of some checks; an error in them is reported as a problem and stops no other check."""
    try:
        yield from checks()
    except (AutotraceError, OSError, ImportError) as error:
        yield Check("problem", subject, error_line(error))


def _packages() -> Iterator[Check]:
    full, skinny = _version("mlflow"), _version("mlflow-skinny")
    if full is None and skinny is None:
        yield Check("problem", "packages", "MLflow is not installed", "pip install mlflow-skinny")
    elif full and skinny and full != skinny:
        finding = f"mlflow {full} and mlflow-skinny {skinny} install the same files and overwrite each other"
        yield Check("problem", "packages", finding, f"pip install mlflow=={full} mlflow-skinny=={full}")
    else:
        yield Check("ok", "packages", f"MLflow {full or skinny} is installed")


def _switches() -> Iterator[Check]:
    """Check whether environment variables switch tracing off."""
    try:
        off = settings.flag("disable", given=None, default=False)
        on = settings.flag("log_traces", given=None, default=True)
    except AutotraceError as error:
        yield Check("problem", "settings", str(error), "correct the value")
        return
    name = f"{settings.PREFIX}DISABLE" if off else f"{settings.PREFIX}LOG_TRACES"
    if off or not on:
        yield Check("warning", "settings", f"{name} switches tracing off", f"unset {name}")


def _destination(uri: str) -> Iterator[Check]:
    public = without_password(uri)
    try:
        destination.check(uri)
    except AutotraceError as error:
        yield Check("problem", "destination", str(error))
        return
    if not urlsplit(uri).scheme.startswith(("http", "databricks")):
        missing = [name for name in _DATABASE_PACKAGES if _version(name) is None]
        if missing:
            finding = f"MLflow needs {' and '.join(missing)} to use a database"
            yield Check("problem", "destination", finding, f"pip install {' '.join(missing)}")
            return
    path = destination.sqlite_path(uri)
    if path is not None and (not path.exists() or not path.stat().st_size):
        room = list(_room("destination", path.parent, "move the database"))
        yield from room or [Check("ok", "destination", f"{public} will be created with the first trace")]
        return
    found = list(_file(uri, path)) if path is not None else []
    yield from found
    if not any(check.level == "problem" for check in found):
        yield _reachable(uri, public)


def _file(uri: str, path: Path) -> Iterator[Check]:
    """Check the file of an SQLite database; yield nothing when all is well."""
    try:
        state, revision = schema(path)
        store.integrity(path)
    except SinkUnavailable as error:
        yield _unavailable(uri, error)
        return
    if state in {"newer", "older"}:
        finding = f"{without_password(uri)} has schema {revision}, which the installed MLflow does not support"
        yield Check("problem", "destination", finding, store.schema_fix(uri, state))
    yield from _room("destination", path.parent, "move the database")


def _unavailable(uri: str, error: AutotraceError, fix: str = "") -> Check:
    """Return the problem of a store that cannot be used, with what to do where that is known."""
    from langchain_autotrace.ship.store_faults import fault_of  # noqa: PLC0415 - imports MLflow

    fault = None if error.__cause__ is None else fault_of(error.__cause__)
    if fault is None:
        return Check("problem", "destination", str(error), fix)
    command = f" {destination.sqlite_path(uri)}" if fault.fix.endswith("fuser") else ""
    return Check("problem", "destination", f"{without_password(uri)}: {fault.reason}", f"{fault.fix}{command}")


def _reachable(uri: str, public: str) -> Check:
    begun = time.monotonic()
    try:
        with store.reading(uri) as client:
            client.search_experiments(max_results=1)
    except AutotraceError as error:
        fix = "start the server or correct the address; until then, traces stay in the journal"
        return _unavailable(uri, error, fix if "://" in public and "sqlite" not in public else "")
    return Check(
        "ok", "destination", f"{public} is reachable ({time.monotonic() - begun:.1f} s, including MLflow's import)"
    )


def _journal() -> Iterator[Check]:
    folder = state_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        fix = f"set {HOME_VARIABLE} to a folder that you can write to"
        yield Check("problem", "journal", f"{folder} is not writable", fix)
        return
    room = list(_room("journal", there, f"set {HOME_VARIABLE}"))
    yield from room
    if is_temporary(folder):
        finding = f"your home folder cannot be written: traces are kept in {folder} until they are delivered"
        yield Check("warning", "journal", finding, f"set {HOME_VARIABLE} to a folder that outlives this machine")
    elif not room:
        yield Check("ok", "journal", f"{folder} is writable, {shutil.disk_usage(there).free // _MB:,} MB free")


def _room(subject: str, folder: Path, instead: str) -> Iterator[Check]:
    """Check whether the disk of a folder has room; yield nothing when it has."""
    free = shutil.disk_usage(folder).free // _MB
    if free < _LITTLE_ROOM_MB:
        level: Level = "problem" if free < _NO_ROOM_MB else "warning"
        yield Check(level, subject, f"{folder} has {free} MB left on its disk", f"free disk space, or {instead}")


def _backlogs(uri: str | None) -> Iterator[Check]:
    for folder in backlog.folders(uri):
        look = backlog.look(folder)
        yield from _backlog(look)
        if look.waiting.unreadable:
            why, number = next(iter(look.waiting.unreadable.values())), len(look.waiting.unreadable)
            finding = f"{number} journal{'s' if number != 1 else ''} that this version cannot read: {why}"
            yield Check("problem", "backlog", finding)
        if look.rejected:
            finding = f"{look.destination} rejected {traces(look.rejected)}"
            fix = "see the reasons with: langchain-autotrace status; retry with: langchain-autotrace ship --rejected"
            yield Check("warning", "backlog", finding, fix)


def _backlog(look: backlog.Backlog) -> Iterator[Check]:
    waiting = look.waiting
    age = time.time() - (waiting.oldest_ns or 0) / 1e9
    if not waiting.traces or (look.has_shipper and not look.error and age < _OLD_SECONDS):
        return
    why = f" ({look.error})" if look.error else "" if look.has_shipper else " (no shipper is running)"
    since = moment((waiting.oldest_ns or 0) / 1e6)
    finding = f"{traces(waiting.traces)} for {look.destination} pending since {since}{why}"
    yield Check("warning", "backlog", finding, "langchain-autotrace ship")


def _other_tracers() -> Iterator[Check]:
    named = [name for name in _LANGSMITH if os.environ.get(name, "").lower() in {"true", "1"}]
    if named:
        finding = f"{named[0]} is set: LangSmith also traces every run"
        yield Check("warning", "other tracers", finding, f"unset {named[0]} unless you want both")
    autologging = sys.modules.get("mlflow.utils.autologging_utils")
    if autologging is not None and not autologging.autologging_is_disabled("langchain"):
        finding = (
            "mlflow.langchain.autolog() is also on: the runs that it traces are left to it, "
            "or traced twice with bridge=False"
        )
        yield Check("warning", "other tracers", finding, "mlflow.langchain.autolog(disable=True)")


def _version(package: str) -> str | None:
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return None
