"""Traces, stored ones and those of a test, as objects to read, to search, to assert on and to show in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, overload

from langchain_autotrace.errors import NotExactlyOne, TraceNotFound
from langchain_autotrace.view import snapshots, span_objects, traces
from langchain_autotrace.view.span_objects import Readable, Span

if TYPE_CHECKING:
    import pandas as pd

    from langchain_autotrace.view.export import Exported
    from langchain_autotrace.view.traces import Tokens, TraceRow, TraceTree

_FRAME: Final = (
    '<iframe sandbox="allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox" '
    'title="trace" width="100%" height="{height}" style="border:0" srcdoc="{page}"></iframe>'
)
_FRAME_HEIGHT: Final = 600


class TraceSource(Protocol):
    """Where the spans of a trace come from."""

    def tree(self) -> TraceTree:
        """Return the trace."""

    def exported(self, *, content: bool) -> Exported:
        """Return the trace without secrets, with its files; ``content=False`` as of :meth:`Trace.to_html`."""


class Trace(Readable):
    """A trace. The spans of a stored one are read from the store when they are first asked for.

    Attributes:
        trace_id: MLflow's id (``tr-…``).
        name: name of the trace.
        status: OK, ERROR, IN_PROGRESS or STATE_UNSPECIFIED.
        duration_ms: milliseconds; None while it is running.
        tokens: ``input_tokens``, ``output_tokens``, ``total_tokens``, ``cache_read_input_tokens`` as far as known; a
            call that is within another is counted once.
        cost: US dollars; None if no price is known.
        session: the session's id, or None.
        user: the user's id, or None.
        tags: the user's tags.
        metadata: the trace's metadata.
    """

    def __init__(self, source: TraceSource, row: TraceRow) -> None:
        """Wrap a trace.

        Args:
            source: where its spans come from.
            row: the facts of the trace.
        """
        self._source, self._row = source, row
        self.trace_id, self.name, self.status = row.trace_id, row.name, row.status
        self.duration_ms, self.cost, self.tokens = row.duration_ms, row.cost_usd, _counts(row.tokens)
        self.session, self.user, self.tags, self.metadata = row.session, row.user, row.tags, row.metadata

    @cached_property
    def _tree(self) -> TraceTree:
        return self._source.tree()

    @cached_property
    def root(self) -> Span:
        """The first span.

        Raises:
            TraceNotFound: the store has no span of the trace.
        """
        found = span_objects.root_of(self._tree)
        if found is None:
            msg = f"trace {self.trace_id} has no spans"
            raise TraceNotFound(msg)
        return found

    @property
    def spans(self) -> list[Span]:
        """All spans, each before its children."""
        return list(self.root.walk()) if self._tree.spans else []

    def tree(self, *, plumbing: bool = False, durations: bool = False) -> str:
        """Return the tree as text, a line for each span: name, type, a model's tokens, a tool's arguments, error.

        It is the same for every run that does the same: spans that ran side by side are ordered by name and input.

        Args:
            plumbing: True shows the steps too that LangChain and LangGraph made by themselves.
            durations: True gives the tree as ``langchain-autotrace show`` prints it: with duration, model and status.
        """
        if durations:
            from langchain_autotrace.view import text  # noqa: PLC0415 - rich is slow to import

            return "\n".join(text.plain_lines(self._tree if plumbing else traces.folded(self._tree)[0]))
        shown = snapshots.shown(self.root, plumbing=plumbing) if self._tree.spans else ()
        return "\n".join("  " * depth + snapshots.line(span) for depth, span in shown)

    def as_dict(self, *, plumbing: bool = False) -> dict[str, Any]:
        """Return the spans for a snapshot: without times, with placeholders for ids and what else differs by run.

        Args:
            plumbing: as for :meth:`tree`.
        """
        return snapshots.data(self.root, plumbing=plumbing)

    def to_dict(self) -> dict[str, Any]:
        """Return the trace and its spans as ``langchain-autotrace show --json`` prints them."""
        from langchain_autotrace.view import terminal  # noqa: PLC0415 - rich is slow to import

        return terminal.tree_json(self._tree)

    def to_html(self, *, content: bool = True) -> str:
        """Return the trace as ``langchain-autotrace export`` writes it: a page that needs no server and no network.

        Args:
            content: False leaves out inputs, outputs, error messages and files.
        """
        return _page([self], content=content)

    def _repr_html_(self) -> str:
        """Return the page in a frame that cannot reach the notebook around it."""
        return _FRAME.format(height=_FRAME_HEIGHT, page=html.escape(self.to_html()))

    def __repr__(self) -> str:
        return f"{self._headline()}\n{self.tree(durations=True)}"

    def _headline(self) -> str:
        return f"{self.trace_id} {self.name} {self.status}"


class TraceList(Readable, Sequence[Trace]):
    """Traces: stored ones, the newest first, or those of a test in the order in which they started."""

    def __init__(self, found: Iterable[Trace] = ()) -> None:
        self._found = list(found)

    def _all(self) -> list[Trace]:
        """Return the traces."""
        return self._found

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Trace: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trace]: ...
    def __getitem__(self, index: int | slice) -> Trace | list[Trace]:
        return self._all()[index]

    @property
    def one(self) -> Trace:
        """The only trace.

        Raises:
            NotExactlyOne: there is none, or more than one; the message shows their trees.
        """
        found = self._all()
        if len(found) == 1:
            return found[0]
        shown = f":\n{self.tree()}" if found else self._why_none()
        msg = f"{len(found)} traces{shown}"
        raise NotExactlyOne(msg)

    def _why_none(self) -> str:
        return "."

    @property
    def spans(self) -> list[Span]:
        """All spans of all traces."""
        return [span for trace in self._all() for span in trace.spans]

    @property
    def tokens(self) -> dict[str, int]:
        """Sum of the traces' token counts."""
        found: dict[str, int] = {}
        for trace in self._all():
            for key, count in trace.tokens.items():
                found[key] = found.get(key, 0) + count
        return found

    @property
    def cost(self) -> float | None:
        """Sum of the traces' costs in US dollars; None if no price is known."""
        costs = [trace.cost for trace in self._all() if trace.cost is not None]
        return sum(costs) if costs else None

    def tree(self, *, plumbing: bool = False) -> str:
        """Return the trees of all traces, with a blank line between them."""
        return "\n\n".join(trace.tree(plumbing=plumbing) for trace in self._all())

    def as_dict(self, *, plumbing: bool = False) -> dict[str, Any]:
        """Return all traces for a snapshot, as :meth:`Trace.as_dict` does one."""
        return {"traces": [trace.as_dict(plumbing=plumbing) for trace in self._all()]}

    def to_html(self, *, content: bool = True) -> str:
        """Return one page with all traces, as :meth:`Trace.to_html` does one."""
        return _page(self._all(), content=content)

    def to_pandas(self) -> pd.DataFrame:
        """Return the traces as a DataFrame, a row each, indexed by ``trace_id``; needs pandas.

        Columns: name, status, start, duration_ms, input_tokens, output_tokens, total_tokens, cost, session, user, tags.
        """
        import pandas as pd  # noqa: PLC0415 - not a dependency

        frame = pd.DataFrame([_record(trace) for trace in self], columns=_COLUMNS)
        frame["start"] = pd.to_datetime(frame["start"], unit="ms", utc=True)
        return frame.set_index("trace_id")

    def __repr__(self) -> str:
        return "\n".join(trace._headline() for trace in self) or "no traces"  # noqa: SLF001 - of the same module


def _page(found: Sequence[Trace], *, content: bool) -> str:
    from langchain_autotrace.view import export  # noqa: PLC0415 - rich is slow to import

    return export.page([one._source.exported(content=content) for one in found])  # noqa: SLF001 - of the same module


_COLUMNS: Final = (
    *("trace_id", "name", "status", "start", "duration_ms", "input_tokens", "output_tokens", "total_tokens"),
    *("cost", "session", "user", "tags"),
)


def _counts(tokens: Tokens) -> dict[str, int]:
    named = {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "total_tokens": tokens.total,
        "cache_read_input_tokens": tokens.cached,
    }
    return {name: count for name, count in named.items() if count is not None}


def _record(trace: Trace) -> dict[str, Any]:
    own = {name: getattr(trace, name) for name in _COLUMNS if hasattr(trace, name)}
    return {**own, **trace.tokens, "start": trace._row.start_ms}  # noqa: SLF001 - of the same module
