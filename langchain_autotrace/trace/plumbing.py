"""Finds plumbing: spans of runs that LangChain or LangGraph made by itself, and that say nothing of their own.

What a person wrote or named stays visible: named functions, graph nodes, chains that are called by themselves. Only
chains that returned, and that nothing happened in, can be plumbing; a root never is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace.semconv import Attr, Kind, SpanType, Status, metadata_of

if TYPE_CHECKING:
    from langchain_autotrace.trace.join import SpanRecords
    from langchain_autotrace.trace.spans import Span

_HIDDEN: Final = "langsmith:hidden"
"""Tag of the runs that LangGraph asks viewers to hide."""
_SEQUENCE: Final = "RunnableSequence"
_LAMBDA: Final = "RunnableLambda"
"""Name of a function without a name: a lambda, an ``itemgetter``."""
_PLUMBING: Final = frozenset(
    {
        *("RunnablePassthrough", "RunnableAssign", "RunnableParallel", "RunnablePick", "RunnableCallable"),
        *("__start__", "_write", "ChannelWrite", "ChannelRead"),
        *("insert_history", "check_sync_or_async"),  # RunnableWithMessageHistory
        *("_check_refusal", "_acheck_refusal"),  # with_structured_output of langchain-openai
    }
)
"""Names that runs have of which a person wrote nothing; what follows in angle brackets does not count."""
_PART: Final = ("map:key:", "condition:")
"""Beginnings of the tags of a dict's values, and of a branch's conditions."""
_TAKEN: Final = "branch:"
"""Beginning of the tag of what a branch has chosen: one of several."""
_STEP: Final = "seq:step:"
_NODE: Final = "graph:step:"
_HOOKS: Final = (".before_agent", ".before_model", ".after_model", ".after_agent")
"""Ends of the names of nodes that ``create_agent`` makes of middleware."""
_CALL_MODEL: Final = "call_model"
_PROMPT: Final = "Prompt"
"""Steps within the model's node of ``create_react_agent``."""
_FIRST_WRITE: Final = 2
"""The step at which a graph node writes its result, at the earliest: conditional edges come after it."""


class _Run(NamedTuple):
    """A span with what LangChain said of its run."""

    span: Span
    tags: Sequence[str]
    node: str | None
    """The graph node that the run is, or is in."""
    is_node: bool
    """Whether it is a graph node or a task, and not within one."""
    can_fold: bool
    """Whether it is a chain that returned without anything special."""

    @property
    def step(self) -> int:
        """Its number in the sequence that it is a step of; 0 for other runs."""
        digits = next((tag.removeprefix(_STEP) for tag in self.tags if tag.startswith(_STEP)), "")
        return int(digits) if digits.isdecimal() else 0


def mark_plumbing(spans: Sequence[Span], records: Sequence[SpanRecords], *, is_whole: bool) -> None:
    """Set the attribute ``Attr.PLUMBING`` on the spans that are plumbing.

    Args:
        spans: of one trace, parents before their children.
        records: of these spans.
        is_whole: whether all spans of the trace are there, so that a span's parent, children and siblings are known.
            Spans that come late are judged by themselves.
    """
    runs = {span.span_id: _run(span, one) for span, one in zip(spans, records, strict=True)}
    children: dict[str | None, list[_Run]] = defaultdict(list)
    for run in runs.values():
        children[run.span.parent_id].append(run)
    for run in reversed(runs.values()):  # children first
        parent = runs.get(run.span.parent_id or "")
        if run.can_fold and (_by_itself(run) or (is_whole and parent is not None and _in_place(run, parent, children))):
            run.span.attributes[Attr.PLUMBING] = True


def _run(span: Span, records: SpanRecords) -> _Run:
    start, end = records.start, records.end
    node = metadata_of(start.details).get("langgraph_node")
    is_plain = (
        start.kind != Kind.SPAN
        and span.type == SpanType.CHAIN
        and span.status == Status.OK
        and Attr.OUTCOME not in span.attributes
    )
    is_below = span.parent_id is not None and start.context is None
    is_quiet = not span.events and end is not None and not end.details.get("changes")
    tags = start.tags or ()
    # A conditional edge's function without a name has none, run asynchronously; so has a node that Send starts.
    is_node = node is not None and (start.name == node or any(tag.startswith(_NODE) for tag in tags))
    return _Run(span, tags, None if node is None else str(node), is_node, is_plain and is_below and is_quiet)


def _by_itself(run: _Run) -> bool:
    """Return whether a run is plumbing by what is known of itself."""
    if _HIDDEN in run.tags:
        return True
    if run.is_node:
        return False
    name = run.span.name.partition("<")[0]
    if name in _PLUMBING:
        return True
    if name == _LAMBDA:
        return _is_part(run)
    if name == _SEQUENCE and any(tag.startswith(_TAKEN) for tag in run.tags):
        return True
    # In a graph's node, chains that a function calls are tagged as steps too.
    return run.step > 0 and ((name == _SEQUENCE and run.node is None) or (name == _PROMPT and run.node is not None))


def _in_place(run: _Run, parent: _Run, children: Mapping[str | None, Sequence[_Run]]) -> bool:
    """Return whether a run is plumbing by where it stands."""
    name, below = run.span.name, children.get(run.span.span_id, ())
    if run.is_node:
        return name.endswith(_HOOKS) and not _visible(below) and run.span.outputs in ([None], [{}])
    if name == _SEQUENCE and (_is_inner(run, parent) or _is_wrapper(below)):
        return True
    if name == _LAMBDA and run.step and parent.span.name == _SEQUENCE and _is_part(parent):
        return True
    if name == _CALL_MODEL and parent.is_node:
        return run.span.outputs == parent.span.outputs
    return parent.is_node and _is_edge(run, children[parent.span.span_id])


def _is_part(run: _Run) -> bool:
    """Return whether a run is a value of a dict of runnables, or a condition of a branch."""
    return any(tag.startswith(_PART) for tag in run.tags)


def _is_inner(run: _Run, parent: _Run) -> bool:
    """Return whether a sequence is a step of another."""
    return run.step > 0 and not parent.is_node


def _is_wrapper(below: Sequence[_Run]) -> bool:
    """Return whether a sequence shows only one step. Its first step is there: else some were delivered before."""
    return any(run.step == 1 for run in below) and len(_visible(below)) == 1


def _visible(runs: Sequence[_Run]) -> list[_Run]:
    return [run for run in runs if Attr.PLUMBING not in run.span.attributes]


def _is_edge(run: _Run, siblings: Sequence[_Run]) -> bool:
    """Return whether a run in a graph node is the function of a conditional edge.

    Such functions are steps after the one that writes the node's result, which is no run: a number is missing.
    """
    if run.step <= _FIRST_WRITE:  # of what a node's function calls there may be thousands
        return False
    steps = {sibling.step for sibling in siblings}
    return any(number not in steps for number in range(_FIRST_WRITE, run.step))
