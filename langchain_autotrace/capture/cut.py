"""Any Python value as plain values of a limited size. Total: no value loses an event.

A value that fits is kept whole. Of one that does not, each part gets a fair share of the room: small parts are kept
whole, large ones are shortened and say how much there was. Every step is guarded: a part that cannot be read is
replaced by what went wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from langchain_autotrace.capture.convert import JSON_SCALARS, convert, from_bytes, key_text
from langchain_autotrace.capture.describe import STOPPED, beginning, class_name, digits, number_text
from langchain_autotrace.capture.files import MIN_LENGTH, Replace

_EXACT: Final = frozenset({int, bool, type(None)})
"""Types of scalars that are plain as they are: ``-0.0`` and UUIDs are not."""
_CONTAINERS: Final = frozenset({dict, list, tuple})
_CUT: Final = "…"
_CUT_BYTES: Final = 5
_MAX_DEPTH: Final = 100
_MAX_STEPS: Final = 60_000
_MAX_TRY: Final = 2_000
_MAX_TRIES: Final = 20
_MIN_ROOM: Final = 64
_NOTHING: Final[Mapping[Any, Any]] = {}

_Part: TypeAlias = tuple[Any, int]
"""A plain value, and the bytes of JSON that it takes."""


class Fitted(NamedTuple):
    """A value that fits."""

    value: Any
    """Plain: what JSON holds."""
    cut_from: int | None
    """About how many bytes of JSON the whole value would have taken, when it was cut; None otherwise."""


def fit(value: object, limit: int, replace: Replace | None = None) -> Fitted:
    """Return a value as plain values that take at most ``limit`` bytes of JSON; ``limit`` is 100 or more.

    ``replace`` returns what stands for a text of over ``MIN_LENGTH`` characters: a file's reference for a file.
    NaN and infinities, which JSON does not have, become their names; bytes become text where they are UTF-8. Nothing is
    raised but ``STOPPED``.
    """
    try:
        try:
            return Fitted(_Cutter(limit, replace).write(value, limit, whole=True)[0], None)
        except _TooLargeError:
            cutter = _Cutter(_MAX_STEPS, replace)
            kept, size = cutter.write(value, limit, whole=False)
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - the program is at the end of its stack or memory
        return Fitted(_CUT, _guess(value))
    return Fitted(kept, size + cutter.left_out)


class _TooLargeError(Exception):
    """The value does not fit whole."""


class _Cutter:
    """Makes one value plain, guarding and counting each step.

    Every method returns what takes at most ``room`` bytes (or 5, where there are fewer); what is wanted ``whole`` and
    does not fit raises ``_TooLargeError``.
    """

    def __init__(self, steps: int, replace: Replace | None) -> None:
        self.left_out = 0
        """Bytes that were left out, as far as is known."""
        self._replace = replace
        self._path: set[int] = set()
        self._steps = steps
        self._last_step = 0
        self._tries = _MAX_TRIES

    def write(self, value: Any, room: int, *, whole: bool, depth: int = 0) -> _Part:  # noqa: ANN401 - any value
        """Return the value as plain values."""
        self._steps -= 1
        if self._steps < self._last_step:
            return self._nothing(0, whole=whole)
        try:
            return self._any(value, room, whole=whole, depth=depth)
        except (*STOPPED, _TooLargeError):
            raise
        except BaseException as error:  # noqa: BLE001 - user objects raise anything
            return self._text(f"<{class_name(value)}: {class_name(error)}>", room, whole=whole)

    def _any(self, value: Any, room: int, *, whole: bool, depth: int) -> _Part:  # noqa: ANN401 - any value
        kind = type(value)
        if kind is str:
            return self._text(self._without_files(value, None, _NOTHING), room, whole=whole)
        if kind in JSON_SCALARS:
            return self._scalar(value, room, whole=whole)
        if depth > _MAX_DEPTH or id(value) in self._path:
            reason = "cut, too deep" if depth > _MAX_DEPTH else "contains itself"
            return self._text(f"<{class_name(value)}: {reason}>", room, whole=whole)
        self._path.add(id(value))
        try:
            if kind not in _CONTAINERS:
                return self.write(convert(value), room, whole=whole, depth=depth + 1)
            tried = None if whole or self._tries == 0 or _guess(value) > room else self._try(value, room, depth)
            return tried or self._container(value, room, whole=whole, depth=depth)
        finally:
            self._path.discard(id(value))

    def _try(self, value: object, room: int, depth: int) -> _Part | None:
        """Return the value whole, within a share of the steps; None where that fails."""
        last, self._last_step = self._last_step, max(self._steps - _MAX_TRY, self._last_step)
        try:
            return self._container(value, room, whole=True, depth=depth)
        except _TooLargeError:
            self._tries -= 1
            return None
        finally:
            self._last_step = last

    def _container(self, value: Any, room: int, *, whole: bool, depth: int) -> _Part:  # noqa: ANN401 - dict, list, tuple
        size = len(value)
        if room < _MIN_ROOM if not whole else size * 2 > room + 1:
            return self._nothing(_guess(value), whole=whole)
        left_out = self.left_out
        if type(value) is not dict:
            items = value[: room // 2]
            parts = self._parts([0] * len(items), items, room, whole=whole, least=200, depth=depth)
            kept = [part for part, _ in parts]
            note: Any = f"{_CUT} {_cut_items(size)}"
            return self._framed(kept, [note], parts, size, left_out)
        held = value.copy()  # other threads may write to it
        names = [_readable(key_text(key)) for key in islice(held, room // 5 + 1)]
        heads = [_size(name) + 1 for name in names]
        items = [self._without_files(item, key, held) for key, item in islice(held.items(), len(names))]
        parts = self._parts(heads, items, room, whole=whole, least=24, depth=depth)
        named = [(name, part) for name, (part, _) in zip(names, parts, strict=False)]
        found, taken = self._framed(named, [(_CUT, _cut_items(size))], parts, size, left_out)
        return dict(found), taken

    def _without_files(self, value: Any, key: object, beside: Mapping[Any, Any]) -> Any:  # noqa: ANN401 - any value
        """Return what stands for a value that may be a file; the keys beside it may say its type."""
        if self._replace is None:
            return value
        text = from_bytes(value) if type(value) is bytes else value
        return self._replace(text, key, beside) if type(text) is str and len(text) > MIN_LENGTH else value

    def _framed(self, kept: list[Any], note: list[Any], parts: Sequence[_Part], size: int, left_out: int) -> _Part:
        """Return the parts of a container of ``size`` items, with a note where some are missing; and their bytes.

        The missing ones are taken to be as long as the others were: ``left_out`` is what was left out before these.
        """
        taken = max(1 + sum(bytes_ + 1 for _, bytes_ in parts), 2)
        if len(parts) == size:
            return kept, taken
        had = taken + self.left_out - left_out
        self.left_out += (size - len(parts)) * (had // max(len(parts), 1) + 1)
        return kept + note, taken + _MIN_ROOM // 2

    def _parts(  # noqa: PLR0913 - the state of one container
        self, heads: Sequence[int], items: Sequence[object], room: int, *, whole: bool, least: int, depth: int
    ) -> list[_Part]:
        """Return the items that fit, each with the bytes that it and its head take."""
        return self._all(heads, items, room - 2, depth) if whole else self._shares(heads, items, room, least, depth)

    def _all(self, heads: Sequence[int], items: Sequence[object], room: int, depth: int) -> list[_Part]:
        parts = []
        for head, item in zip(heads, items, strict=True):
            part, size = self.write(item, room - head, whole=True, depth=depth + 1)
            parts.append((part, head + size))
            room -= head + size + 1
            if room < -1:
                raise _TooLargeError
        return parts

    def _shares(self, heads: Sequence[int], items: Sequence[object], room: int, least: int, depth: int) -> list[_Part]:
        """Return the first items, each in its share; where that would be below ``least`` bytes, fewer of them."""
        room -= _MIN_ROOM - 16
        sizes: list[int] = []
        wanted = 0
        for head, item in zip(heads, items, strict=True):
            sizes.append(_guess(item))
            wanted += min(max(sizes[-1], _CUT_BYTES), max(room // 64, least)) + head + 1
            if wanted > room and len(sizes) > 1:
                sizes.pop()
                break
        parts: dict[int, _Part] = {}
        # The smaller ones first: what they leave of their share is for the larger ones.
        for rank, index in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
            share = room // (len(sizes) - rank) - heads[index] - 1
            if share >= _CUT_BYTES:
                part, size = self.write(items[index], share, whole=False, depth=depth + 1)
                parts[index] = part, heads[index] + size
                room -= parts[index][1] + 1
        return [parts[index] for index in sorted(parts)]

    def _text(self, text: str, room: int, *, whole: bool) -> _Part:
        if len(text) <= room - 2:
            plain = _readable(text)
            if (size := _size(plain)) <= room:
                return plain, size
        note = f"{_CUT} [cut, {len(text)} characters]"
        space = 0 if whole else room - len(note) - 4
        while space > 0:
            kept = beginning(text, space)
            plain = _readable(kept + note)
            if (size := _size(plain)) <= room:
                if kept:
                    self.left_out += (size - _size(note)) * (len(text) - len(kept)) // len(kept) - _size(note) + 2
                else:
                    self.left_out += len(text) - size + 2
                return plain, size
            space = min(space * room // size, space - 1)
        return self._nothing(len(text), whole=whole)

    def _scalar(self, value: Any, room: int, *, whole: bool) -> _Part:  # noqa: ANN401 - a number, None, a UUID
        if type(value) is float and not math.isfinite(value):
            return self._text(number_text(value), room, whole=whole)
        try:
            text = orjson.dumps(value)
        except TypeError:  # an integer over 64 bits
            return self._text(digits(value), room, whole=whole)
        if len(text) > room:
            return self._nothing(len(text), whole=whole)
        return value if type(value) in _EXACT else orjson.loads(text), len(text)

    def _nothing(self, size: int, *, whole: bool) -> _Part:
        if whole:
            raise _TooLargeError
        self.left_out += size
        return _CUT, _CUT_BYTES


def _cut_items(size: int) -> str:
    return f"[cut, {size} item{'s' if size != 1 else ''}]"


def _guess(value: Any) -> int:  # noqa: ANN401 - any value
    """Return about how many bytes of JSON a value takes, from a look at its first items."""
    kind = type(value)
    if kind is str:
        return len(value) + 2
    if kind not in _CONTAINERS:
        return 8 if kind in JSON_SCALARS else 1_000
    first = [len(one) if type(one) is str else 30 for one in islice(value.values() if kind is dict else value, 8)]
    return 2 + len(value) * (sum(first) // max(len(first), 1) + 1)


def _readable(text: str) -> str:
    """Return a text with lone surrogates, which UTF-8 does not have, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _size(text: str) -> int:
    return len(orjson.dumps(text))
