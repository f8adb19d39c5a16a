"""What lies around and within LangChain's runs besides them: spans of another API that are to be in the same trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.capture.runs import Run
    from langchain_autotrace.span import ModelForm


class Journal(Protocol):
    """What keeps lines: ``langchain_autotrace.journal.writer.Journal``."""

    @property
    def put(self) -> Callable[[bytes], object]:
        """Keeps a line, or raises ``ValueError``; then it is to be written."""

    def write(self, line: bytes) -> bool:
        """Keep a line; whether it was kept."""


class Place(NamedTuple):
    """Where a run stands, when not only LangChain's own ids say it."""

    journal: Journal | None = None
    """Where the trace is written; None: where the recorder writes."""
    trace_id: str | None = None
    """The trace it joins; None for one of its own."""
    span_id: str | None = None
    """The span it is below, of the trace it joins."""
    context: dict[str, Any] | None = None
    """The fields of a ``TraceContext``, for a trace of its own, or one whose root is in another process."""


LEFT_OUT: Final = Place(trace_id="")
"""The place of runs that are not traced."""


class Changes(NamedTuple):
    """What the program has made of an open run through the other API."""

    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]
    """Name, time in nanoseconds and attributes of each."""
    inputs: tuple[object] | None
    outputs: tuple[object] | None
    status: str | None
    """A value of ``Status``; None when it was not set."""
    message: str


UNCHANGED: Final = Changes({}, [], None, None, None, "")
"""Nothing was made of the run."""


class Bridge(Protocol):
    """The other API, as the recorder asks it: ``langchain_autotrace.bridge``."""

    def place(self, recorder: Recorder, parent: Run | None) -> Place | None:
        """Where a run that starts now stands; None: below its parent, as LangChain says."""

    def started(self, recorder: Recorder, run_id: object, run: Run, name: str, kind: str) -> None:
        """A run has started."""

    def changes(self, run: Run) -> Changes:
        """What was made of a run that ends now and that the other API has seen."""

    def ended(self, recorder: Recorder, run: Run, run_id: object) -> None:
        """A run has ended, and its end is written."""


class Bridged:
    """Holds the other API, for all recorders of the process.

    Attributes:
        api: None while there is none. In a slot: each run reads it, and a class's attribute takes ten times as long.
    """

    __slots__ = ("api",)

    def __init__(self) -> None:
        self.api: Bridge | None = None


bridged: Final = Bridged()


class Chains(Protocol):
    """What tells apart the chains that run, to log them as models: ``langchain_autotrace.models``."""

    def started(self, name: str, kind: str, attributes: dict[str, object], inputs: object, home: object) -> Any:  # noqa: ANN401 - its own
        """A root run starts; what its end is told with, None when it is of no chain."""

    def ended(self, call: Any, given: object, returned: object, *, is_ok: bool) -> ModelForm | None:  # noqa: ANN401 - its own
        """It ended; what is to be logged of its chain, if anything."""

    def after_fork(self) -> None:
        """In a forked child: the parent's runs are the parent's."""
