"""Traces that the store refused, kept with the reason: ``rejected/<trace id>.jsonl``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson

from langchain_autotrace.journal import codec
from langchain_autotrace.journal.folder import DestinationFolder, replace

if TYPE_CHECKING:
    from langchain_autotrace.errors import TraceRejected
    from langchain_autotrace.ship.assemble import FinishedTrace


def set_aside(folder: DestinationFolder, process: str, trace: FinishedTrace, error: TraceRejected) -> None:
    """Write the trace's records down, after a first line that says why; beside those that are there already.

    Spans that come late are refused after the rest of their trace, and a crash may have the same ones come again.
    """
    folder.rejected.mkdir(mode=0o700, exist_ok=True)
    path = folder.rejected / f"{trace.trace_id}.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)[1:] if path.exists() else []
    records = [*([] if trace.process is None else [trace.process]), *trace.records()]
    lines = dict.fromkeys([*kept, *map(codec.encode, records)])
    head = orjson.dumps({"reason": str(error), "process": process, "time": time.time()})
    replace(path, b"".join([head, b"\n", *lines]))
