"""Tells the pages what changes: traces of the journal as they grow, and the store as it is written to."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace import destination
from langchain_autotrace.trace.spans import trace_of
from langchain_autotrace.view import journal_spans, private
from langchain_autotrace.view.catalog import ListedTrace
from langchain_autotrace.view.page_data import first_start, trace_data
from langchain_autotrace.view.running import Followed, Followers
from langchain_autotrace.view.traces import TraceTree

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_autotrace.trace.spans import Trace
    from langchain_autotrace.view.traces import SpanNode

_LOOK_SECONDS: Final = 0.1
_ASKED_SECONDS: Final = 30.0
"""How long to go on looking after a page has asked last."""
_FORM_SHARE: Final = 1
"""A trace is formed anew only after this many times the processor's time that it took last; it grows with the spans."""


@dataclass(slots=True)
class _Formed:
    """A trace of the journal as the page draws it."""

    version: int = 0
    """Version of the records that it was made of."""
    data: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, SpanNode] = field(default_factory=dict)
    """Span id -> the span as it was formed last."""
    spans: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """Span id -> version in which it changed last, and its data."""
    next_at: float = 0.0


class Live:
    """What is not in the store yet, and when the pages have to ask for the store's traces again. Thread-safe."""

    def __init__(self, uri: str) -> None:
        """Nothing is read before a page asks."""
        self._followers = Followers(uri)
        self._store = _StoreFiles(uri)
        self._changed = threading.Condition()
        self._formed: dict[str, _Formed] = {}
        self._listed: dict[str, tuple[int, ListedTrace]] = {}
        """Version of a trace, and what it was as a line of a list then."""
        self._version = self._stored = 1
        self._asked_at = 0.0
        self._thread: threading.Thread | None = None

    def version(self) -> int:
        """Return a number that grows with each change."""
        with self._changed:
            self._ask()
            return self._version

    def wait(self, version: int, timeout: float, *, is_stored: bool = False) -> int:
        """Wait for a change after ``version``, at most ``timeout`` seconds; return the present version.

        Args:
            version: what was returned last.
            timeout: seconds to wait.
            is_stored: whether only changes of the store count, not those of the journal.
        """
        with self._changed:
            self._ask()
            self._changed.wait_for(lambda: (self._stored if is_stored else self._version) > version, timeout)
            return self._stored if is_stored else self._version

    def listed(self) -> list[ListedTrace]:
        """Return the traces of the journal, the newest first."""
        with self._changed:
            self._ask()
            known, self._listed = self._listed, {}
            for trace_id, one in self._followers.traces.items():
                version, line = known.get(trace_id, (0, None))
                is_same = line is not None and version == one.version
                self._listed[trace_id] = (one.version, line if is_same and line else _listed(trace_of(one.joined)))
            found = [line for _, line in self._listed.values()]
        return sorted(found, key=lambda one: one.row.start_ms, reverse=True)

    def trace(self, trace_id: str, since: int = 0) -> dict[str, Any] | None:
        """Return a trace of the journal as the page draws it; None when the journal does not have it.

        It waits while it is too early to form the trace anew.

        Args:
            trace_id: MLflow's id.
            since: leave out the spans that have not changed since this version.
        """
        key = trace_id.removeprefix("tr-")
        with self._changed:
            self._ask()
            formed = self._formed.setdefault(key, _Formed())
            if self._has_changed(key, formed):
                self._changed.wait_for(lambda: not self._has_changed(key, formed), formed.next_at - time.monotonic())
            followed = self._followers.traces.get(key)
            if followed is None:
                self._formed.pop(key, None)
                return None
            if formed.version != followed.version:
                _form(formed, followed)
            spans = [span for changed, span in formed.spans.values() if changed > since]
            now = time.time_ns() - formed.data["start_ns"]
            state = {
                "version": formed.version,
                "now_us": now / 1000,
                "running": followed.ends_at is None,
            }
            return {**formed.data, "spans": spans, "live": state}

    def _has_changed(self, key: str, formed: _Formed) -> bool:
        followed = self._followers.traces.get(key)
        return followed is not None and followed.version != formed.version

    def _ask(self) -> None:
        """Start to look, if nobody does, and look once at once: the caller wants what is there now."""
        self._asked_at = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            self._look()
            self._thread = threading.Thread(target=self._go_on, name="langchain-autotrace-live", daemon=True)
            self._thread.start()

    def _go_on(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._changed:
                if time.monotonic() - self._asked_at > _ASKED_SECONDS:
                    self._thread = None
                    return
                self._look()

    def _look(self) -> None:
        is_stored = self._store.have_changed()
        if self._followers.look() or is_stored:
            self._version += 1
            self._stored = self._version if is_stored else self._stored
            self._changed.notify_all()


class _StoreFiles:
    """The files of a local database, which change when anybody writes to it."""

    def __init__(self, uri: str) -> None:
        path = destination.sqlite_path(uri)
        self._paths: list[Path] = [] if path is None else [path, path.with_name(path.name + "-wal")]
        self._last = self._state()

    def have_changed(self) -> bool:
        """Return whether they have changed since the last call."""
        before, self._last = self._last, self._state()
        return before != self._last

    def _state(self) -> list[tuple[int, int] | None]:
        return [_state_of(path) for path in self._paths]


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _listed(trace: Trace) -> ListedTrace:
    request, response = journal_spans.preview(trace)
    experiment = (trace.context["experiment"] or "") if trace.context else ""
    return ListedTrace(journal_spans.row(trace), experiment, request, response)


def _form(formed: _Formed, followed: Followed) -> None:
    """Make the data of a trace anew: of the spans that have changed, which gets their version."""
    began = time.thread_time()
    tree = journal_spans.tree(trace_of(followed.joined))
    changed = tuple(span for span in tree.spans if formed.nodes.get(span.span_id) != span)
    start_ns = first_start(tree)
    data = trace_data(private.scrubbed(TraceTree(tree.row, changed)), {}, start_ns=start_ns)
    formed.nodes |= {span.span_id: span for span in changed}
    formed.spans |= {span["id"]: (followed.version, span) for span in data.pop("spans")}
    formed.version, formed.data = followed.version, {**data, "start_ns": start_ns}
    formed.next_at = time.monotonic() + _FORM_SHARE * (time.thread_time() - began)
