"""The part of the package that is C, where it was built with a compiler. All that it does is done in Python too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_autotrace.capture._line import MapWriter

PURE_VARIABLE: Final = "LANGCHAIN_AUTOTRACE_PURE_PYTHON"
"""The environment variable that leaves what is compiled out."""


def compiled_module() -> Any:  # noqa: ANN401 - the module `_line`, or None
    """The module; None where it was not built, or is not wanted."""
    if os.environ.get(PURE_VARIABLE):
        return None
    try:
        import langchain_autotrace.capture._line as compiled  # noqa: PLC0415 - it may be missing
    except ImportError:
        return None
    return compiled


def map_writer() -> type[MapWriter] | None:
    """The class that writes into a segment's map, into which the keeper of C needs no call; None as above."""
    compiled = compiled_module()
    return None if compiled is None else compiled.MapWriter
