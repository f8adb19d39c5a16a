"""The line of a span's record, where what it holds can be written as it is and has no secret in it.

There are two keepers of lines, which do the same: one of C (``_line.c``), where this package was built with a compiler,
and one of Python. The first is there for speed: it takes less than a third of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.prompt_values import ChatPromptValue

from langchain_autotrace.capture.atoms import STOPPED
from langchain_autotrace.capture.compiled import compiled_module
from langchain_autotrace.capture.convert import MESSAGE_FIELDS, PLAIN_MESSAGES
from langchain_autotrace.capture.plain import plain
from langchain_autotrace.capture.redact import HINTS, hints_at_secret, holds_secret

Put: TypeAlias = Callable[[bytes], object]
"""Keeps a line, or raises ``ValueError`` where it has no room for it."""

Kept: TypeAlias = bytes | bool | None
"""What became of a line.

True: it is put. The line itself: there is no room for it. False: it must not be written as it is, since it has more
bytes than the keeper was told, or may hold a secret. None: it holds objects that are not known to the keeper."""

LineKeeper: TypeAlias = Callable[[tuple[object, ...], Put], Kept]
"""Makes a line of the kind and the fields of a :class:`SpanStart` or :class:`SpanEnd`, with values of any kind, inputs
and outputs as ``(value,)`` or None, and puts it where it is told."""

_FIRST_VALUE: Final = 6
"""Where the fields begin that may be inputs or outputs: two, one of them with a time in its place at a start."""


class Lines(Protocol):
    """How records are written: the module ``langchain_autotrace.journal.codec``."""

    def encode(self, record: Any) -> bytes:  # noqa: ANN401 - any record
        """The line of a record whose values are JSON."""

    @property
    def dumps(self) -> Callable[[tuple[object, ...], None, int], bytes]:
        """Makes the line of a span's record from its kind and its fields, with values as they are, and OPTIONS."""

    @property
    def OPTIONS(self) -> int:  # noqa: N802 - a constant of the module
        """What ``dumps`` is to be called with."""

    @property
    def START(self) -> str:  # noqa: N802 - a constant of the module
        """The kind of a :class:`SpanStart`."""

    @property
    def END(self) -> str:  # noqa: N802 - as above
        """The kind of a :class:`SpanEnd`."""


def line_keepers(lines: Lines, limit: int) -> tuple[LineKeeper, LineKeeper]:
    """The faster keeper that there is, of lines of up to ``limit`` bytes, and one for what that does not know."""
    compiled, python = compiled_keeper(limit), python_keeper(lines, limit)
    return (python, keep_none) if compiled is None else (compiled, python)


def compiled_keeper(limit: int) -> LineKeeper | None:
    """The keeper of C; None where it was not built, or is not wanted."""
    compiled = compiled_module()
    if compiled is None:
        return None
    # What a message says as text, and so what a parser returns, is of a class of LangChain's own.
    text_class = type(AIMessage(content="").text)
    known = tuple(PLAIN_MESSAGES), (ToolMessage, AIMessageChunk), MESSAGE_FIELDS
    keep: LineKeeper = compiled.keeper(*known, ChatPromptValue, text_class, UUID, HINTS, _is_secret, limit)
    return keep


def python_keeper(lines: Lines, limit: int) -> LineKeeper:
    """The keeper of Python."""
    dumps, options = lines.dumps, lines.OPTIONS

    def keep(fields: tuple[object, ...], put: Put) -> Kept:
        try:
            # What objects a value holds is read before orjson writes them: Python code that runs within orjson lets
            # other threads run, and when one of these changes a list that orjson is in the midst of, the process dies
            # of a segmentation fault.
            first, second = fields[_FIRST_VALUE : _FIRST_VALUE + 2]
            shown = _plain_given(first), _plain_given(second)
            made = dumps((*fields[:_FIRST_VALUE], *shown, *fields[_FIRST_VALUE + 2 :]), None, options)
        except STOPPED:
            raise
        except BaseException:  # noqa: BLE001 - user objects raise anything; the careful way guards each step
            return None
        if len(made) > limit or _is_suspect(made):
            return False
        try:
            put(made)
        except ValueError:
            return made
        return True

    return keep


def keep_none(fields: tuple[object, ...], put: Put) -> None:
    """A keeper of none, where a hook of the user's is to see each value."""


def _plain_given(given: object) -> object:
    return (plain(given[0]),) if type(given) is tuple else given


def _is_suspect(line: bytes) -> bool:
    lower = line.lower()
    return hints_at_secret(lower) and holds_secret(lower)


def _is_secret(line: bytes) -> bool:
    """Whether a line in which the compiled keeper has found a hint holds a secret."""
    return holds_secret(line.lower())
