"""Spans as objects to read, to search and to assert on."""

from __future__ import annotations

import difflib
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_autotrace.errors import NotExactlyOne
from langchain_autotrace.semconv import Attr, SpanType, Status
from langchain_autotrace.view import snapshots

if TYPE_CHECKING:
    from langchain_autotrace.view.traces import TraceTree


@dataclass(eq=False, repr=False)
class Span:
    """A span with the spans below it."""

    name: str
    type: str
    """CHAIN, CHAT_MODEL, LLM, TOOL, RETRIEVER, AGENT, PARSER, or a type of MLflow's own API."""
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
    children: list[Span] = field(default_factory=list)
    """In the order in which they started; those that ran side by side in the order of their names and inputs."""

    @property
    def tokens(self) -> dict[str, int]:
        """``input_tokens``, ``output_tokens``, ``total_tokens`` and what else was counted; empty if nothing was."""
        return dict(self.attributes.get(Attr.TOKEN_USAGE) or {})

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
        return snapshots.line(self)


def root_of(tree: TraceTree) -> Span | None:
    """Return the first span of a trace with all others below it, orphans included; None for a trace without spans."""
    made: dict[str, Span] = {}
    top: Span | None = None
    for node in tree.spans:
        span = made[node.span_id] = Span(
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
        )
        above = made.get(node.parent_id or "", top) if node.depth else top
        if above is None:
            top = span
        else:
            above.children.append(span)
    for span in made.values():
        span.children = snapshots.in_order(span.children)
    return top


class Readable(ABC):
    """What can be asked of the spans of one trace, or of several."""

    @property
    @abstractmethod
    def spans(self) -> list[Span]:
        """All spans, each before its children."""

    @abstractmethod
    def tree(self, *, plumbing: bool = False) -> str:
        """Return the tree as text, a line for each span."""

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
            NotExactlyOne: there is none, or more than one; the message shows the tree.
        """
        found = self.find_all(name=name, type=type, status=status)
        if len(found) == 1:
            return found[0]
        asked = {"name": name, "type": type, "status": status}
        given = ", ".join(f"{key}={value!r}" for key, value in asked.items() if value is not None)
        msg = f"{len(found)} spans with {given or 'any name'} in:\n{self.tree(plumbing=True)}"
        raise NotExactlyOne(msg)

    @property
    def errors(self) -> list[Span]:
        """The spans that ended with an error, those above the one that raised it included."""
        return self.find_all(status=Status.ERROR)

    @property
    def model_calls(self) -> list[Span]:
        """The calls of models, in order."""
        return [span for span in self.spans if span.type in snapshots.MODELS]

    @property
    def tools_called(self) -> list[tuple[str, Any]]:
        """Name and arguments of each tool that was called, in order."""
        return [(span.name, snapshots.arguments(span.inputs)) for span in self.find_all(type=SpanType.TOOL)]

    def assert_tree(self, expected: str, *, plumbing: bool = False) -> None:
        """Check :meth:`tree` against an expected text; its common indent and blank lines around it do not count.

        Args:
            expected: the text.
            plumbing: as for :meth:`tree`.

        Raises:
            AssertionError: they differ; the message shows a diff, and the tree to copy.
        """
        __tracebackhide__ = True
        wanted, found = textwrap.dedent(expected).strip("\n").rstrip(), self.tree(plumbing=plumbing)
        if wanted == found:
            return
        diff = difflib.unified_diff(wanted.splitlines(), found.splitlines(), "expected", "traced", lineterm="", n=100)
        msg = "the tree differs:\n" + "\n".join(diff) + f"\n\nThe tree as it is:\n{found}"
        raise AssertionError(msg)
