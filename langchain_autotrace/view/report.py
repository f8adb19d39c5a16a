"""Formats the state of deliveries, the results of checks, and the demo's output for a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from langchain_autotrace.view.content import clean, shortened
from langchain_autotrace.view.deliver import Delivery, Offered, traces
from langchain_autotrace.view.text import duration, moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_autotrace.view.backlog import Backlog, Rejected
    from langchain_autotrace.view.doctor import Check

_STYLES: Final = {"ok": "green", "warning": "yellow", "problem": "bold red"}
_DIM: Final = "dim"


def status(one: Backlog) -> Group:
    """Return the state of deliveries to one destination."""
    waiting = one.waiting
    facts: list[tuple[str, RenderableType]] = [
        ("shipper", "running" if one.has_shipper else "not running"),
        ("processes", f"{one.alive} alive"),
        ("delivered", traces(one.delivered) + (f", {one.in_bulk:,} of them in bulk" if one.in_bulk else "")),
        ("pending", _waiting(one)),
        ("open", traces(waiting.open)),
        ("rejected", _rejected(one)),
    ]
    if one.torn:
        facts.append(("torn", Text(f"{_records(one.torn)} cut off by a crash", _STYLES["warning"])))
    if one.orphans:
        facts.append(("orphans", Text(f"{_records(one.orphans)} of spans whose start is missing", _STYLES["warning"])))
    facts += [("models", Text(f"{waiting.models} not logged yet"))] if waiting.models else []
    facts += [("unreadable", Text(f"{name}: {why}", _STYLES["problem"])) for name, why in waiting.unreadable.items()]
    if one.error:
        facts.append(("error", Text(clean(one.error), _STYLES["problem"])))
    if one.error and one.failing_since:
        facts.append(("", f"since {moment(one.failing_since * 1000)}"))
    if one.writing_since:
        facts.append(("waiting", Text(_waiting_for(one), _STYLES["warning"])))
    elif one.error and one.lock_holder:
        facts.append(("", f"{one.lock_holder} has locked the database"))
    facts += [("model", Text(clean(note), _STYLES["warning"])) for note in one.notes]
    facts.append(("journal", Text(str(one.folder), _DIM)))
    return Group(Text(one.destination, "bold"), _facts(facts))


def _waiting_for(one: Backlog) -> str:
    """Return what the shipper is waiting for, and since when."""
    what = f"the database, which {one.lock_holder} has locked" if one.lock_holder else "the store's answer"
    begun = one.writing_since or 0.0
    return f"for {what}, since {moment(begun * 1000)} ({duration(max(time.time() - begun, 0.0) * 1000)} ago)"


def _waiting(one: Backlog) -> Text:
    text = traces(one.waiting.traces)
    if one.waiting.oldest_ns is None:
        return Text(text)
    ago = duration(max(time.time() - one.waiting.oldest_ns / 1e9, 0.0) * 1000)
    return Text(f"{text} in the journal, oldest {ago} ago", _STYLES["ok" if one.has_shipper else "warning"])


def _records(number: int) -> str:
    return f"{number:,} record{'s' if number != 1 else ''}"


def _rejected(one: Backlog) -> RenderableType:
    if not one.rejected:
        return traces(0)
    more = one.rejected - len(one.newest_rejected)
    lines = [rejection(rejected) for rejected in one.newest_rejected]
    hint = Text("retry: langchain-autotrace ship --rejected", _DIM)
    rest = [Text(f"and {more} more", _DIM)] if more else []
    return Group(Text(traces(one.rejected), _STYLES["problem"]), *lines, *rest, hint)


def rejection(one: Rejected) -> Text:
    """Return a rejected trace and the reason, in a few lines."""
    when = f" ({moment(one.time * 1000)})" if one.time else ""
    return Text(f"{one.trace_id}{when}: {shortened(clean(one.reason), 3)}")


def delivery(one: Delivery) -> Text:
    """Return the result of delivering a destination's journals."""
    text = Text(f"{one.destination}: {traces(one.delivered)} delivered")
    if one.rejected:
        text.append(f", {traces(one.rejected)} rejected (see langchain-autotrace status)", _STYLES["problem"])
    if one.open:
        text.append(f", {one.open} still open")
    if one.left:
        text.append(
            f", {traces(one.left)} not delivered: {clean(one.error or '').removeprefix(f'{one.destination}: ')}",
            _STYLES["problem"],
        )
    for name, why in one.unreadable.items():
        text.append(f"\n  {name} was skipped: {why}", _STYLES["problem"])
    return text


def offered(one: Offered) -> Text:
    """Return the result of offering a destination's rejected traces again."""
    noun = "trace" if one.delivered == 1 else "traces"
    text = Text(f"{one.destination}: {one.delivered:,} previously rejected {noun} delivered")
    for refused in one.refused:
        text.append("\n  rejected again: ", _STYLES["problem"]).append(rejection(refused))
    if one.error:
        text.append(f"\n  not all were retried: {clean(one.error)}", _STYLES["problem"])
    return text


def installed(versions: Mapping[str, str | None]) -> Table:
    """Return the table of installed versions."""
    return _facts([(name, version or Text("not installed", _DIM)) for name, version in versions.items()])


def check(one: Check) -> Table:
    """Return the result of one check, with its fix below."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=len("problem"))
    table.add_column(overflow="fold")
    table.add_row(Text(one.level, _STYLES[one.level]), Text(f"{one.subject}: {clean(one.finding)}"))
    if one.fix:
        table.add_row("", Text.assemble(("fix: ", _DIM), one.fix))
    return table


def answer(name: str, text: str) -> Table:
    """Return a demo program's name and its answer, on one line."""
    return _facts([(name, Text(" ".join(clean(text).split())))])


def next_steps(option: str, uri: str) -> Group:
    """Return the suggestions shown after the demo.

    Args:
        option: added to the commands so that they find the demo's traces; may be empty.
        uri: the tracking URI, without its password.
    """
    steps = {
        f"langchain-autotrace show last --io{option}": "the trace with inputs and outputs",
        f"langchain-autotrace ui{option}": "all traces, in the browser",
        f"langchain-autotrace list{option}": "all traces",
        f"mlflow server --backend-store-uri {uri}": "MLflow's web UI (pip install mlflow)",
    }
    own = "from langchain_autotrace import autolog; autolog()"
    lines = [Text.assemble(f"  {command}\n      ", (what, _DIM)) for command, what in steps.items()]
    return Group(Text("\nNext:", "bold"), *lines, Text.assemble(f"  {own}\n      ", ("in your own program", _DIM)))


def _facts(facts: list[tuple[str, RenderableType]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style=_DIM)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(f"  {name}", fact)
    return table
