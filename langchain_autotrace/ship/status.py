"""Write ``status.json``, the shipper's status for programs that wait for delivery."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import orjson

from langchain_autotrace.journal.folder import DestinationFolder, replace

if TYPE_CHECKING:
    from langchain_autotrace.errors import AutotraceError

_logger: Final = logging.getLogger("langchain_autotrace.ship")


def is_lock_error(error: str) -> bool:
    """Return whether delivery fails because another process has locked the database: nobody needs to act."""
    return "locked" in error


def write_status(folder: DestinationFolder, status: dict[str, Any]) -> None:
    """Write the shipper's status. A disk error is only logged: the status is not needed for delivery."""
    try:
        replace(folder.status_file, orjson.dumps(status))
    except OSError as error:
        _logger.warning("cannot write %s: %s", folder.status_file, error)


def report_failure(folder: DestinationFolder, error: AutotraceError) -> None:
    """Write to the status why no shipper can start, for the programs that wait for one."""
    now = time.time()
    status = folder.read_status()
    status.pop("writing_since", None)
    failing = {"error": str(error), "failing_since": status.get("failing_since") or now}
    write_status(folder, {**status, **failing, "time": now})
