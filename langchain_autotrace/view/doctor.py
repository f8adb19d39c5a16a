"""What is wrong with this installation, and what mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from langchain_autotrace import destination, settings
from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.journal.folder import HOME_VARIABLE, home
from langchain_autotrace.version import __version__
from langchain_autotrace.view import backlog, store
from langchain_autotrace.view.deliver import traces
from langchain_autotrace.view.text import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
_COMPILED: Final = "langchain_autotrace.capture._line"
_PURE: Final = "LANGCHAIN_AUTOTRACE_PURE_PYTHON"
_MB: Final = 1_000_000
_LITTLE_ROOM_MB: Final = 500
_NO_ROOM_MB: Final = 20
"""A program's journal takes a megabyte at a time."""
_OLD_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    level: Level
    subject: str
    finding: str
    fix: str = ""
    """What to do, where something is to be done."""


def versions() -> dict[str, str | None]:
    """Python's, this package's, and those of the packages it works with; None for what is not installed."""
    return {
        "python": platform.python_version(),
        "langchain-autotrace": __version__,
        **{name: _version(name) for name in _PACKAGES},
    }


def examine(tracking_uri: str | None) -> Iterator[Check]:
    """Look at everything, one thing after the other. Nothing is changed."""
    yield from _packages()
    yield from _capture()
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
    """The checks; an error of theirs is a finding too, and the others go on."""
    try:
        yield from checks()
    except (AutotraceError, OSError, ImportError) as error:
        yield Check("problem", subject, store.reason(error))


def _packages() -> Iterator[Check]:
    full, skinny = _version("mlflow"), _version("mlflow-skinny")
    if full is None and skinny is None:
        yield Check("problem", "packages", "MLflow is not installed", "pip install mlflow-skinny")
    elif full and skinny and full != skinny:
        finding = f"mlflow {full} and mlflow-skinny {skinny} hold the same files and overwrite each other"
        yield Check("problem", "packages", finding, f"pip install mlflow=={full} mlflow-skinny=={full}")
    else:
        yield Check("ok", "packages", f"MLflow {full or skinny} is installed")


def _capture() -> Iterator[Check]:
    """Whether lines of the journal are made by C; both ways are right."""
    if os.environ.get(_PURE):
        yield Check("ok", "capture", f"in Python alone, as {_PURE} says")
    elif find_spec(_COMPILED) is None:
        finding = "in Python alone: no C compiler was found when this was installed. It takes half as long again"
        yield Check("ok", "capture", finding)
    else:
        yield Check("ok", "capture", "compiled")


def _switches() -> Iterator[Check]:
    """Variables of the environment that switch tracing off."""
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
    public = destination.without_password(uri)
    try:
        destination.check(uri)
    except AutotraceError as error:
        yield Check("problem", "destination", str(error))
        return
    if not urlsplit(uri).scheme.startswith(("http", "databricks")):
        missing = [name for name in _DATABASE_PACKAGES if _version(name) is None]
        if missing:
            finding = f"MLflow's database needs {' and '.join(missing)}"
            yield Check("problem", "destination", finding, f"pip install {' '.join(missing)}")
            return
    path = destination.sqlite_path(uri)
    if path is not None and not path.exists():
        yield Check("ok", "destination", f"{public} will be made with the first trace")
        return
    if path is not None:
        state, revision = store.schema(path)
        if state in {"newer", "older"}:
            finding = f"{public} has the schema {revision}, which the installed MLflow does not take"
            yield Check("problem", "destination", finding, store.schema_fix(uri, state))
            return
    yield _reachable(uri, public)


def _reachable(uri: str, public: str) -> Check:
    begun = time.monotonic()
    try:
        with store.reading(uri) as client:
            client.search_experiments(max_results=1)
    except AutotraceError as error:
        fix = "start the server, or correct the address; until then the journal keeps the traces"
        return Check("problem", "destination", str(error), fix if "://" in public and "sqlite" not in public else "")
    return Check("ok", "destination", f"{public} answers ({time.monotonic() - begun:.1f} s, MLflow's start included)")


def _journal() -> Iterator[Check]:
    folder = home()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Check("problem", "journal", f"{folder} cannot be written", f"set {HOME_VARIABLE} to a folder of yours")
        return
    free = shutil.disk_usage(there).free // _MB
    if free < _LITTLE_ROOM_MB:
        level: Level = "problem" if free < _NO_ROOM_MB else "warning"
        yield Check(level, "journal", f"{folder} has {free} MB left on its disk", f"make room, or set {HOME_VARIABLE}")
        return
    yield Check("ok", "journal", f"{folder} can be written, {free:,} MB free")


def _backlogs(uri: str | None) -> Iterator[Check]:
    for folder in backlog.folders(uri):
        look = backlog.look(folder)
        yield from _backlog(look)
        if look.waiting.unreadable:
            why = next(iter(look.waiting.unreadable.values()))
            yield Check("problem", "backlog", f"{len(look.waiting.unreadable)} unreadable journals: {why}")
        if look.rejected:
            finding = f"{look.destination} refused {traces(look.rejected)}"
            yield Check("warning", "backlog", finding, "langchain-autotrace status says why; then ship --rejected")


def _backlog(look: backlog.Backlog) -> Iterator[Check]:
    waiting = look.waiting
    age = time.time() - (waiting.oldest_ns or 0) / 1e9
    if not waiting.traces or (look.has_shipper and not look.error and age < _OLD_SECONDS):
        return
    why = f" ({look.error})" if look.error else "" if look.has_shipper else " (no shipper is running)"
    since = moment((waiting.oldest_ns or 0) / 1e6)
    finding = f"{traces(waiting.traces)} for {look.destination} in the journal since {since}{why}"
    yield Check("warning", "backlog", finding, "langchain-autotrace ship")


def _other_tracers() -> Iterator[Check]:
    named = [name for name in _LANGSMITH if os.environ.get(name, "").lower() in {"true", "1"}]
    if named:
        finding = f"{named[0]} is set: LangSmith traces every run too"
        yield Check("warning", "other tracers", finding, f"unset {named[0]}, unless both are wanted")
    autologging = sys.modules.get("mlflow.utils.autologging_utils")
    if autologging is not None and not autologging.autologging_is_disabled("langchain"):
        finding = "MLflow's own LangChain autolog is on too: every run becomes two traces"
        yield Check("warning", "other tracers", finding, "mlflow.langchain.autolog(disable=True)")


def _version(package: str) -> str | None:
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return None
