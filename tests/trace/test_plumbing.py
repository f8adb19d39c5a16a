"""What is plumbing, from single records: whole programs are in ``tests/test_noise.py``."""

from __future__ import annotations

from typing import Any, Final

import pytest

from langchain_autotrace.records import Record
from langchain_autotrace.semconv import Attr
from langchain_autotrace.trace.spans import Trace, trace_of
from tests.trace.support import CONTEXT, end, error, event, failed, joined, joiner, start

HIDDEN: Final = ["langsmith:hidden"]


def marked(trace: Trace) -> list[str]:
    """The names of the spans that are plumbing."""
    return [span.name for span in trace.spans if span.attributes.get(Attr.PLUMBING)]


def below(*records: Record) -> Trace:
    """A trace whose root is above these records."""
    return trace_of(joined(start(1, 1), *records, end(1, 1)))


NAMES: Final = (
    *("RunnableParallel<a,b>", "RunnableAssign<a>", "RunnablePick<a>", "RunnablePassthrough", "RunnableCallable"),
    *("ChannelWrite<a,messages>", "_write", "__start__"),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_langchain(name: str) -> None:
    """A run that is named after a class of which a person wrote nothing is plumbing."""
    assert marked(below(start(1, 2, 1, name=name), end(1, 2))) == [name]


SPECIAL: Final[dict[str, tuple[Record, ...]]] = {
    "failed": (start(1, 2, 1, name="RunnableLambda", tags=HIDDEN), failed(1, 2, error("ValueError"))),
    "cancelled or interrupted": (
        start(1, 2, 1, tags=HIDDEN),
        failed(1, 2, {"classes": ["langgraph.errors.GraphBubbleUp"], "message": ""}),
    ),
    "with an event": (start(1, 2, 1, tags=HIDDEN), event(1, 2), end(1, 2)),
    "changed by the program": (start(1, 2, 1, tags=HIDDEN), end(1, 2, changes={"attributes": {"mine": 1}})),
    "a tool": (start(1, 2, 1, kind="tool", tags=HIDDEN), end(1, 2)),
    "of MLflow's API": (start(1, 2, 1, kind="span", name="RunnablePassthrough"), end(1, 2)),
    "below another process": (start(1, 2, 1, tags=HIDDEN, context=CONTEXT), end(1, 2)),
    "a node named so": (
        start(1, 2, 1, name="RunnableCallable", metadata={"langgraph_node": "RunnableCallable"}),
        end(1, 2),
    ),
    "a lambda as a step of a chain": (start(1, 2, 1, name="RunnableLambda", tags=["seq:step:2"]), end(1, 2)),
    "a chain that a function calls": (
        start(1, 2, 1, name="RunnableSequence"),
        *(start(1, 3, 2, tags=["seq:step:1"]), end(1, 3), start(1, 4, 2, tags=["seq:step:2"]), end(1, 4)),
        end(1, 2),
    ),
    "middleware that changed something": (
        start(1, 2, 1, name="M.before_model", metadata={"langgraph_node": "M.before_model"}),
        end(1, 2, outputs=[{"messages": []}]),
    ),
    "a function that returns other than its node": (
        start(1, 2, 1, name="agent", tags=["graph:step:1"], metadata={"langgraph_node": "agent"}),
        start(1, 3, 2, name="call_model", tags=["seq:step:1"], metadata={"langgraph_node": "agent"}),
        *(start(1, 4, 3, kind="chat_model"), end(1, 4), end(1, 3, outputs=[2]), end(1, 2, outputs=[1])),
    ),
}


@pytest.mark.parametrize("how", SPECIAL)
def test_what_stays_visible(how: str) -> None:
    """A span that something happened in, or that a person wrote, is no plumbing."""
    assert marked(below(*SPECIAL[how])) == []


def test_a_root() -> None:
    """The first span of a trace is no plumbing, whatever it is."""
    assert marked(trace_of(joined(start(1, 1, name="RunnableParallel<a>", tags=HIDDEN), end(1, 1)))) == []


def test_late_spans() -> None:
    """Spans that come after their trace are judged by themselves: what is around them is not known any more."""
    node: dict[str, Any] = {"metadata": {"langgraph_node": "n"}}
    by = joiner(
        start(1, 1),
        start(1, 2, 1, name="n", tags=["graph:step:1"], **node),
        start(1, 3, 2, name="route", tags=["seq:step:3"], **node),
        start(1, 4, 2, name="RunnablePassthrough", tags=["seq:step:3"], **node),
        end(1, 1),
    )
    (first,) = by.take(0.0, everything=True)
    for span in (4, 3, 2):
        by.add(end(1, span), 0.0)
    (late,) = by.take(0.0, everything=True)

    assert [span.status for span in trace_of(first).spans] == ["OK", None, None, None]
    assert marked(trace_of(first)) == []
    assert marked(trace_of(late)) == ["RunnablePassthrough"]
