"""What a shipper says of itself, for the programs that wait for it: ``status.json``."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

import orjson

from langchain_autotrace.journal.folder import DestinationFolder, replace

if TYPE_CHECKING:
    from langchain_autotrace.errors import AutotraceError

_logger: Final = logging.getLogger("langchain_autotrace.ship")


def write_status(folder: DestinationFolder, status: dict[str, Any]) -> None:
    """Say how delivery stands; it is told by other means too, where the disk does not take it."""
    try:
        replace(folder.status_file, orjson.dumps(status))
    except OSError as error:
        _logger.warning("%s was not written: %s", folder.status_file, error)


def report_failure(folder: DestinationFolder, error: AutotraceError) -> None:
    """Let the programs that wait for a shipper know why none can work."""
    now = time.time()
    status = folder.read_status()
    write_status(
        folder, {**status, "error": str(error), "failing_since": status.get("failing_since") or now, "time": now}
    )
