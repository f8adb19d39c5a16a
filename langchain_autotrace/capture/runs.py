"""Runs that are open: their ids, and what is remembered of them until they end."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from langchain_autotrace.capture.interfaces import Journal, ParentSpan
from langchain_autotrace.ids import span_digits, trace_digits

if TYPE_CHECKING:
    from types import FrameType

    from langchain_autotrace.capture.recorder import Recorder

_REMEMBERED: Final = 10_000
"""How many run ids are remembered at least, to see that one is used again."""


def random_bits() -> Callable[[int], int]:
    """Return a source of random bits, which is not the ``random`` module's own generator: programs seed that one."""
    return random.Random(os.urandom(32)).getrandbits  # noqa: S311 - ids, not secrets


class RunIds:
    """Gives each run an id to make its span's of: LangChain's run id, or a random one where that was used before."""

    def __init__(self) -> None:
        self._bits = random_bits()
        self._recent: dict[object, int] = {}
        self._older: dict[object, int] = {}

    def of_root(self, run_id: UUID, key: object, now_ns: int) -> UUID:
        """Return the id of a run that a trace begins with.

        Args:
            run_id: LangChain's id of the run.
            key: :func:`key_of` that id.
            now_ns: the time, as an object of its own.
        """
        # One step: of two threads that have the same id, one is first.
        if key in self._older or self._recent.setdefault(key, now_ns) is not now_ns:
            return self._new()
        if len(self._recent) > _REMEMBERED:
            self._older, self._recent = self._recent, {}
        return self._uuid(run_id, key)

    def of_child(self, run_id: UUID, key: object, seen: set[object]) -> UUID:
        """Return the id of a run within a trace whose runs have had the ids ``seen``."""
        if key in seen:
            return self._new()
        if len(seen) > _REMEMBERED:
            seen.clear()
        seen.add(key)
        return self._uuid(run_id, key)

    def _uuid(self, run_id: UUID, key: object) -> UUID:
        if isinstance(run_id, UUID) and run_id.int:
            return run_id
        return UUID(int=key) if key and isinstance(key, int) else self._new()

    def _new(self) -> UUID:
        return UUID(int=self._bits(128), version=4)


class Run:
    """An open run.

    Attributes:
        recorder: writes its events.
        journal: where its trace is written.
        parent: the run that it is below.
        id: what the id of its span is made of: LangChain's run id, unless that was used before.
        trace: what the id of its trace is made of: the root's ``id``, or the digits of a trace of MLflow's.
        seen: keys of the run ids that its trace has had.
        tags: the list that LangChain gave with the start: each run has a list of its own.
        process: the process that the run has started in.
        chunks: what a model has streamed so far; None before the first.
        is_special: whether one of the attributes below was set.
    """

    # What each run's start and end read is in slots: to read a class's default takes Python 3.11 ten times as long.
    __slots__ = (
        *("__dict__", "recorder", "journal", "parent", "id", "trace", "seen", "tags", "process"),
        *("chunks", "is_special"),
    )

    # Few runs have one of these.
    parent_span: ParentSpan | None = None
    """Where the run belongs, when not only LangChain's ids say it."""
    live: Any = None
    """MLflow's object for the run, once the program has asked for it."""
    model_call: Any = None
    """What the logging of models has noted of the run."""
    graph: FrameType | None = None
    """The method that runs a LangGraph graph, when the run is one: its variables say where the graph has stopped."""
    shadowed: Run | None = None
    """An older open run of the same id."""
    kind = name = type = ""
    """A value of ``semconv.Kind``, name and type of the span, where the bridge or the redact hook may ask for them."""
    is_incomplete = False
    """Whether a run below was interrupted, or goes on after this one."""
    copies = 1
    """How many handlers in the run's list are ours: each event then comes that many times."""
    turn = 0
    """Which of these times the next event is."""
    started_ns = first_chunk_ns = 0
    """When it started, where the bridge may ask for it; and when the first chunk came."""

    def __init__(self, recorder: Recorder, own_id: UUID, parent: Run | None, journal: Journal, tags: object) -> None:
        self.recorder = recorder
        self.journal = journal
        self.parent = parent
        self.id = own_id
        self.trace: UUID | str = own_id if parent is None else parent.trace
        self.seen: set[object] = set() if parent is None else parent.seen
        self.tags = tags
        self.process = _process.token
        self.chunks: list[object] | None = None
        self.is_special = False

    def note(self, **what: object) -> None:
        """Set attributes that few runs have."""
        self.__dict__.update(what)
        self.is_special = True

    def attach(self, parent_span: ParentSpan) -> None:
        """Attach this new run below a span of MLflow's, or send its trace to another journal."""
        self.note(parent_span=parent_span)
        self.journal = parent_span.journal or self.journal
        self.trace = parent_span.trace_id or self.trace

    @property
    def trace_id(self) -> str:
        """Id of its trace, 32 hexadecimal digits."""
        return trace_digits(self.trace)

    @property
    def span_id(self) -> str:
        """Id of its span, 16 hexadecimal digits."""
        return span_digits(self.id)

    @property
    def is_root(self) -> bool:
        """Whether the trace begins with this run."""
        return self.parent is None and (self.parent_span is None or self.parent_span.span_id is None)

    @property
    def parent_id(self) -> UUID | str | None:
        """What the id of the span is made of that the run's span is below."""
        if self.parent_span is not None:
            return self.parent_span.span_id
        return None if self.parent is None else self.parent.id

    def is_below(self, other: Run) -> bool:
        """Return whether this run is below another."""
        above = self.parent
        while above is not None and above is not other:
            above = above.parent
        return above is not None

    def counts_now(self) -> bool:
        """Return whether this call of an event counts, when it comes once for each of several handlers."""
        if not self.is_special or self.copies == 1:
            return True
        self.turn = (self.turn + 1) % self.copies
        return self.turn == 0

    def add_chunk(self, chunk: object) -> None:
        """Remember a chunk that a model has streamed: a text, or a list of content blocks."""
        if self.chunks is None:
            self.first_chunk_ns = time.time_ns()
            self.chunks = [chunk]
        elif not self.is_special or self.counts_now():
            self.chunks.append(chunk)


OpenRuns: TypeAlias = dict[object, Run | None]
"""Open runs by :func:`key_of` of their ids; None for a run that is left out."""


class RunHolder:
    """A handler's open runs, and the recorder that writes their events."""

    recorder: Recorder
    runs: OpenRuns


class _Process:
    """Tells this process from the one that it was forked from."""

    def __init__(self) -> None:
        self.token = object()


_process: Final = _Process()


def after_fork() -> None:
    """In a forked child: runs that were open are the parent's."""
    _process.token = object()


def find(runs: OpenRuns, key: object) -> Run | None:
    """Return an open run of this process; None when it is unknown or left out."""
    run = runs.get(key)
    return run if run is not None and run.process is _process.token else None


def close(runs: OpenRuns, key: object) -> Run | None:
    """Take a run out of the open ones; None when it is unknown or left out."""
    run = runs.pop(key, None)
    if run is None or run.process is not _process.token:
        return None
    if run.is_special and run.shadowed is not None:
        runs[key] = run.shadowed
    return run


def key_of(run_id: UUID | str) -> object:
    """Return what a run is found by: the number of its UUID, which is hashed without a call of Python code.

    LangChain also passes on a run id that is a text, whether it is a UUID's or not.
    """
    if isinstance(run_id, UUID):
        return run_id.int
    try:
        return UUID(run_id).int
    except (ValueError, AttributeError, TypeError):
        return run_id
