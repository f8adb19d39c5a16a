"""Every LangChain and LangGraph run of a process as a nested trace in MLflow, with one call: ``autolog()``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import AutotraceError

if TYPE_CHECKING:
    from langchain_autotrace.capture.scope import context, suppress
    from langchain_autotrace.control import AutotraceHandler, autolog, disable, flush, last_trace_id
    from langchain_autotrace.flushing import FlushResult
    from langchain_autotrace.ids import trace_id
    from langchain_autotrace.loading import load_model
    from langchain_autotrace.settings import RedactContext
    from langchain_autotrace.version import __version__
    from langchain_autotrace.view.stored_traces import get_trace, search_traces

__all__ = [
    "AutotraceError",
    "AutotraceHandler",
    "FlushResult",
    "RedactContext",
    "__version__",
    "autolog",
    "context",
    "disable",
    "flush",
    "get_trace",
    "last_trace_id",
    "load_model",
    "search_traces",
    "suppress",
    "trace_id",
]

_MODULES: Final = {
    **dict.fromkeys(__all__, "langchain_autotrace.control"),
    **dict.fromkeys(("context", "suppress"), "langchain_autotrace.capture.scope"),
    "FlushResult": "langchain_autotrace.flushing",
    "RedactContext": "langchain_autotrace.settings",
    **dict.fromkeys(("get_trace", "search_traces"), "langchain_autotrace.view.stored_traces"),
    "__version__": "langchain_autotrace.version",
    "load_model": "langchain_autotrace.loading",
    "trace_id": "langchain_autotrace.ids",
}


def __getattr__(name: str) -> object:
    """Import what captures when it is asked for: the shipper and the command line do without LangChain."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
