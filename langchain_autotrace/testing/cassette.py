"""A cassette that answers threads right, explains a miss, and is written only when all went well."""

from __future__ import annotations

import copy
import os
import shlex
import threading
from types import TracebackType
from typing import Any, Final, NamedTuple

from vcr.cassette import Cassette, CassetteContextDecorator
from vcr.matchers import requests_match
from vcr.record_mode import RecordMode
from vcr.request import Request

from langchain_autotrace.errors import SecretsFound
from langchain_autotrace.testing import gate
from langchain_autotrace.testing.matching import Matcher
from langchain_autotrace.testing.scrubbing import Scrubber
from langchain_autotrace.testing.secret_scan import SecretScan

_PAIR = tuple[Request, dict[str, Any]]
_LONGEST: Final = 300


class MissedRequest(BaseException):
    """A request has no recorded answer. No ``Exception``: no client retries it, no agent answers it."""


class Kit(NamedTuple):
    """What cassettes work with."""

    scrubber: Scrubber
    matcher: Matcher
    scan: SecretScan


class KitCassette(Cassette):  # type: ignore[misc] # vcrpy is not typed
    """A cassette of vcrpy from which several threads can read.

    Attributes:
        misses: the message of each request that no recording answered.
        failed: whether the test failed; then nothing is written.
        refusal: why it was not written although the test passed; None if it was.
        kit: what it works with.
    """

    def __init__(self, *args: Any, kit: Kit, **options: Any) -> None:  # noqa: ANN401 - vcrpy's
        super().__init__(*args, **options)
        self.kit = kit
        self.misses: list[str] = []
        self.failed = False
        self.refusal: SecretsFound | None = None
        self._lock = threading.RLock()
        self._claims: dict[int, tuple[Request, int]] = {}
        """By the id of a request: the request, which keeps the id its own, and the index of its recording."""
        self._from_file = 0
        gate.install()

    @classmethod
    def use_arg_getter(cls, arg_getter: Any) -> KitContext:  # noqa: ANN401 - vcrpy's
        """Return the context manager that opens a cassette."""
        return KitContext(cls, arg_getter)

    def _load(self) -> None:
        super()._load()
        self._from_file = len(self.data)
        self.kit.scan.note_environment()

    @property
    def recorded(self) -> int:
        """Number of answers that came from the network in this run."""
        return len(self.data) - self._from_file

    def append(self, request: Request, response: dict[str, Any]) -> None:
        """Add an answer that came from the network, or from the file."""
        with self._lock:
            self.kit.scan.note_environment()
            super().append(request, response)

    def can_play_response_for(self, request: Request) -> bool:
        """Claim the next recording for this very request, so that no other thread is given the same.

        Raises:
            MissedRequest: there is none, and nothing may be recorded.
        """
        with self._lock:
            if id(request) in self._claims:
                return True
            asked = self._before_record_request(request)
            if not asked:
                return False  # passes by
            if self.record_mode != RecordMode.ALL:
                index = self._next(asked)
                if index is not None:
                    self._claims[id(request)] = (request, index)
                    self.play_counts[index] += 1
                    return True
            if not self.write_protected:
                return False
            self.misses.append(self._explain(asked))
            raise MissedRequest(self.misses[-1])

    def play_response(self, request: Request) -> dict[str, Any]:
        """Return the answer that was claimed for a request."""
        with self._lock:
            if id(request) not in self._claims:
                self.can_play_response_for(request)
            _, index = self._claims.pop(id(request))
            return copy.deepcopy(self.data[index][1])  # vcrpy's stub deletes headers of what it is given

    def _next(self, asked: Request) -> int | None:
        """Return the first recording that was not played, else the last one, where that may be repeated."""
        last = None
        for index in range(self._from_file):  # never an answer of this very run
            if requests_match(asked, self.data[index][0], self._match_on):
                if not self.play_counts[index]:
                    return index
                last = index
        return last if self.allow_playback_repeats else None

    def unused(self) -> list[str]:
        """Return a line for each recording that was not asked for."""
        return [
            f"{index + 1}. {request.method} {self.kit.scrubber.uri(request.uri)}"
            for index, (request, _) in enumerate(self.data[: self._from_file])
            if not self.play_counts[index]
        ]

    def _save(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - vcrpy's
        """Write the file; vcrpy must not see an exception here, for it would leave its patches in place."""
        pairs = self._kept()
        if self.failed or self.misses or not (self.recorded or len(pairs) < len(self.data) or force):
            return
        try:
            self._write(pairs)
        except SecretsFound as error:
            self.refusal = error

    def _kept(self) -> list[_PAIR]:
        """Return what belongs into the file: the new answers alone when all are recorded anew."""
        if self.record_mode == RecordMode.ALL and self.recorded:
            return list(self.data[self._from_file :])
        if not self.drop_unused_requests:
            return list(self.data)
        return [pair for index, pair in enumerate(self.data) if self.play_counts[index] or index >= self._from_file]

    def _write(self, pairs: list[_PAIR]) -> None:
        clean = [self.kit.scrubber.scrubbed(request, response) for request, response in pairs]
        clean.sort(key=lambda pair: self.kit.matcher.order(pair[0]))
        self.kit.scan.refuse(clean)
        content = {"requests": [request for request, _ in clean], "responses": [response for _, response in clean]}
        if hasattr(self, "_persist"):  # vcrpy 9: with the user's hooks
            self._persist(content)
        else:
            self._persister.save_cassette(self._path, content, serializer=self._serializer)
        self.dirty = False

    def _explain(self, asked: Request) -> str:
        stored = [request for request, _ in self.data[: self._from_file]]
        equal = sum(requests_match(asked, request, self._match_on) for request in stored)
        lines = [f"No recorded answer for {asked.method} {self.kit.scrubber.uri(asked.uri)[:_LONGEST]}"]
        lines.append(f"  cassette: {os.path.relpath(self._path)}")
        if not stored:
            lines[1] += "  (has no recordings)" if os.path.exists(self._path) else "  (does not exist)"  # noqa: PTH110 - a text of vcrpy's
        elif equal:
            lines.append(f"  it was recorded {equal} time{'s' if equal > 1 else ''}, and is asked for once more")
        else:
            number, diff = self.kit.matcher.differences(asked, stored)
            lines += [f"  nearest: recording {number} of {len(stored)}", "", *(f"  {line}" for line in diff), ""]
        return "\n".join([*lines, f"  If this is meant, record anew:  {_command()}"])


class KitContext(CassetteContextDecorator):  # type: ignore[misc] # vcrpy is not typed
    """Opens and closes a cassette; raises what kept it from being written when vcrpy's patches are gone."""

    def __enter__(self) -> KitCassette:
        opened: KitCassette = super().__enter__()
        self.cassette = opened
        return opened

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if self.cassette.refusal is not None and error is None:
            raise self.cassette.refusal


def _command() -> str:
    """Return how to record anew."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if test:
        return f"pytest {shlex.quote(test)} --record-mode=rewrite"
    return 'use_cassette(..., record_mode="rewrite")'
