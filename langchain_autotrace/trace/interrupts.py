"""Shows what an interrupted graph asks, and what a run that resumes it answers.

LangGraph raises what is asked out of the node, and returns it to the graph's caller; but it tells its callbacks of the
graph's state alone. Inputs that resume a graph are a ``Command`` with the answer, or None where ``interrupt_before`` or
``interrupt_after`` had stopped it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_autotrace.semconv import COMMAND, INTERRUPTS, Attr, Kind, Outcome, metadata_of
from langchain_autotrace.trace.owners import thread_of

if TYPE_CHECKING:
    from langchain_autotrace.records import SpanEnd, SpanStart
    from langchain_autotrace.trace.endings import Ending
    from langchain_autotrace.trace.join import SpanRecords
    from langchain_autotrace.trace.spans import Span


def answer_of(given: object) -> Any:  # noqa: ANN401 - any value
    """Return what was answered, by the inputs that resume a graph; None where nothing was, or it is not captured."""
    return given.get("resume") if isinstance(given, dict) and given.keys() <= COMMAND else None


def resume_shown(given: object) -> object:
    """Return the inputs that resume a graph, without what is empty of a ``Command``."""
    if not isinstance(given, dict) or given.keys() != COMMAND:
        return given
    return {key: value for key, value in given.items() if value is not None and value not in ([], ())}


def asks(start: SpanStart | None, end: SpanEnd) -> bool:
    """Return whether a run that has returned was interrupted, by what was written of its end."""
    if "stopped" in end.details:
        return True
    output = end.outputs[0] if end.outputs else None
    return start is not None and start.kind == Kind.CHAIN and isinstance(output, dict) and bool(_listed(output))


def with_interrupts(spans: Sequence[Span], records: Sequence[SpanRecords], ended: Mapping[str, Ending]) -> list[Span]:
    """Return the spans; those that were interrupted have what was asked in their outputs, under ``__interrupt__``."""
    if not any(ending.is_pause for ending in ended.values()):
        return list(spans)
    asked_below: dict[str | None, list[Any]] = defaultdict(list)
    steps: dict[str | None, list[tuple[int, str]]] = defaultdict(list)
    made: list[Span] = []
    for span, one in zip(reversed(spans), reversed(records), strict=True):  # children come before their parents
        steps[span.parent_id].append((_step(one.start), span.name))
        if span.span_id in ended and ended[span.span_id].is_pause:
            own = _own(one.end, steps[span.span_id]) or asked_below[span.span_id]
            asked_below[span.parent_id] = _without_repeats([*own, *asked_below[span.parent_id]])
            made.append(span._replace(outputs=_with_asked(span.outputs, own)))
        else:
            made.append(span)
    return made[::-1]


def set_thread(root: Span, spans: Sequence[Span], records: Sequence[SpanRecords]) -> str | None:
    """Set on the root what was answered, and the thread of an interrupted graph; return the thread that is resumed.

    Args:
        root: of the trace.
        spans: of the trace.
        records: of each of the spans.
    """
    is_interrupted = root.attributes.get(Attr.OUTCOME) == Outcome.INTERRUPTED
    resumes = [span.inputs for span, one in zip(spans, records, strict=True) if one.start.details.get("resumes")]
    thread = thread_of(records) if is_interrupted or resumes else None
    if is_interrupted and thread is not None:
        root.attributes[Attr.INTERRUPTED_THREAD] = thread
    answer = next((answer_of(inputs[0]) for inputs in resumes if inputs), None)
    if answer is not None:
        root.attributes[Attr.ANSWER] = answer
    # Without anything to go on with, a graph returns at once.
    return thread if resumes and len(spans) > 1 else None


def _own(end: SpanEnd | None, steps: Sequence[tuple[int, str]]) -> list[Any]:
    """Return what a span asks by its own end; ``steps`` are those of the spans below it, with their names."""
    if end is None:
        return []
    asked = end.details.get("interrupts")
    if asked:
        return asked if isinstance(asked, list) else [asked]  # the redact hook may have made anything of it
    stopped = end.details.get("stopped")
    if stopped is not None:
        return [{"value": {**stopped, "after": _done(stopped["after"], steps)} if "after" in stopped else stopped}]
    return _listed(end.outputs[0]) if end.outputs and isinstance(end.outputs[0], dict) else []


def _step(start: SpanStart) -> int:
    """Return in which step of its graph a node ran; -1 for what is no node."""
    step = metadata_of(start.details).get("langgraph_step")
    return step if isinstance(step, int) else -1


def _done(chosen: list[str], steps: Sequence[tuple[int, str]]) -> list[str]:
    """Return the nodes that ran last, of those after which the graph was to stop."""
    last = max((step for step, _ in steps), default=-1)
    names = [name for step, name in reversed(steps) if step == last and (chosen == ["*"] or name in chosen)]
    return [*dict.fromkeys(names)] or chosen


def _listed(output: Mapping[str, Any]) -> list[Any]:
    asked = output.get(INTERRUPTS)
    return asked if isinstance(asked, list) else []


def _with_asked(outputs: list[Any] | None, asked: list[Any]) -> list[Any] | None:
    """Return outputs with what was asked, as LangGraph returns it beside the state; others than a state stay as is."""
    state = outputs[0] if outputs and outputs[0] is not None else {}
    return [{**state, INTERRUPTS: asked}] if asked and isinstance(state, dict) else outputs


def _without_repeats(asked: Iterable[Any]) -> list[Any]:
    """Return what is asked, each once: a graph raises what its nodes raise."""
    found: list[Any] = []
    for one in asked:
        if one not in found:
            found.append(one)
    return found
