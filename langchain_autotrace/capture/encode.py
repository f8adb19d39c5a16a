"""Any Python value as JSON. Total: no value loses a span.

Objects are replaced by plain values first (``plain.py``); then one ``orjson.dumps`` writes all. What orjson refuses
(cycles, lone surrogates, integers over 64 bits, a ``__repr__`` that raises) and what is over the limit is written piece
by piece (``_Writer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from langchain_autotrace.capture.atoms import ATOMS, CONTAINERS, STOPPED
from langchain_autotrace.capture.convert import beginning, class_name, convert, digits, key_text
from langchain_autotrace.capture.plain import plain

if TYPE_CHECKING:
    from langchain_autotrace.span import Json

OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_CUT: Final = '"…"'.encode()
_MAX_DEPTH: Final = 100
_MAX_STEPS: Final = 60_000
_MAX_TRY: Final = 2_000
_MAX_TRIES: Final = 20
_MIN_ROOM: Final = 64


class Encoded(NamedTuple):
    """One value as JSON."""

    json: Json
    cut_from: int | None
    """Bytes of JSON the whole value would have taken, when it was cut; ``None`` otherwise. It is an estimate when
    the value could not be written whole: it contains itself, refuses to be read, or is far too large."""


def encode(value: object, limit: int) -> Encoded:
    """``value`` as at most ``limit`` bytes of JSON; ``limit`` is 100 or more.

    Numbers that JSON does not know (NaN, infinities) become null, as in JavaScript and pydantic; bytes become
    text where they are UTF-8; an object of an unknown class becomes its ``repr``. Nothing is raised but ``STOPPED``.
    """
    try:
        text = _at_once(value)
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - user objects raise anything; what follows guards each step
        text = b""
    if text and len(text) <= limit:
        return Encoded(text, None)
    try:
        return _in_pieces(value, limit, len(text))
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - the program is at the end of its stack or memory
        return Encoded(_CUT, len(text))


def _at_once(value: object) -> Json:
    return orjson.dumps(plain(value), option=OPTIONS)


def _in_pieces(value: object, limit: int, size: int) -> Encoded:
    """``value`` written piece by piece: whole if it fits, else each part cut to a fair share."""
    if not size:
        try:
            return Encoded(_Writer().write(value, limit, whole=True), None)
        except _TooLarge:
            pass
    writer = _Writer()
    text = writer.write(value, limit, whole=False)
    return Encoded(text if len(text) <= limit else _CUT, size or len(text) + writer.left_out)


class _TooLarge(Exception):  # noqa: N818 - never seen outside
    """The value does not fit whole."""


class _Writer:
    """Writes one value, guarding and counting each step.

    Every method writes in at most ``room`` bytes (or 5, where there are fewer); what is wanted ``whole`` and does not
    fit raises ``_TooLarge``.
    """

    def __init__(self) -> None:
        self.left_out = 0
        """Bytes that were not written, as far as is known."""
        self._path: set[int] = set()
        self._steps = _MAX_STEPS
        self._last_step = 0
        self._tries = _MAX_TRIES

    def write(self, value: Any, room: int, *, whole: bool, depth: int = 0) -> Json:  # noqa: ANN401 - any value
        """``value`` as JSON."""
        self._steps -= 1
        if self._steps < self._last_step:
            return self._nothing(0, whole=whole)
        try:
            return self._any(value, room, whole=whole, depth=depth)
        except (*STOPPED, _TooLarge):
            raise
        except BaseException as error:  # noqa: BLE001 - user objects raise anything
            return self._text(f"<{class_name(value)}: {class_name(error)}>", room, whole=whole)

    def _any(self, value: Any, room: int, *, whole: bool, depth: int) -> Json:  # noqa: ANN401 - any value
        kind = type(value)
        if kind is str:
            return self._text(value, room, whole=whole)
        if kind in ATOMS:
            return self._atom(value, room, whole=whole)
        if depth > _MAX_DEPTH or id(value) in self._path:
            reason = "cut, too deep" if depth > _MAX_DEPTH else "contains itself"
            return self._text(f"<{class_name(value)}: {reason}>", room, whole=whole)
        self._path.add(id(value))
        try:
            if kind not in CONTAINERS:
                return self.write(convert(value), room, whole=whole, depth=depth + 1)
            tried = None if whole or self._tries == 0 or _guess(value) > room else self._try(value, room, depth)
            return tried or self._container(value, room, whole=whole, depth=depth)
        finally:
            self._path.discard(id(value))

    def _try(self, value: object, room: int, depth: int) -> Json | None:
        """``value`` whole, within a share of the steps."""
        last, self._last_step = self._last_step, max(self._steps - _MAX_TRY, self._last_step)
        try:
            return self._container(value, room, whole=True, depth=depth)
        except _TooLarge:
            self._tries -= 1
            return None
        finally:
            self._last_step = last

    def _container(self, value: Any, room: int, *, whole: bool, depth: int) -> Json:  # noqa: ANN401 - dict, list, tuple
        size = len(value)
        if room < _MIN_ROOM if not whole else size * 2 > room + 1:
            return self._nothing(_guess(value), whole=whole)
        if type(value) is dict:
            held = value.copy()  # other threads may write to it
            heads = [_quoted(key_text(key)) + b":" for key in islice(held, room // 5 + 1)]
            items, least, frame, note = list(islice(held.values(), len(heads))), 24, b"{%b}", '"…":"[cut, %d items]"'
        else:
            items, least, frame, note = value[:room], 200, b"[%b]", '"… [cut, %d items]"'
            heads = [b""] * len(items)
        if whole:
            parts = self._all(heads, items, room - 2, depth)
        else:
            parts = self._shares(heads, items, room - _MIN_ROOM + 16, least, depth)
        if len(parts) < size:
            self.left_out += (size - len(parts)) * (sum(map(len, parts)) // max(len(parts), 1) + 1)
            parts.append((note % size).encode())
        return frame % b",".join(parts)

    def _all(self, heads: Sequence[Json], items: Sequence[object], room: int, depth: int) -> list[Json]:
        """The items behind their heads."""
        parts = []
        for head, item in zip(heads, items, strict=True):
            parts.append(head + self.write(item, room - len(head), whole=True, depth=depth + 1))
            room -= len(parts[-1]) + 1
            if room < -1:
                raise _TooLarge
        return parts

    def _shares(self, heads: Sequence[Json], items: Sequence[object], room: int, least: int, depth: int) -> list[Json]:
        """The first items behind their heads, each in its share; at ``least`` so many bytes, or there are fewer."""
        sizes: list[int] = []
        wanted = 0
        for head, item in zip(heads, items, strict=True):
            sizes.append(_guess(item))
            wanted += min(max(sizes[-1], len(_CUT)), max(room // 64, least)) + len(head) + 1
            if wanted > room and len(sizes) > 1:
                sizes.pop()
                break
        parts: dict[int, Json] = {}
        # The smaller ones first: what they leave of their share is for the larger ones.
        for rank, index in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
            share = room // (len(sizes) - rank) - len(heads[index]) - 1
            if share >= len(_CUT):
                parts[index] = heads[index] + self.write(items[index], share, whole=False, depth=depth + 1)
                room -= len(parts[index]) + 1
        return [parts[index] for index in sorted(parts)]

    def _text(self, text: str, room: int, *, whole: bool) -> Json:
        if len(text) <= room - 2:
            quoted = _quoted(text)
            if len(quoted) <= room:
                return quoted
        note = f"… [cut, {len(text)} characters]"
        space = 0 if whole else room - len(note) - 4
        while space > 0:
            kept = beginning(text, space)
            quoted = _quoted(kept + note)
            if len(quoted) <= room:
                self.left_out += len(text) - len(kept)
                return quoted
            space = min(space * room // len(quoted), space - 1)
        return self._nothing(len(text), whole=whole)

    def _atom(self, value: Any, room: int, *, whole: bool) -> Json:  # noqa: ANN401 - a number, None, a UUID
        try:
            text = orjson.dumps(value)
        except TypeError:  # an integer over 64 bits
            return self._text(digits(value), room, whole=whole)
        return text if len(text) <= room else self._nothing(len(text), whole=whole)

    def _nothing(self, size: int, *, whole: bool) -> Json:
        if whole:
            raise _TooLarge
        self.left_out += size
        return _CUT


def _guess(value: Any) -> int:  # noqa: ANN401 - any value
    """About how many bytes of JSON a value takes, from a look at its first items."""
    kind = type(value)
    if kind is str:
        return len(value) + 2
    if kind is not dict and kind is not list and kind is not tuple:  # no look-up: a metaclass's __hash__ may raise
        return 8 if isinstance(value, int | float | None) else 1_000
    first = [len(one) if type(one) is str else 30 for one in islice(value.values() if kind is dict else value, 8)]
    return 2 + len(value) * (sum(first) // max(len(first), 1) + 1)


def _quoted(text: str) -> Json:
    try:
        return orjson.dumps(text)
    except TypeError:  # UTF-8 has no lone surrogates: they are kept readable as \udXXX
        return orjson.dumps(text.encode("utf-8", "backslashreplace").decode())
