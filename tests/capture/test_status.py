"""Each way to leave a run has one status, whatever the exception does when it is asked for its text."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any

import pytest
from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt, GraphRecursionError, ParentCommand
from langgraph.types import Command, Interrupt

from langchain_autotrace.capture.redact import scrub_text
from langchain_autotrace.capture.status import Ending, ending, error_text, exception_attributes
from langchain_autotrace.span import Outcome


class MuteError(Exception):
    """Fails when it is asked for its text, with what an ``except Exception`` lets pass."""

    def __str__(self) -> str:
        raise GeneratorExit

    __repr__ = __str__


class OddError(Exception):
    """Answers with what is no text."""

    __str__: Any = lambda _: 7


class Steered(GraphInterrupt):
    """A user's own kind of interrupt."""


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback, a cause and a context."""
    try:
        try:
            raise KeyError("first")  # noqa: TRY301 - to have a cause
        except KeyError as cause:
            raise error from cause
    except BaseException as caught:  # noqa: BLE001 - any kind
        return caught


group = BaseExceptionGroup("two of them", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])
ENDINGS: list[tuple[BaseException, Ending]] = [
    (ValueError("bad"), Ending("ERROR", None, "ValueError: bad")),
    (ValueError(), Ending("ERROR", None, "ValueError")),
    (KeyError("k"), Ending("ERROR", None, "KeyError: 'k'")),
    (TimeoutError("late"), Ending("ERROR", None, "TimeoutError: late")),
    (KeyboardInterrupt(), Ending("ERROR", None, "KeyboardInterrupt")),
    (SystemExit(3), Ending("ERROR", None, "SystemExit: 3")),
    (StopIteration(1), Ending("ERROR", None, "StopIteration: 1")),
    (MuteError("x"), Ending("ERROR", None, "MuteError")),
    (OddError("x"), Ending("ERROR", None, "OddError")),
    (group, Ending("ERROR", None, "ExceptionGroup: two of them (2 sub-exceptions)")),
    (GraphRecursionError("limit"), Ending("ERROR", None, "GraphRecursionError: limit")),
    (ExceptionGroup("g", [GraphInterrupt(())]), Ending("ERROR", None, "ExceptionGroup: g (1 sub-exception)")),
    (asyncio.CancelledError("stop"), Ending("ERROR", Outcome.CANCELLED, "CancelledError: stop")),
    (concurrent.futures.CancelledError(), Ending("ERROR", Outcome.CANCELLED, "CancelledError")),
    (GeneratorExit(), Ending("OK", Outcome.ABANDONED, "")),
    (GraphInterrupt([Interrupt("why?", id="1")]), Ending("OK", Outcome.INTERRUPTED, "", paused=True)),
    (Steered(), Ending("OK", Outcome.INTERRUPTED, "", paused=True)),
    (GraphBubbleUp(), Ending("OK", Outcome.INTERRUPTED, "")),
    (GraphDrained(), Ending("OK", Outcome.INTERRUPTED, "")),
    (ParentCommand(Command(goto="x")), Ending("OK", Outcome.INTERRUPTED, "")),
]


@pytest.mark.parametrize(("error", "expected"), ENDINGS, ids=lambda value: type(value).__name__)
def test_endings(error: BaseException, expected: Ending) -> None:
    """An exception gives the run it leaves one status, raised or not, with its causes or without."""
    assert ending(error) == ending(raised(error)) == expected


def test_tasks() -> None:
    """A task that is cancelled, and one that takes too long, are told apart."""

    async def cancelled() -> None:
        task = asyncio.ensure_future(_forever())
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    with pytest.raises(asyncio.CancelledError) as stopped:
        asyncio.run(cancelled())
    with pytest.raises(asyncio.TimeoutError) as late:
        asyncio.run(asyncio.wait_for(_forever(), 0.001))
    assert ending(stopped.value) == Ending("ERROR", Outcome.CANCELLED, "CancelledError")
    assert ending(late.value) == Ending("ERROR", None, "TimeoutError")


async def _forever() -> None:
    await asyncio.sleep(60)


def test_attributes() -> None:
    """An exception event has the exception's type, text and stack, its causes, notes and sub-exceptions included."""
    error = raised(ValueError("bad"))
    error.add_note("a note")
    found = exception_attributes(error)
    stack = found.pop("exception.stacktrace")
    assert found == {"exception.type": "ValueError", "exception.message": "bad"}
    for part in ("KeyError: 'first'", "direct cause", f'File "{__file__}"', "ValueError: bad\na note\n"):
        assert part in stack
    assert "KeyError: 'b'" in exception_attributes(group)["exception.stacktrace"]
    assert exception_attributes(ValueError())["exception.message"] == ""
    assert exception_attributes(ValueError("ValueError: x"))["exception.message"] == "ValueError: x"


@pytest.mark.parametrize("kind", [MuteError, OddError])
def test_attributes_of_an_odd_exception(kind: type[Exception]) -> None:
    """An exception that has no text has its type and its stack."""
    found = exception_attributes(raised(kind("x")))
    assert found["exception.type"] == f"{__name__}.{kind.__name__}"
    assert found["exception.message"] == ""
    assert "in raised" in found["exception.stacktrace"]
    assert kind.__name__ in found["exception.stacktrace"]
    assert error_text(kind("x")) == kind.__name__


def test_a_stop_passes() -> None:
    """Ctrl-C while an exception is asked for its text is not swallowed."""

    class StoppingError(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    for ask in (ending, error_text, exception_attributes):
        with pytest.raises(KeyboardInterrupt):
            ask(StoppingError())


def test_a_long_stack() -> None:
    """A long stack keeps its beginning and its end in whole lines, and no half of a secret."""
    key = "sk" + "-proj-" + "aB3dE5gH7jK9" * 9
    for text in (key * 9_000, f"{key}\n" * 9_000, f"x {key} " * 9_000, "word\n" * 90_000):
        stack = exception_attributes(raised(ValueError(text)))["exception.stacktrace"]
        assert len(stack) < 50_100
        assert stack.startswith("Traceback (most recent call last):\n")
        assert "in raised" in stack
        assert "… [cut, " in stack
        assert key[:12] not in scrub_text(stack)
