"""Decide at exit how long to wait for delivery, and what to tell the user."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.ship.status import is_lock_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.flushing import FlushResult
    from langchain_autotrace.journal.writer import Journal
    from langchain_autotrace.launch import Launcher

IMPORTED: Final = time.time()
_MOMENT_SECONDS: Final = 0.25
"""How long to wait for a shipper that is running: longer than a delivery takes, and too short to be felt."""


def patience(journal: Journal, launcher: Launcher, exit_timeout: float) -> float:
    """Return how many seconds to wait for the delivery of what a journal still has.

    Args:
        journal: the journal.
        launcher: the starter of its shipper.
        exit_timeout: seconds to wait where the shipper ends with this process.
    """
    if launcher.ends_with_program():
        return exit_timeout
    # A shipper without a checkpoint for this process is still starting, which takes seconds.
    is_served = journal.folder.checkpoint(journal.process).exists()
    return _MOMENT_SECONDS if is_served and not reported_error(journal) else 0.0


def reported_error(journal: Journal) -> str | None:
    """Return the error of the shipper that is running, or of one that ended while this process ran."""
    status = journal.folder.read_status()
    error = status.get("error")
    is_current = error and (status.get("time", 0.0) >= IMPORTED or journal.folder.has_shipper())
    return str(error) if is_current else None


def trouble(journal: Journal, launcher: Launcher, exit_timeout: float) -> str | None:
    """Return why a person has to see to the delivery of what a journal still has; None when the shipper does it."""
    error, has_shipper = reported_error(journal), journal.folder.has_shipper()
    if error and not is_lock_error(error):
        return error
    if launcher.is_external:
        return None if has_shipper else launcher.absence
    if launcher.has_failed and not has_shipper:
        return launcher.absence
    if not launcher.ends_with_program():
        return None
    return error or f"the shipper ends with this program and needs more than its exit_timeout of {exit_timeout:g} s"


def summary(result: FlushResult, notes: Sequence[str] = ()) -> str:
    """Return the line printed at exit: what was not delivered and what to do about it; empty if all was delivered."""
    parts = []
    if result.pending:
        why = f" ({result.error.rstrip('.')})" if result.error else ""
        parts.append(
            f"{traces(result.pending)} not delivered yet{why}; kept in the journal for the next run, or deliver now "
            "with: langchain-autotrace ship"
        )
    if result.rejected:
        parts.append(f"{traces(result.rejected)} rejected by the store; see: langchain-autotrace status")
    if result.dropped:
        records = "record" if result.dropped == 1 else "records"
        parts.append(
            f"{result.dropped} {records} not captured: the disk was full or read-only, or too many runs were open"
        )
    if notes:
        more = f" (and {len(notes) - 1} more; see: langchain-autotrace status)" if len(notes) > 1 else ""
        parts.append(notes[0].rstrip(".") + more)
    if internal_errors.count:
        count = internal_errors.count
        parts.append(
            "1 internal error, please report it" if count == 1 else f"{count} internal errors, please report them"
        )
    return f"langchain-autotrace: {'; '.join(parts)}." if parts else ""


def traces(count: int) -> str:
    """Return a number of traces as text: ``1 trace``, ``2 traces``."""
    return f"{count} trace{'s' if count != 1 else ''}"
