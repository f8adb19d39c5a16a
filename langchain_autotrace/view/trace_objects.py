"""Stored traces as objects to read, search and show in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace import settings
from langchain_autotrace.errors import SettingsError, TraceNotFound
from langchain_autotrace.redaction import without_password
from langchain_autotrace.semconv import Attr
from langchain_autotrace.view import deliver, traces

if TYPE_CHECKING:
    import pandas as pd

    from langchain_autotrace.view.traces import SpanNode, Tokens, TraceRow, TraceTree

_FRESHEN_SECONDS: Final = 10.0
_FRAME: Final = (
    '<iframe sandbox="allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox" '
    'title="trace" width="100%" height="{height}" style="border:0" srcdoc="{page}"></iframe>'
)
_FRAME_HEIGHT: Final = 600
_SESSION: Final = "metadata.`mlflow.trace.session`"
_USER: Final = "metadata.`mlflow.trace.user`"


@dataclass(eq=False, repr=False)
class Span:
    """A span with the spans below it."""

    name: str
    type: str
    status: str
    """OK, ERROR, or UNSET while it has not ended."""
    outcome: str | None
    """interrupted, abandoned, cancelled or lost; None for a span that returned or raised."""
    error: str | None
    """``Type: message`` of the error; None without one."""
    inputs: Any
    outputs: Any
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    start_ns: int
    """Nanoseconds since the Unix epoch."""
    end_ns: int | None
    """None while it has not ended."""
    span_id: str
    tokens: dict[str, int]
    """``input_tokens``, ``output_tokens``, ``total_tokens`` and what else was counted; empty if nothing was."""
    children: list[Span] = field(default_factory=list)

    @property
    def model(self) -> str | None:
        """The model that answered."""
        return self.attributes.get(Attr.MODEL)

    @property
    def cost(self) -> float | None:
        """Cost of a model's call in US dollars; None if its price is not known."""
        cost = self.attributes.get(Attr.COST)
        return cost.get("total_cost") if isinstance(cost, Mapping) else None

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from start to end; None while it has not ended."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e6

    @property
    def is_plumbing(self) -> bool:
        """Whether LangChain or LangGraph made it by itself and it says nothing of its own."""
        return bool(self.attributes.get(Attr.PLUMBING))

    def walk(self) -> Iterator[Span]:
        """Yield this span and all below it, each before its children."""
        waiting = [self]
        while waiting:
            span = waiting.pop()
            yield span
            waiting += reversed(span.children)

    def __repr__(self) -> str:
        return f"{self.name} [{self.type}]"


