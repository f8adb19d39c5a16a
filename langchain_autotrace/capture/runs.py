"""What is remembered of a run while it is open."""

from __future__ import annotations

import os
import random
from typing import Final

from langchain_autotrace.capture.status import RETURNED, Ending
from langchain_autotrace.span import Outcome, Status

_PAUSED: Final = Ending(Status.OK.value, Outcome.INTERRUPTED, "", paused=True)
_ABANDONED: Final = Ending(Status.OK.value, Outcome.ABANDONED, "")


class Ids:
    """Random ids. Not from the ``random`` module's own generator, which programs seed."""

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))  # noqa: S311 - ids, not secrets

    def trace(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._random.getrandbits(128) or 1:032x}"

    def span(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._random.getrandbits(64) or 1:016x}"


class Trace:
    """What the runs of one trace share."""

    __slots__ = ("session", "trace_id", "user")

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.session: str | None = None
        self.user: str | None = None


class Run:
    """An open run."""

    # Most runs never change these: as defaults of the class they cost nothing.
    chunks = 0
    first_chunk_ns = 0
    said: list[str] | None = None
    """Text streamed so far by this model, or by the model below this chain that streams."""
    children: set[str] | None = None
    """Span ids of the open runs directly below."""
    abandoned = False
    interrupted = False
    """Whether a run below was interrupted: a graph that pauses returns, its node raises."""
    copies = 1
    """How many handlers in the run's list are ours: each event then comes that many times."""
    turn = 0

    def __init__(self, trace: Trace, span_id: str, parent: Run | None, started_ns: int) -> None:
        self.trace = trace
        self.span_id = span_id
        self.parent = parent
        self.started_ns = started_ns
        if parent is not None:
            if parent.children is None:
                parent.children = {span_id}
            else:
                parent.children.add(span_id)

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

    def close(self, ending: Ending, *, streamed: bool) -> Ending:
        """Leave the tree of open runs, and say how the run ended as the runs around it show.

        A graph that is interrupted returns. A synchronous stream that its consumer closes swallows
        ``GeneratorExit``: the outer run ends as if it had returned, while the runs that feed it are still open, and
        those end after it.
        """
        parent = self.parent
        if ending is RETURNED:
            if self.interrupted:
                ending = _PAUSED
            elif streamed and (self.children or (parent is not None and parent.abandoned)):
                ending = _ABANDONED
        if ending is not RETURNED and ending.outcome is Outcome.ABANDONED:
            self.abandoned = True
        if parent is not None:
            if parent.children is not None:
                parent.children.discard(self.span_id)
            if ending.paused:
                parent.interrupted = True
        return ending

    def partial(self, outputs: object) -> object:
        """What an abandoned run had said; LangChain leaves out the chunk at which the consumer stopped."""
        said = "".join(self.said or ())
        longer = outputs is None or (isinstance(outputs, str) and said.startswith(outputs))
        return said if said and longer else outputs
