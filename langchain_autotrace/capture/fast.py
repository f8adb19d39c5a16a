"""The usual way an event is written: as it is, in one pass over a private copy of its values.

orjson must see nothing that another thread can change: it lets other threads run where a value makes it run Python code
(``Enum.value`` does), and when one of these shortens a list that it is in the midst of, the process dies of a
segmentation fault. So containers are copied first, which also turns objects into plain values and finds what is too
large before it is written. What cannot be written this way, or may hold a secret, is left to ``careful.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from langchain_autotrace.capture.convert import JSON_SCALARS, converter_of, converters, from_bytes
from langchain_autotrace.capture.describe import STOPPED, number_text
from langchain_autotrace.capture.files import MIN_LENGTH, Files
from langchain_autotrace.capture.interfaces import Journal
from langchain_autotrace.redaction import may_hold_secret

_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE
_CONTAINERS: Final = frozenset({dict, list, tuple})
_NOTHING: Final[Mapping[Any, Any]] = {}
_ITEM_BYTES: Final = 8
"""What an item of a container counts, whatever it is. Counting too much costs time: the careful way looks closer."""


class WriteResult:
    """What became of an event that was to be written the fast way."""

    WRITTEN: Final = "written"
    TOO_LARGE: Final = "too large"
    UNSUPPORTED: Final = "unsupported"
    """It holds something that cannot be written without care."""
    SUSPECT: Final = "suspect"
    """It may hold a secret."""


def write(  # noqa: PLR0913, PLR0917 - by position: called for each event
    head: tuple[object, ...],
    values: Sequence[tuple[object] | None],
    details: dict[str, Any],
    limit: int,
    journal: Journal,
    files: Files,
) -> str:
    """Write an event's line to the journal, unless it needs care; return a value of :class:`WriteResult`.

    Args:
        head: the kind of the record, the trace, and the next fields: what nobody else changes.
        values: the next fields, inputs or outputs of any types: each in a tuple, or None where there is none.
        details: its last field, with values of any types; they may be replaced by plain ones.
        limit: bytes over which a line is too large.
        journal: where to write.
        files: takes files out of the values.
    """
    copier = _Copier(limit, files, head[1], journal)
    try:
        given = [None if value is None else (copier.copy_any(value[0]),) for value in values]
        copier.copy_items(details)
        if copier.room < 0:
            return WriteResult.TOO_LARGE
        line = orjson.dumps((*head, *given, details), None, _OPTIONS)
    except _TooLargeError:
        return WriteResult.TOO_LARGE
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - the user's objects raise anything; the careful way guards each step
        return WriteResult.UNSUPPORTED
    return _append(line, limit, journal)


def _append(line: bytes, limit: int, journal: Journal) -> str:
    if len(line) > limit:
        return WriteResult.TOO_LARGE
    if may_hold_secret(line):
        return WriteResult.SUSPECT
    try:
        journal.put(line)
    except ValueError:  # the segment is full
        journal.write(line)
    return WriteResult.WRITTEN


class _TooLargeError(Exception):
    """The value has too many items."""


class _Copier:
    """Copies containers with all that is in them, and counts how large they are.

    A float minus itself is 0.0, unless it is an infinity or NaN, which orjson would write as null: the cheapest test.

    Attributes:
        room: about how many bytes are left; below zero when the value is too large.
    """

    __slots__ = ("_files", "_journal", "_trace", "room")

    def __init__(self, limit: int, files: Files, trace: object, journal: Journal) -> None:
        self.room = limit
        self._files = files
        self._trace = trace
        self._journal = journal

    def copy(self, value: Any) -> Any:  # noqa: ANN401, C901 - any value but a scalar; a call for each item costs more
        """Return a list or dict of plain values in place of a container or an object.

        Raises:
            BaseException: what the objects raise, and ``RecursionError`` for a value that contains itself.
        """
        kind = type(value)
        if kind in _CONTAINERS and len(value) * _ITEM_BYTES > self.room:
            raise _TooLargeError
        made: Any = (converters.get(kind) or converter_of(kind))(value)
        kind = type(made)
        if kind is list:
            self.room -= _ITEM_BYTES * len(made) + _ITEM_BYTES
            for index, item in enumerate(made):
                kind = type(item)
                if kind is str:
                    if len(item) > MIN_LENGTH:
                        made[index] = self._long(item)
                elif kind is float:
                    if item - item:
                        made[index] = number_text(item)
                elif kind not in JSON_SCALARS:
                    made[index] = self.copy(item)
        elif kind is dict:
            self.room -= _ITEM_BYTES * len(made) + _ITEM_BYTES
            self.copy_items(made)
        else:
            return self.copy_any(made)
        if self.room < 0:
            raise _TooLargeError
        return made

    def copy_any(self, value: Any) -> Any:  # noqa: ANN401 - any value
        """Return the same in place of any value."""
        kind = type(value)
        if kind is str and len(value) > MIN_LENGTH:
            return self._long(value)
        if kind is float and value - value:
            return number_text(value)
        return value if kind in JSON_SCALARS else self.copy(value)

    def copy_items(self, made: dict[str, Any]) -> None:
        """Replace the values of a dict that nobody else has by plain ones."""
        for key, item in made.items():
            kind = type(item)
            if kind is str:
                if len(item) > MIN_LENGTH:
                    made[key] = self._long(item, key, made)
            elif kind is float:
                if item - item:
                    made[key] = number_text(item)
            elif kind is bytes:
                made[key] = self._long(from_bytes(item), key, made)
            elif kind not in JSON_SCALARS:
                made[key] = self.copy(item)

    def _long(self, text: str, key: object = None, beside: Mapping[Any, Any] = _NOTHING) -> str:
        """Return what stands for a text that is worth counting, and may be a file."""
        shown = self._files.replace(text, key, beside, self._trace, self._journal)
        self.room -= len(shown)
        return shown
