"""Interfaces of what capture works with: the journal, the MLflow bridge, and the logging of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from langchain_autotrace.records import ModelForm, TraceContext

if TYPE_CHECKING:
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.capture.runs import Run


class Journal(Protocol):
    """Keeps lines: ``langchain_autotrace.journal.writer.Journal``."""

    @property
    def put(self) -> Callable[[bytes], object]:
        """Keeps a line, or raises ``ValueError`` where :meth:`write` has to be called."""

    def write(self, line: bytes) -> bool:
        """Keep a line; return whether it was kept."""


class ParentSpan(NamedTuple):
    """Where a new run belongs, when LangChain's own ids do not say all of it."""

    journal: Journal | None = None
    """Where the trace is written; None: where the recorder writes."""
    trace_id: str | None = None
    """The trace that the run joins; None for a trace of its own."""
    span_id: str | None = None
    """The span of that trace that the run is below."""
    context: TraceContext | None = None
    """For a trace of its own, or one whose root is in another process."""


NOT_SAMPLED: Final = ParentSpan(trace_id="")
"""Parent of runs that are not traced."""


class Changes(NamedTuple):
    """What the program has set on an open run through MLflow's API."""

    attributes: dict[str, Any]
    events: Sequence[tuple[str, int, dict[str, Any]]]
    """Name, time in nanoseconds and attributes of each."""
    inputs: list[Any] | None
    outputs: list[Any] | None
    """The value in a list; None when it was not set. The same for ``inputs``."""
    status: str | None
    """A value of ``Status``; None when it was not set."""
    message: str


UNCHANGED: Final = Changes({}, (), None, None, None, "")
"""Nothing was set on the run."""


class Bridge(Protocol):
    """MLflow's own tracing API, as the recorder asks it: ``langchain_autotrace.bridge``."""

    def parent_span(self, recorder: Recorder, parent: Run | None) -> ParentSpan | None:
        """Return where a run that starts now belongs; None: below its parent, as LangChain says."""

    def started(self, run: Run) -> None:
        """Take note of a run that has started."""

    def changes(self, run: Run) -> Changes:
        """Return what was set on a run that ends now and that MLflow's API has seen."""

    def ended(self, run: Run) -> None:
        """Take note of a run that has ended, and whose end is written."""


class BridgeHolder:
    """Holds the bridge, for all recorders of the process.

    Attributes:
        bridge: None while there is none.
    """

    __slots__ = ("bridge",)

    def __init__(self) -> None:
        self.bridge: Bridge | None = None


bridge_holder: Final = BridgeHolder()


class ModelLogger(Protocol):
    """Tells apart the chains that run, to log them as models: ``langchain_autotrace.models.observe``."""

    def started(self, name: str, kind: str, inputs: tuple[object] | None, target: object) -> Any:  # noqa: ANN401 - its own
        """Take note of a root run; return what its end is to be reported with, None when no chain was found.

        Args:
            name: name of its span.
            kind: a value of ``semconv.Kind``.
            inputs: in a tuple; None when they come with the end.
            target: where the trace goes: a model is logged once for each target.
        """

    def ended(
        self,
        call: Any,  # noqa: ANN401 - as above
        inputs: tuple[object] | None,
        outputs: object,
        *,
        is_ok: bool,
    ) -> ModelForm | None:
        """Return what is to be logged of the chain whose run has ended, if anything.

        Args:
            call: what :meth:`started` gave; its ``content.hash`` is the chain's hash.
            inputs: in a tuple, when they came with the end.
            outputs: of the run.
            is_ok: whether it returned, and was neither interrupted nor abandoned.
        """

    def after_fork(self) -> None:
        """In a forked child: forget the parent's runs."""