class Trace:
    """A stored trace. Its spans are read from the store when they are first asked for.

    Attributes:
        trace_id: MLflow's id.
        name: name of the trace.
        status: OK, ERROR, IN_PROGRESS or STATE_UNSPECIFIED.
        duration_ms: milliseconds; None while it is running.
        tokens: ``input_tokens``, ``output_tokens``, ``total_tokens``, ``cache_read_input_tokens`` as far as known.
        cost: US dollars; None if no price is known.
        session: the session's id, or None.
        user: the user's id, or None.
        tags: the user's tags.
        metadata: the trace's metadata.
    """

    def __init__(self, uri: str, row: TraceRow, tree: TraceTree | None = None) -> None:
        """Wrap a trace of a store.

        Args:
            uri: the store's tracking URI.
            row: the facts of the trace.
            tree: its spans, if they are read already.
        """
        self._uri, self._row = uri, row
        if tree is not None:
            self._tree = tree
        self.trace_id, self.name, self.status = row.trace_id, row.name, row.status
        self.duration_ms, self.cost, self.tokens = row.duration_ms, row.cost_usd, _counts(row.tokens)
        self.session, self.user, self.tags, self.metadata = row.session, row.user, row.tags, row.metadata

    @cached_property
    def _tree(self) -> TraceTree:
        return traces.tree(self._uri, self.trace_id)

    @cached_property
    def spans(self) -> list[Span]:
        """All spans, each before its children, siblings by start."""
        made = {node.span_id: _span(node) for node in self._tree.spans}
        for node in self._tree.spans:
            if node.depth and node.parent_id in made:
                made[node.parent_id].children.append(made[node.span_id])
        return list(made.values())

    def tree(self, *, plumbing: bool = False) -> str:
        """Return the tree as text, one or more lines a span: duration, name, type, status, model, tokens, error.

        Args:
            plumbing: True shows the steps too that LangChain and LangGraph made by themselves.
        """
        from langchain_autotrace.view import text  # noqa: PLC0415 - rich is slow to import

        shown = self._tree if plumbing else traces.folded(self._tree)[0]
        return "\n".join(text.plain_lines(shown))

    def find_all(self, *, name: str | None = None, type: str | None = None, status: str | None = None) -> list[Span]:  # noqa: A002 - what a span calls it
        """Return the spans with this name, type and status; what is not given is not looked at.

        Args:
            name: name of the span.
            type: type of the span, such as ``TOOL``.
            status: OK, ERROR or UNSET.
        """
        wanted = ((name, "name"), (type, "type"), (status, "status"))
        return [one for one in self.spans if all(value in (None, getattr(one, key)) for value, key in wanted)]

    def find(self, *, name: str | None = None, type: str | None = None, status: str | None = None) -> Span:  # noqa: A002 - as above
        """Return the only span with this name, type and status; the arguments are those of :meth:`find_all`.

        Raises:
            LookupError: there is none, or more than one; the message shows the tree.
        """
        found = self.find_all(name=name, type=type, status=status)
        if len(found) == 1:
            return found[0]
        asked = {"name": name, "type": type, "status": status}
        given = ", ".join(f"{key}={value!r}" for key, value in asked.items() if value is not None)
        msg = f"{len(found)} spans with {given or 'any name'} in:\n{self.tree(plumbing=True)}"
        raise LookupError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the trace and its spans as ``langchain-autotrace show --json`` prints them."""
        from langchain_autotrace.view import terminal  # noqa: PLC0415 - rich is slow to import

        return terminal.tree_json(self._tree)

    def to_html(self, *, content: bool = True) -> str:
        """Return the trace as ``langchain-autotrace export`` writes it: a page that needs no server and no network.

        Args:
            content: False leaves out inputs, outputs, error messages and files.
        """
        from langchain_autotrace.view import export  # noqa: PLC0415 - rich is slow to import

        return export.page(export.read(self._uri, [self.trace_id], content=content))

    def _repr_html_(self) -> str:
        """Return the page in a frame that cannot reach the notebook around it."""
        return _FRAME.format(height=_FRAME_HEIGHT, page=html.escape(self.to_html()))

    def __repr__(self) -> str:
        return f"{self.trace_id} {self.name} {self.status}\n{self.tree()}"


class TraceList(list[Trace]):
    """Traces, the newest first."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the traces as a DataFrame, a row each, indexed by ``trace_id``; needs pandas.

        Columns: name, status, start, duration_ms, input_tokens, output_tokens, total_tokens, cost, session, user, tags.
        """
        import pandas as pd  # noqa: PLC0415 - not a dependency

        frame = pd.DataFrame([_record(trace) for trace in self], columns=_COLUMNS)
        frame["start"] = pd.to_datetime(frame["start"], unit="ms", utc=True)
        return frame.set_index("trace_id")

    def __repr__(self) -> str:
        return "\n".join(f"{trace.trace_id} {trace.name} {trace.status}" for trace in self) or "no traces"


_COLUMNS: Final = (
    *("trace_id", "name", "status", "start", "duration_ms", "input_tokens", "output_tokens", "total_tokens"),
    *("cost", "session", "user", "tags"),
)


def get_trace(trace_id: str = "last", *, tracking_uri: str | None = None, experiment: str | None = None) -> Trace:
    """Return a stored trace; what is still in the journal is delivered first.

    Args:
        trace_id: MLflow's id, the first or last digits of one (with or without ``tr-``), or ``last``, the newest.
        tracking_uri: MLflow's tracking URI; by default that of ``autolog()`` without arguments.
        experiment: name of the experiment to look in; all by default.

    Raises:
        TraceNotFound: there is no such trace, or more than one.
        SinkUnavailable: the store cannot be read.
    """
    uri = settings.resolve(tracking_uri=tracking_uri).tracking_uri
    if not _is_readable(uri):
        msg = f"no traces yet in {without_password(uri)}: call langchain_autotrace.autolog() and run something."
        raise TraceNotFound(msg)
    found = traces.tree(uri, trace_id, experiment=experiment)
    return Trace(uri, found.row, found)


def search_traces(  # noqa: PLR0913 - each is a filter
    *,
    name: str | None = None,
    status: str | None = None,
    session: str | None = None,
    user: str | None = None,
    tags: Mapping[str, str] | None = None,
    filter_string: str | None = None,
    experiment: str | None = None,
    limit: int = 100,
    tracking_uri: str | None = None,
) -> TraceList:
    """Return stored traces that meet all conditions, the newest first; what is still in the journal is delivered first.

    Args:
        name: name of the trace.
        status: OK, ERROR or IN_PROGRESS.
        session: the session's id.
        user: the user's id.
        tags: tags that the trace has, with their values.
        filter_string: further conditions in the language of ``mlflow.search_traces()``.
        experiment: name of the experiment to look in; all by default.
        limit: how many at most.
        tracking_uri: MLflow's tracking URI; by default that of ``autolog()`` without arguments.

    Raises:
        SettingsError: a value holds both kinds of quotation marks, which MLflow cannot search for.
        SinkUnavailable: the store cannot be read, has no such experiment, or does not understand ``filter_string``.
    """
    wanted = {"trace.name": name, "trace.status": status, _SESSION: session, _USER: user}
    wanted |= {f"tag.`{key}`": value for key, value in (tags or {}).items()}
    conditions = [f"{field} = {_quoted(value)}" for field, value in wanted.items() if value is not None]
    conditions += [filter_string] if filter_string else []
    uri = settings.resolve(tracking_uri=tracking_uri).tracking_uri
    if not _is_readable(uri):
        return TraceList()
    rows = traces.newest(uri, experiment=experiment, limit=limit, condition=" AND ".join(conditions) or None)
    return TraceList(Trace(uri, row) for row in rows)


def _is_readable(uri: str) -> bool:
    """Deliver pending traces so that they are found; return whether there is a store to read."""
    exists, _ = deliver.freshened(uri, timeout=_FRESHEN_SECONDS)
    return exists


def _quoted(value: str) -> str:
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    msg = f"MLflow cannot search for a value with both kinds of quotation marks: {value!r}"
    raise SettingsError(msg)


def _span(node: SpanNode) -> Span:
    return Span(
        name=node.name,
        type=node.type,
        status=node.status,
        outcome=node.outcome,
        error=node.error,
        inputs=node.inputs,
        outputs=node.outputs,
        attributes=node.attributes,
        events=node.events,
        start_ns=node.start_ns,
        end_ns=None if node.duration_ns is None else node.start_ns + node.duration_ns,
        span_id=node.span_id,
        tokens=dict(node.attributes.get(Attr.TOKEN_USAGE) or {}),
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
