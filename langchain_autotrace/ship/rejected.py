"""Write traces that the store rejected, with the reason, to ``rejected/<trace id>.jsonl``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson

from langchain_autotrace.errors import TraceRejected
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder, replace
from langchain_autotrace.trace.spans import Trace, trace_of

if TYPE_CHECKING:
    from langchain_autotrace.trace.join import JoinedTrace


def formed(joined: JoinedTrace) -> Trace:
    """Return the trace that its records make.

    Raises:
        TraceRejected: they make none: they only look like records of this package.
    """
    try:
        return trace_of(joined)
    except Exception as error:
        msg = f"its records do not form a trace ({type(error).__name__}: {error})"
        raise TraceRejected(msg) from error


def write_rejected(folder: DestinationFolder, process: str, trace: Trace | JoinedTrace, error: TraceRejected) -> None:
    """Write the trace's records to its file, after a first line with the reason, keeping records already in the file.

    Late spans are rejected after the rest of their trace, and after a crash the same records may come again.
    """
    folder.rejected.mkdir(mode=0o700, exist_ok=True)
    path = folder.rejected / f"{trace.trace_id}.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)[1:] if path.exists() else []
    records = [*([] if trace.process is None else [trace.process]), *trace.records]
    lines = dict.fromkeys([*kept, *map(codec.encode, records)])
    head = orjson.dumps({"reason": str(error), "process": process, "time": time.time()})
    replace(path, b"".join([head, b"\n", *lines]))
