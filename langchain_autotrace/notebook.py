"""Shows the traces of a notebook's cell under it: ``autolog(display=True)``."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from langchain_autotrace.capture.scope import last_trace
from langchain_autotrace.errors import AutotraceError

_logger: Final = logging.getLogger("langchain_autotrace")

_SHOWN: Final = 5
"""How many traces of a cell are shown; a loop may have made thousands."""


class CellDisplay:
    """Shows the traces that finished while a cell ran, when it has run."""

    def __init__(self) -> None:
        self._shell: Any = None
        self._tracking_uri = ""

    def switch(self, *, on: bool, tracking_uri: str) -> None:
        """Switch it on or off. Outside IPython a warning says that it has no effect.

        Args:
            on: whether traces are shown.
            tracking_uri: the store to read them from.
        """
        self._stop()
        if on:
            self._start(tracking_uri)

    def _start(self, tracking_uri: str) -> None:
        ipython = sys.modules.get("IPython")  # a program that runs in it has imported it
        shell = None if ipython is None else ipython.get_ipython()
        if shell is None:
            _logger.warning("display=True has no effect here: it shows the traces of a notebook's cells")
            return
        self._shell, self._tracking_uri = shell, tracking_uri
        last_trace.ended = []
        shell.events.register("pre_run_cell", self._forget)
        shell.events.register("post_run_cell", self._show)

    def _stop(self) -> None:
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._forget)
            self._shell.events.unregister("post_run_cell", self._show)
        self._shell = last_trace.ended = None

    def _forget(self, *_: object) -> None:
        """Forget what finished since the last cell: it is not of the one that begins."""
        last_trace.ended = []

    def _show(self, *_: object) -> None:
        ids, last_trace.ended = last_trace.ended or [], []
        for trace_id in ids[:_SHOWN]:
            self._show_trace(trace_id)
        if len(ids) > _SHOWN:
            print(f"langchain-autotrace: {len(ids) - _SHOWN} more traces: langchain_autotrace.search_traces()")  # noqa: T201 - the cell's output

    def _show_trace(self, trace_id: str) -> None:
        from IPython.display import display  # noqa: PLC0415 - not a dependency

        from langchain_autotrace.view.stored_traces import get_trace  # noqa: PLC0415 - slow to import

        try:
            display(get_trace(trace_id, tracking_uri=self._tracking_uri))  # type: ignore[no-untyped-call]
        except AutotraceError as error:
            print(f"langchain-autotrace: the trace cannot be shown: {error}")  # noqa: T201 - as above


cell_display: Final = CellDisplay()
