"""``python -m langchain_autotrace.ship FOLDER``: the shipper of one destination folder, as a process."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Final

from filelock import Timeout

from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper

LINGER_SECONDS: Final = 5.0
"""How long an idle shipper stays when all processes are gone (``LANGCHAIN_AUTOTRACE_LINGER``)."""
PATIENCE_SECONDS: Final = 300.0
"""How long it then tries a store that is down (``LANGCHAIN_AUTOTRACE_PATIENCE``). The journal stays."""

_LOCK_SECONDS: Final = 1.0
"""Longer than anybody holds the lock just to see whether it is free."""


def main(path: str) -> int:
    """Serve the folder; returns the exit status. Ends at once, with 0, when another shipper serves it."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = DestinationFolder(Path(path))
    try:
        folder.public_uri()
        # A process may come between the last look and the release of the lock, and see it held.
        while (shipper := serve(folder)) and shipper.error is None and shipper.unserved():
            pass
    except AutotraceError as error:
        print(f"langchain-autotrace: {error}", file=sys.stderr)
        return 1
    return 0


def serve(folder: DestinationFolder) -> Shipper | None:
    """Deliver until nothing is left or the store stays down; None when another shipper holds the folder."""
    lock = folder.shipper_lock()
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout:
        return None
    try:
        shipper = Shipper(folder, open_sink(folder))
        shipper.serve(linger=_seconds("LINGER", LINGER_SECONDS), patience=_seconds("PATIENCE", PATIENCE_SECONDS))
        return shipper
    finally:
        lock.release()


def _seconds(name: str, default: float) -> float:
    return float(os.environ.get(f"LANGCHAIN_AUTOTRACE_{name}") or default)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
