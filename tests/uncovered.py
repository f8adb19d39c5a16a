"""What coverage need not look at: it doubles the time that others' lines take, and counts this package's alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unseen() -> Iterator[None]:
    """Keep coverage from looking at what this thread does meanwhile, which is none of this package's."""
    eyes = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(eyes)


def unmeasured() -> dict[str, str]:
    """The environment, for processes whose lines need not be counted: they are killed, or others run the same lines."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
