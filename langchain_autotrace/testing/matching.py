"""Whether two requests are the same, and where they differ."""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from vcr.request import Request
from vcr.util import read_body

from langchain_autotrace.testing.bodies import fields_of
from langchain_autotrace.testing.cassette_files import as_yaml
from langchain_autotrace.testing.scrubbing import Scrubber

VOLATILE: Final = ("user", "metadata", "safety_identifier", "prompt_cache_key")
"""Fields of a JSON body that differ from run to run and do not change the answer."""
_LINES: Final = 24
_LENGTH: Final = 160
_CONTEXT: Final = 40
_BOUNDARY: Final = re.compile(rb'boundary="?([^";]+)')


class Matcher:
    """Compares what matters of requests: path and query without keys and ids, JSON without volatile fields."""

    def __init__(self, scrubber: Scrubber, volatile: Iterable[str] = VOLATILE) -> None:
        """Compare as ``scrubber`` writes, without these fields."""
        self._scrubber = scrubber
        self._volatile = frozenset(volatile)

    def path(self, one: Request, other: Request) -> None:
        """Raise if the paths differ: a matcher of vcrpy."""
        _same(self._scrubber.text(one.path), self._scrubber.text(other.path))

    def query(self, one: Request, other: Request) -> None:
        """Raise if the queries differ: a matcher of vcrpy."""
        _same(self._query(one), self._query(other))

    def body(self, one: Request, other: Request) -> None:
        """Raise if the bodies differ: a matcher of vcrpy, whose own error shows the message too."""
        if self._key(one) != self._key(other):
            raise AssertionError("\n".join(self._diff(one, other)))

    def order(self, request: Request) -> tuple[str, int, str]:
        """Return the key by which recordings are sorted: the address, then the body, short ones first."""
        text = json.dumps(self._key(request), sort_keys=True, default=repr)
        return f"{self._scrubber.uri(request.uri)} {request.method}", len(text), text

    def differences(self, asked: Request, stored: Sequence[Request]) -> tuple[int, list[str]]:
        """Return the number of the recording that is most like a request, counted from 1, and how they differ."""
        lines = self._lines(asked)

        def likeness(index: int) -> tuple[bool, float]:
            one = stored[index]
            same = (one.method, one.host, one.path) == (asked.method, asked.host, asked.path)
            return same, difflib.SequenceMatcher(None, self._lines(one), lines, autojunk=False).ratio()

        nearest = max(range(len(stored)), key=likeness)
        return nearest + 1, self._diff(asked, stored[nearest])

    def _query(self, request: Request) -> list[tuple[str, str]]:
        return sorted((name, self._scrubber.query_value(name, value)) for name, value in request.query)

    def _key(self, request: Request) -> Any:  # noqa: ANN401 - JSON data
        value = _value(request)
        if isinstance(value, dict):
            value = {name: item for name, item in value.items() if name not in self._volatile}
        return self._scrubber.data(value)

    def _lines(self, request: Request) -> list[str]:
        key = self._key(request)
        body = key if isinstance(key, str) else repr(key) if isinstance(key, bytes) else as_yaml(key, sort=True)
        return f"{request.method} {self._scrubber.uri(request.uri)}\n{body}".splitlines()

    def _diff(self, asked: Request, stored: Request) -> list[str]:
        lines = difflib.unified_diff(self._lines(stored), self._lines(asked), "recorded", "asked now", n=1, lineterm="")
        diff = list(lines)
        shown = [_short(line) for line in _aligned(diff[:_LINES])]
        return [*shown, f"... {len(diff) - _LINES} more lines"] if len(diff) > _LINES else shown


def _same(one: object, other: object) -> None:
    if one != other:
        msg = f"{one} != {other}"
        raise AssertionError(msg)


def _aligned(diff: list[str]) -> list[str]:
    """Return a diff in which a long line and the one it became begin shortly before they part."""
    shown = list(diff)
    for at, (old, new) in enumerate(itertools.pairwise(diff)):
        if old[:1] == "-" and new[:1] == "+" and max(len(old), len(new)) > _LENGTH:
            pairs = enumerate(zip(old[1:], new[1:], strict=False))
            start = next((index for index, (left, right) in pairs if left != right), 0) - _CONTEXT
            if start > _CONTEXT:
                shown[at], shown[at + 1] = f"-  ...{old[1 + start :]}", f"+  ...{new[1 + start :]}"
    return shown


def _short(line: str) -> str:
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]}... ({len(line) - _LENGTH} more characters)"


def _value(request: Request) -> Any:  # noqa: ANN401 - JSON data, text or bytes
    body = read_body(request)
    if isinstance(body, bytes | bytearray):
        raw = bytes(body)
        boundary = _BOUNDARY.search(str(request.headers.get("content-type", "")).encode())
        if boundary:  # drawn anew for each request
            raw = raw.replace(boundary[1], b"BOUNDARY")
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            return raw
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body) if body.lstrip()[:1] in ("{", "[") else fields_of(body).get("body", body)
    except (ValueError, RecursionError):
        return body
