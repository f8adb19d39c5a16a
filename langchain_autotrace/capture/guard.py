"""Keeps this package's own errors out of the user's program: each is counted, and logged once."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Final, ParamSpec

from langchain_autotrace.capture.exceptions import error_text

_P = ParamSpec("_P")

_logger: Final = logging.getLogger("langchain_autotrace")

STRICT_VARIABLE: Final = "LANGCHAIN_AUTOTRACE_STRICT"
_MAX_LOGGED: Final = 100


class InternalErrors:
    """Counts and logs the errors of this package's own code.

    Attributes:
        count: errors so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._said: set[str] = set()

    def note(self, where: str, error: Exception) -> None:
        """Count an error, and log it unless the same error was logged before.

        Raises:
            Exception: ``error`` itself, if ``LANGCHAIN_AUTOTRACE_STRICT`` is set, as in this package's tests.
        """
        self.count += 1
        text = f"{where}: {error_text(error)}"
        if text not in self._said and len(self._said) < _MAX_LOGGED:
            self._said.add(text)
            _logger.warning("internal error, a trace may be incomplete; please report it: %s", text, exc_info=error)
        if os.environ.get(STRICT_VARIABLE):
            raise error


internal_errors: Final = InternalErrors()


def guarded(callback: Callable[_P, None]) -> Callable[_P, None]:
    """Return the callback wrapped so that its errors are noted, not raised.

    The callbacks of every run do this inline, which saves a call.
    """

    @functools.wraps(callback)
    def guard(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - no error of ours may reach the user's program
            internal_errors.note(callback.__name__, error)

    return guard
