"""Formats a trace as Markdown, to be pasted into an issue or given to a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from langchain_autotrace.view import text
from langchain_autotrace.view.content import clean, readable
from langchain_autotrace.view.traces import folded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.view.traces import SpanNode, TraceRow, TraceTree

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>#|~$])")
_TICKS: Final = re.compile("`{3,}")


def document(tree: TraceTree) -> str:
    """Return a trace as a Markdown document: its facts, its tree, and the inputs and outputs of each span.

    Plumbing spans are left out, as in ``langchain-autotrace show``.
    """
    shown, left_out = folded(tree)
    lines = [f"# Trace {_inline(tree.row.name)}", "", *_facts(tree.row), ""]
    lines += ["## Spans", "", *_block("\n".join(text.plain_lines(shown))), ""]
    if left_out:
        lines += [f"Left out: {left_out:,} plumbing {'step' if left_out == 1 else 'steps'}.", ""]
    for number, span in enumerate(shown.spans, 1):
        lines += _span(number, span)
    return "\n".join(lines).rstrip() + "\n"


def _facts(row: TraceRow) -> Iterator[str]:
    facts = (
        ("id", row.trace_id),
        ("status", row.status),
        ("started", text.moment(row.start_ms, whole=True)),
        ("duration", text.duration(row.duration_ms)),
        ("tokens", text.all_tokens(row.tokens)),
        ("cost", text.money(row.cost_usd)),
        ("session", row.session),
        ("user", row.user),
        ("tags", ", ".join(f"{key}={value}" for key, value in sorted(row.tags.items()))),
    )
    return (f"- {name}: {_inline(fact)}" for name, fact in facts if fact and fact != "-")


def _span(number: int, span: SpanNode) -> Iterator[str]:
    """Yield a section with a span's error, inputs and outputs; nothing for a span that has none of them."""
    values = (("Error", span.error), ("Input", span.inputs), ("Output", span.outputs))
    if all(value is None for _, value in values):
        return
    yield f"## {number}. {_inline(span.name)} ({_inline(span.type)})"
    yield ""
    for name, value in values:
        if value is not None:
            yield from (f"{name}:", "", *_block(clean(readable(value))), "")


def _block(content: str) -> list[str]:
    """Return the lines of a code block, in a fence that nothing in its content can close."""
    fence = "`" * max((len(ticks) + 1 for ticks in _TICKS.findall(content)), default=3)
    return [f"{fence}text", content, fence]


def _inline(value: str) -> str:
    """Return a text for the middle of a line, in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", clean(" ".join(value.split())))
