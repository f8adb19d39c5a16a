"""A recorder that takes all runs for a while, whatever settings they have: traces of a test are kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_autotrace.capture.recorder import Recorder

_active: Final[list[Recorder]] = []
_here: Final[ContextVar[Recorder | None]] = ContextVar("langchain_autotrace_override", default=None)


def current() -> Recorder | None:
    """Return the recorder that takes the runs of this context: the context's own, else the last one put in place.

    The second serves threads that copy no context.
    """
    if not _active:
        return None
    here = _here.get()
    return here if here in _active else _active[-1]


@contextmanager
def in_place(recorder: Recorder) -> Iterator[None]:
    """Have ``recorder`` take the runs within the block."""
    before = _here.get()
    _here.set(recorder)
    _active.append(recorder)
    try:
        yield
    finally:
        _active.remove(recorder)
        _here.set(before)  # no reset of a token: a fixture may end in another context than it began in
