"""How long tests wait for what other threads, processes and servers do: no machine is too slow, and nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 300.0
"""Seconds after which a test gives up. No limit is close to what a step takes, so that none says how fast a machine is.
"""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
