"""Spans as text and data that are the same for every run of a program: without times, ids, or the order of threads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.redaction import error_class
from langchain_autotrace.semconv import Attr, SpanType, Status

if TYPE_CHECKING:
    from langchain_autotrace.view.span_objects import Span

MODELS: Final = (SpanType.CHAT_MODEL, SpanType.LLM)
"""Types of spans that are calls of models."""
_SHOWN: Final = 60
"""Characters of arguments and error messages in a line of a tree."""
_VOLATILE: Final = frozenset(
    {
        *("id", "run_id", "thread_id", "checkpoint_id", "checkpoint_ns", "langgraph_checkpoint_ns"),
        *("created", "created_at", "system_fingerprint"),
        *("request_id", "langchain_request_id", "x-request-id"),
    }
)
"""Keys whose values differ from run to run."""
_VOLATILE_TEXT: Final = (
    (re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\btr-[0-9a-f]{32}\b"), "<trace id>"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "<address>"),
)
_STEP: Final = re.compile(r"graph:step:\d+|map:key:.*", re.DOTALL)
"""Tags of runs that LangGraph or a ``RunnableParallel`` starts side by side."""


def in_order(children: list[Span]) -> list[Span]:
    """Return spans in the order of their starts, but those that ran side by side in one that no thread changes."""
    steps = [_step(span) for span in children]
    if len(set(steps)) == len(steps):
        return children
    first = {step: at for at, step in reversed(list(enumerate(steps)))}
    places = [first[step] if step else at for at, step in enumerate(steps)]
    keyed = zip(places, steps, children, strict=True)
    return [one[2] for one in sorted(keyed, key=lambda one: (one[0], _rank(one[2]) if one[1] else ""))]


def _step(span: Span) -> str | None:
    """Return what names the step in which a span ran side by side with others; None for one that ran alone."""
    found = next((tag for tag in _tags(span) if _STEP.fullmatch(tag)), None)
    return "map" if found and found.startswith("map") else found


def _rank(span: Span) -> str:
    keys = sorted(tag for tag in _tags(span) if tag.startswith("map:key:"))
    return json.dumps([keys, span.name, _settled(span.inputs)], sort_keys=True, default=str)


def _tags(span: Span) -> list[str]:
    tags = span.attributes.get(Attr.TAGS)
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def shown(root: Span, *, plumbing: bool) -> Iterator[tuple[int, Span]]:
    """Yield depth and span of those that are shown; children of one that is not are shown in its place."""
    waiting = [(0, root)]
    while waiting:
        depth, span = waiting.pop()
        is_shown = plumbing or span is root or not span.is_plumbing
        if is_shown:
            yield depth, span
        waiting += [(depth + is_shown, child) for child in reversed(span.children)]


def line(span: Span) -> str:
    """Return a span's line in a tree: name, type, a model's tokens, a tool's arguments, and how it failed."""
    parts = [f"{span.name} [{span.type}]"]
    if span.type in MODELS and span.tokens:
        parts.append(f"{span.tokens.get('input_tokens', 0)}+{span.tokens.get('output_tokens', 0)} tokens")
    if span.type == SpanType.TOOL:
        parts.append(_short(json.dumps(arguments(span.inputs), ensure_ascii=False, default=str)))
    if span.status == Status.ERROR:
        parts.append(f"ERROR: {_short(_error(span))}")
    elif span.outcome or span.status != Status.OK:
        parts.append(span.outcome or span.status)
    return " ".join(parts)


def data(root: Span, *, plumbing: bool) -> dict[str, Any]:
    """Return a span and its descendants as JSON data; what differs between runs (ids, times) is replaced."""
    top: dict[str, Any] = {}
    path = [top]
    for depth, span in shown(root, plumbing=plumbing):
        del path[depth + 1 :]
        path.append(_plain(span))
        path[depth].setdefault("children", []).append(path[-1])
    found: dict[str, Any] = top["children"][0]
    return found


def arguments(inputs: object) -> object:
    """Return a tool's arguments; some runs of a tool get the whole call."""
    return inputs["args"] if isinstance(inputs, dict) and inputs.keys() >= {"args", "name"} else inputs


def _plain(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {"name": span.name, "type": span.type, "status": span.status}
    found |= {"outcome": span.outcome} if span.outcome else {}
    found |= {"error": _error(span)} if span.error else {}
    found |= {"model": span.model} if span.model else {}
    found |= {"tokens": span.tokens} if span.tokens else {}
    return {**found, "inputs": _settled(span.inputs), "outputs": _settled(span.outputs)}


def _error(span: Span) -> str:
    """Return the first line of a span's error, with its class but not the class's module."""
    lines = (span.error or "error").strip().splitlines() or [""]
    name = error_class(lines[0])
    settled: str = _settled(lines[0])
    return settled.removeprefix(name.rpartition(".")[0] + ".") if "." in name else settled


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _settled(value: Any) -> Any:  # noqa: ANN401 - JSON data
    if isinstance(value, dict):
        return {
            key: "<volatile>" if key in _VOLATILE and item not in (None, "") else _settled(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_settled(item) for item in value]
    if isinstance(value, str):
        for pattern, placeholder in _VOLATILE_TEXT:
            value = pattern.sub(placeholder, value)
    return value
