"""Report a write to the store that takes long, while it does: it may wait for a lock, or for an answer, for minutes."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SLOW_SECONDS: Final = 1.0


class SlowWrite:
    """The write that a shipper is waiting in.

    Attributes:
        since: when a write began that takes long, in seconds since the Unix epoch; None while there is none.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        """Call ``report`` from another thread when a write takes long, and in the same thread when it has ended."""
        self.since: float | None = None
        self._report = report
        self._lock = threading.Lock()
        self._running: float | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the write in the block."""
        self._running = time.time()
        timer = threading.Timer(_SLOW_SECONDS, self._on_slow, [self._running])
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no more threads now
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._on_end()

    def _on_slow(self, began: float) -> None:
        with self._lock:  # so that no write is reported that has ended meanwhile
            if self._running == began:
                self.since = began
                self._report()

    def _on_end(self) -> None:
        with self._lock:
            self._running = None
            was_slow, self.since = self.since is not None, None
        if was_slow:
            self._report()
