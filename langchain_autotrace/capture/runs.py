"""What is remembered of a run while it is open."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any, Final

from langchain_autotrace.capture.place import Journal, Place
from langchain_autotrace.capture.status import RETURNED, Ending
from langchain_autotrace.span import Outcome, Status

_PAUSED: Final = Ending(Status.OK.value, Outcome.INTERRUPTED, "", paused=True)
_ABANDONED: Final = Ending(Status.OK.value, Outcome.ABANDONED, "")


def random_bits() -> Callable[[int], int]:
    """A source of ids: so many random bits. Not the ``random`` module's own generator, which programs seed."""
    return random.Random(os.urandom(32)).getrandbits  # noqa: S311 - ids, not secrets


_IDS_AT_ONCE: Final = 64
_NO_ID: Final = 16 * "0"


def span_ids() -> list[str]:
    """Some new ids of spans. Made many at once: code that runs once in a while is not in the processor's caches."""
    digits = os.urandom(8 * _IDS_AT_ONCE).hex()
    return [one for at in range(0, len(digits), 16) if (one := digits[at : at + 16]) != _NO_ID]


class Run:
    """An open run."""

    # What each run's start and end read is in slots: to read a class's default takes Python 3.11 ten times as long.
    __slots__ = ("__dict__", "below", "parent", "span_id", "started_ns", "trace_id", "unusual")

    # Most runs never change these: as defaults of the class they cost nothing.
    session: str | None = None
    """The trace's session; of the root only, as the next."""
    user: str | None = None
    chunks = 0
    first_chunk_ns = 0
    said: list[str] | None = None
    """Text streamed so far by this model, or by the model below this chain that streams."""
    abandoned = False
    name = kind = ""
    recorder: Any = None
    """These three are set where another API may ask for them."""
    copies = 1
    """How many handlers in the run's list are ours: each event then comes that many times."""
    turn = 0

    # These too. A run with one of them is unusual: only then are they read. They are set by `note`.
    call: Any = None
    """The call of a chain that this run is, where chains are logged as models."""
    live: object = None
    """The other API's object for this run, once somebody has asked for it."""
    place: Place | None = None
    """Where it stands, when not only LangChain's ids say it."""
    journal: Journal | None = None
    """Where its trace is written, when not where the recorder writes."""
    interrupted = False
    """Whether a run below was interrupted: a graph that pauses returns, its node raises."""

    def __init__(self, trace_id: str, span_id: str, parent: Run | None, started_ns: int) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.started_ns = started_ns
        self.below = 0
        """Open runs directly below."""
        self.unusual = False
        """Whether something was noted of it."""

    def note(self, **what: object) -> None:
        """Set what makes a run unusual: ``call``, ``live``, ``place``, ``journal`` or ``interrupted``."""
        self.__dict__.update(what)
        self.unusual = True

    def stand(self, place: Place) -> None:
        """It has just started, and stands there."""
        self.note(place=place, journal=place.journal)
        self.trace_id = place.trace_id or self.trace_id

    @property
    def is_root(self) -> bool:
        """Whether the trace begins with this run."""
        return self.parent is None and (self.place is None or self.place.span_id is None)

    @property
    def root(self) -> Run:
        """The run that the trace began with."""
        run = self
        while run.parent is not None:
            run = run.parent
        return run

    def stream(self, text: str, now_ns: int) -> None:
        """A chunk came; the chains above get to know what was said."""
        self.chunks += 1
        if self.said is None:
            self.first_chunk_ns = now_ns
            said: list[str] = []
            self.said = said
            above = self.parent
            while above is not None:
                above.said = said
                above = above.parent
        self.said.append(text)

    def counts_now(self) -> bool:
        """Whether this call of an event is the one that counts, when it comes once for each of several handlers."""
        if self.copies == 1:
            return True
        self.turn = (self.turn + 1) % self.copies
        return self.turn == 0

    def settle(self, ending: Ending, *, streamed: bool) -> Ending:
        """How the run ended, as the runs around it show; they get to know of it.

        A graph that is interrupted returns. A synchronous stream that its consumer closes swallows
        ``GeneratorExit``: the outer run ends as if it had returned, while the runs that feed it are still open, and
        those end after it.
        """
        parent = self.parent
        if ending is RETURNED:
            if self.interrupted:
                ending = _PAUSED
            elif streamed and (self.below or (parent is not None and parent.abandoned)):
                ending = _ABANDONED
        if ending.outcome is Outcome.ABANDONED:
            self.abandoned = True
        if ending.paused and parent is not None:
            parent.note(interrupted=True)
        return ending

    def partial(self, outputs: object) -> object:
        """What an abandoned run had said; LangChain leaves out the chunk at which the consumer stopped."""
        said = "".join(self.said or ())
        longer = outputs is None or (isinstance(outputs, str) and said.startswith(outputs))
        return said if said and longer else outputs
