"""Errors of our own within a callback: counted, said once each, never raised into the program."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Final, ParamSpec

from langchain_autotrace.capture.status import error_text

_P = ParamSpec("_P")

_logger: Final = logging.getLogger("langchain_autotrace")

STRICT_VARIABLE: Final = "LANGCHAIN_AUTOTRACE_STRICT"
_MAX_SAID: Final = 100


class InternalErrors:
    """Counts them.

    Attributes:
        count: how many there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._said: set[str] = set()

    def note(self, where: str, error: Exception) -> None:
        """Count an error, and log it unless the same was logged before.

        Raises:
            Exception: the error itself, with ``LANGCHAIN_AUTOTRACE_STRICT`` set, as in this package's tests.
        """
        self.count += 1
        text = f"{where}: {error_text(error)}"
        if text not in self._said and len(self._said) < _MAX_SAID:
            self._said.add(text)
            _logger.warning("a trace may be incomplete, please report: %s", text, exc_info=error)
        if os.environ.get(STRICT_VARIABLE):
            raise error


internal_errors: Final = InternalErrors()


def guarded(callback: Callable[_P, None]) -> Callable[_P, None]:
    """A callback whose errors are noted. The callbacks of every run do it themselves, which saves a call."""

    @functools.wraps(callback)
    def guard(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note(callback.__name__, error)

    return guard
