"""Waits until the shipper has delivered what this process has captured, and counts what became of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from langchain_autotrace import at_exit
from langchain_autotrace.errors import JournalError
from langchain_autotrace.journal import checkpoint
from langchain_autotrace.journal.rejections import last_reason
from langchain_autotrace.journal.writer import Journal
from langchain_autotrace.launch import Launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.capture.recorder import Recorder

_POLL_SECONDS: Final = 0.01
_RELAUNCH_SECONDS: Final = 2.0
_TRACES_LEFT: Final = "timed out; the shipper is still delivering"
_MODELS_LEFT: Final = "timed out; all traces are stored, the shipper is still logging models"

Served: TypeAlias = tuple[Journal, Launcher]
"""A journal of this process, and the starter of its shipper."""


class FlushResult(NamedTuple):
    """The state of delivery of the traces that this process has finished so far."""

    ok: bool
    """Whether everything captured before the call can be read in the store: nothing is pending, rejected or dropped."""
    delivered: int
    """Number of traces stored since the process started."""
    pending: int
    """Number of traces that are only in the journal."""
    rejected: int
    """Number of traces that the store rejected; they are in the ``rejected`` folder, with the reason."""
    dropped: int
    """Number of records that never reached the journal: the disk was full, or too many runs were open."""
    error: str | None
    """Why delivery failed, or why the last rejected trace was rejected; None when neither happened."""


class FlushRequest(NamedTuple):
    """A flush request in a journal: the process asks for delivery of everything before it."""

    journal: Journal
    launcher: Launcher
    number: int
    """Number of the request in the journal, counted from 1."""


def request(served: Sequence[Served]) -> list[FlushRequest]:
    """Write a flush request to each journal that has records; return the requests."""
    made = [FlushRequest(journal, launcher, journal.request_flush()) for journal, launcher in served]
    return [one for one in made if one.number]


def wait(requested: FlushRequest, deadline: float, *, models: bool) -> str | None:
    """Wait until the shipper has answered a flush request; return None, or the reason why it did not.

    Args:
        requested: the request.
        deadline: until when to wait, by ``time.monotonic()``.
        models: whether to wait until the models are logged, too.
    """
    launch_at, folder, launcher = 0.0, requested.journal.folder, requested.launcher
    while True:
        answer = _checkpoint(requested.journal)
        if (answer.models_flushed if models else answer.flushed) >= requested.number:
            return None
        now = time.monotonic()
        if now >= deadline:
            status = folder.read_status()
            if error := status.get("error") or (models and status.get("models_error")):
                return str(error)
            if folder.has_shipper():
                return _MODELS_LEFT if models else _TRACES_LEFT
            return launcher.absence
        if now >= launch_at:
            launcher.ensure()
            launch_at = now + _RELAUNCH_SECONDS
        time.sleep(_POLL_SECONDS)


def _checkpoint(journal: Journal) -> checkpoint.Checkpoint:
    try:
        return checkpoint.glance(journal.folder, journal.process)
    except (OSError, JournalError):
        return checkpoint.Checkpoint()


def result(journals: Sequence[Journal], recorders: Sequence[Recorder], error: str | None) -> FlushResult:
    """Return how many traces were delivered, are pending or were rejected, and how many records were lost.

    Args:
        journals: all journals of this process.
        recorders: all that write to them.
        error: why delivery failed, if it did.
    """
    journals_used = [journal for journal in journals if journal.process]
    checkpoints = [_checkpoint(journal) for journal in journals_used]
    delivered = sum(one.delivered for one in checkpoints)
    rejected = sum(one.rejected for one in checkpoints)
    dropped = sum(journal.dropped for journal in journals) + sum(recorder.evicted for recorder in recorders)
    finished = sum(recorder.finished for recorder in recorders)
    pending = max(finished - delivered - rejected, 0) if error else 0
    if error is None and rejected:
        error = _rejection(journals_used, rejected)
    return FlushResult(error is None and not dropped, delivered, pending, rejected, dropped, error)


def _rejection(journals: list[Journal], rejected: int) -> str:
    """Return that traces were rejected, and why the last one of them was."""
    reasons = filter(None, (last_reason(journal.folder, journal.process) for journal in journals))
    return f"{at_exit.traces(rejected)} rejected by the store: {next(reasons, 'see langchain-autotrace status')}"


def notes(served: Sequence[Served]) -> list[str]:
    """Return the shipper's notes since this process started: models that it could not log, or has not logged yet."""
    statuses = [journal.folder.read_status() for journal, _ in served]
    current = [status for status in statuses if status.get("time", 0.0) >= at_exit.IMPORTED]
    found = [note for status in current for note in status.get("notes", ())]
    if any(launcher.ends_with_program() and _checkpoint(journal).pending_models for journal, launcher in served):
        found.append("models are not logged yet; they are kept in the journal for the next run")
    return found
