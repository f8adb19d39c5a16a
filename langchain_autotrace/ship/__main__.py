"""``python -m langchain_autotrace.ship FOLDER``: the shipper of one destination folder, as a process."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Final

from filelock import Timeout

from langchain_autotrace.destination import without_password
from langchain_autotrace.errors import AutotraceError, SettingsError
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.status import report_failure

LINGER_SECONDS: Final = 5.0
"""How long an idle shipper stays when all processes are gone (``LANGCHAIN_AUTOTRACE_LINGER``)."""
PATIENCE_SECONDS: Final = 300.0
"""How long it then tries a store that is down (``LANGCHAIN_AUTOTRACE_PATIENCE``). The journal stays."""

_NICENESS: Final = 10
_AUTOGROUP: Final = Path("/proc/self/autogroup")
_LOCK_SECONDS: Final = 1.0
"""Longer than anybody holds the lock just to see whether it is free."""


class _Formatter(logging.Formatter):
    """Keeps passwords of tracking URIs out of the log."""

    def format(self, record: logging.LogRecord) -> str:
        return without_password(super().format(record))


def main(path: str) -> int:
    """Serve the folder; returns the exit status. Ends at once, with 0, when another shipper serves it."""
    _configure()
    folder = DestinationFolder(Path(path))
    try:
        folder.public_uri()
        # A process may come between the last look and the release of the lock, and see it held.
        while (shipper := serve(folder)) and shipper.error is None and shipper.unserved():
            pass
    except AutotraceError as error:
        sys.stderr.write(f"langchain-autotrace: {error}\n")
        return 1
    return 0


def serve(folder: DestinationFolder) -> Shipper | None:
    """Deliver until nothing is left or the store stays down; None when another shipper holds the folder.

    Raises:
        AutotraceError: no delivery can begin; the folder's status says so too.
    """
    lock = folder.shipper_lock()
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
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


def _come_second() -> None:
    """Let the programs that are traced come first where processors are few: a process's own doing, not ``main``'s."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    # Linux divides processors among sessions first, and within one of them by niceness (sched(7), "The autogroup
    # feature"). The shipper that autolog() starts is a session of its own: nice alone, it took half of the processor.
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # there is no such feature, or it is off
            _AUTOGROUP.write_text(str(_NICENESS))


def _spare_pandas() -> None:
    """Have MLflow not import pandas where it is installed: a fifth of this process's start and of its memory.

    MLflow wants it for data sets, which traces have not, and does without it: mlflow-skinny does not bring it.
    """
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type] # how Python is told that there is none


def _configure() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    # MLflow would try a server that is down for minutes, and the shipper could neither say so nor be stopped.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    # It logs each database error with its stack trace; the shipper logs them in one line.
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
    _come_second()
    _spare_pandas()
    sys.exit(main(sys.argv[1]))
