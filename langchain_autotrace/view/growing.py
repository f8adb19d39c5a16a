"""Follows one trace of the journal while it grows: ``show --follow``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.trace.spans import trace_of
from langchain_autotrace.view import journal_spans
from langchain_autotrace.view.running import Followers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.view.traces import TraceTree

_LOOK_SECONDS: Final = 0.1


def growth(uri: str, wanted: str, experiment: str | None = None) -> Iterator[TraceTree]:
    """Yield a running trace each time it has changed, until it has ended; nothing when no such trace runs.

    A trace whose program is killed ends when its process is gone.

    Args:
        uri: the tracking URI.
        wanted: the id, its first or last digits, or ``last`` for the trace that started last.
        experiment: only a trace of the experiment with this name.
    """
    followers = Followers(uri)
    followers.look()
    trace_id, version = _running(followers, wanted, experiment), 0
    while trace_id is not None and (found := followers.traces.get(trace_id)) is not None:
        if found.version != version:
            version = found.version
            yield journal_spans.tree(trace_of(found.joined))
        if found.ends_at is not None:
            return
        time.sleep(_LOOK_SECONDS)
        followers.look()


def _running(followers: Followers, wanted: str, experiment: str | None) -> str | None:
    """Return the digits of the running trace that is meant; None if there is none, or more than one."""
    digits = wanted.removeprefix(TRACE_ID_PREFIX)
    starts = {
        trace_id: min(span.start_ns for span in trace.spans)
        for trace_id, found in followers.traces.items()
        if found.ends_at is None and (trace := trace_of(found.joined)).spans
        if experiment is None or (trace.context is not None and trace.context["experiment"] == experiment)
    }
    if wanted == "last":
        return max(starts, key=lambda one: starts[one], default=None)
    found = [one for one in starts if one.startswith(digits)] or [one for one in starts if one.endswith(digits)]
    return found[0] if len(found) == 1 else None
