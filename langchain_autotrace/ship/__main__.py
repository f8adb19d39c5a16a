"""``python -m langchain_autotrace.ship FOLDER``: run the shipper of one destination folder."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import time
from pathlib import Path
from typing import Final

from langchain_autotrace.errors import AutotraceError, SettingsError
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.redaction import without_password
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.status import report_failure

LINGER_SECONDS: Final = 5.0
"""Seconds that an idle shipper stays after all processes have ended (``LANGCHAIN_AUTOTRACE_LINGER``)."""
PATIENCE_SECONDS: Final = 300.0
"""Seconds that the shipper retries a store that is down after all processes have ended.

Set by ``LANGCHAIN_AUTOTRACE_PATIENCE``. The journal is kept.
"""

STAND_BY_SECONDS: Final = 20.0
"""Seconds until a shipper whose credentials were refused tries again, if no other shipper has come."""

_POLL_SECONDS: Final = 0.2
_NICENESS: Final = 10
_AUTOGROUP: Final = Path("/proc/self/autogroup")
_OBJECTS_PER_COLLECTION: Final = 100_000
"""Number of new objects after which Python looks for unreachable cycles: 700 to 2,000 by default."""
_LOCK_SECONDS: Final = 1.0
"""Seconds to wait for the lock: longer than any process holds it just to check whether it is free."""


class _Formatter(logging.Formatter):
    """A log formatter that masks the passwords of tracking URIs."""

    def format(self, record: logging.LogRecord) -> str:
        return without_password(super().format(record))


def main(path: str) -> int:
    """Serve the folder and return the exit status; return 0 at once when another shipper serves it."""
    _configure()
    folder = DestinationFolder(Path(path))
    try:
        folder.public_uri()
        # Check again after releasing the lock: a process that saw it held has started no shipper of its own.
        while (shipper := serve(folder)) and shipper.unserved():
            if not _stands_by(folder) if shipper.is_refused else shipper.error is not None:
                break
    except AutotraceError as error:
        sys.stderr.write(f"langchain-autotrace: {error}\n")
        return 1
    return 0


def serve(folder: DestinationFolder) -> Shipper | None:
    """Deliver until nothing is left or the store stays down; return None when another shipper holds the lock.

    Raises:
        AutotraceError: delivery cannot start. The folder's status contains the reason.
    """
    lock = folder.take_shipper_lock(_LOCK_SECONDS)
    if lock is None:
        return None
    try:
        linger, patience = _seconds("LINGER", LINGER_SECONDS), _seconds("PATIENCE", PATIENCE_SECONDS)
        shipper = Shipper(folder, open_sink(folder))
        shipper.serve(linger=linger, patience=patience)
    except AutotraceError as error:
        report_failure(folder, error)
        raise
    finally:
        lock.release()
    return shipper


def _stands_by(folder: DestinationFolder) -> bool:
    """Wait without the lock, for a shipper with other credentials; return whether a process still needs one."""
    ends_at = time.monotonic() + STAND_BY_SECONDS
    while any(map(folder.is_alive, folder.processes())):
        if time.monotonic() >= ends_at:
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _lower_priority() -> None:
    """Lower the priority of this process, so that the traced programs come first where processors are few."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    # Linux divides processor time among sessions first, and only within a session by niceness (sched(7), "The autogroup
    # feature"). The shipper that autolog() starts has a session of its own: with nice alone, it took half a processor.
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # the kernel has no autogroups, or they are off
            _AUTOGROUP.write_text(str(_NICENESS))


def _spare_pandas() -> None:
    """Make ``import pandas`` fail in MLflow: it takes a fifth of this process's start-up time and memory.

    MLflow uses pandas for data sets, which traces do not have, and works without it: mlflow-skinny does not install it.
    """
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type] # None makes the import fail


def _collect_seldom() -> None:
    """Have Python look less often for unreachable cycles.

    A batch is hundreds of thousands of objects with no cycle among them; looking through them was a third of its CPU.
    """
    gc.set_threshold(_OBJECTS_PER_COLLECTION)


def _configure() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    # MLflow would retry a server that is down for minutes; until then the shipper could not report it or be stopped.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # MLflow logs each database error with its stack trace; the shipper logs it in one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _seconds(name: str, default: float) -> float:
    variable = f"LANGCHAIN_AUTOTRACE_{name}"
    text = os.environ.get(variable)
    try:
        return float(text or default)
    except ValueError:
        msg = f"{variable}={text!r}: use a number of seconds."
        raise SettingsError(msg) from None


if __name__ == "__main__":
    _lower_priority()
    _spare_pandas()
    _collect_seldom()
    sys.exit(main(sys.argv[1]))
