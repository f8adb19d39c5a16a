"""Test kit: recorded answers of models, and the traces of a test in memory.

Importing it costs nothing; what is used is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_autotrace.testing.memory import CapturedTraces, capture_traces
    from langchain_autotrace.testing.use import use_cassette
    from langchain_autotrace.view.span_objects import Span
    from langchain_autotrace.view.trace_objects import Trace

__all__ = ["CapturedTraces", "Span", "Trace", "capture_traces", "use_cassette"]

_MODULES: Final = {
    "CapturedTraces": "langchain_autotrace.testing.memory",
    "Span": "langchain_autotrace.view.span_objects",
    "Trace": "langchain_autotrace.view.trace_objects",
    "capture_traces": "langchain_autotrace.testing.memory",
    "use_cassette": "langchain_autotrace.testing.use",
}


def __getattr__(name: str) -> object:
    """Import the module that has a public name."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
