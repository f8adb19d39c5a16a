"""Every LangChain and LangGraph run of a process as a nested trace in MLflow, with one call: ``autolog()``."""

from __future__ import annotations

from langchain_autotrace.autolog import (
    AutotraceHandler,
    FlushResult,
    autolog,
    disable,
    flush,
    last_trace_id,
)
from langchain_autotrace.capture.scope import context, suppress
from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.version import VERSION as __version__

__all__ = [
    "AutotraceError",
    "AutotraceHandler",
    "FlushResult",
    "__version__",
    "autolog",
    "context",
    "disable",
    "flush",
    "last_trace_id",
    "suppress",
]
