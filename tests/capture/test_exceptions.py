"""What capture writes of an exception, whatever that does when it is asked for its text."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt, GraphRecursionError, ParentCommand
from langgraph.types import Command, Interrupt

from langchain_autotrace.capture.exceptions import error_facts, error_text
from langchain_autotrace.redaction import scrub_text
from langchain_autotrace.semconv import CANCELLED, CONTROL_FLOW, PAUSE, STREAM_CLOSED


class MuteError(Exception):
    """Fails when it is asked for its text, with what an ``except Exception`` lets pass."""

    def __str__(self) -> str:
        raise GeneratorExit

    __repr__ = __str__


class OddError(Exception):
    """Answers with what is no text."""

    __str__: Any = lambda _: 7


class HalfError(Exception):
    """Has a text, and a cause that cannot be read."""

    __cause__: Any = property(lambda _: 1 / 0)


class Steered(GraphInterrupt):
    """A user's own kind of interrupt."""


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback and a cause."""
    try:
        try:
            raise KeyError("first")  # noqa: TRY301 - to have a cause
        except KeyError as cause:
            raise error from cause
    except BaseException as caught:  # noqa: BLE001 - any kind
        return caught


group = BaseExceptionGroup("two of them", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])
_EXCEPTION = ["Exception", "BaseException"]
FACTS: list[tuple[BaseException, list[str], str]] = [
    (ValueError("bad"), ["ValueError", *_EXCEPTION], "bad"),
    (ValueError(), ["ValueError", *_EXCEPTION], ""),
    (ValueError("ValueError: x"), ["ValueError", *_EXCEPTION], "ValueError: x"),
    (KeyError("k"), ["KeyError", "LookupError", *_EXCEPTION], "'k'"),
    (TimeoutError("late"), ["TimeoutError", "OSError", *_EXCEPTION], "late"),
    (KeyboardInterrupt(), ["KeyboardInterrupt", "BaseException"], ""),
    (SystemExit(3), ["SystemExit", "BaseException"], "3"),
    (group, ["ExceptionGroup", "BaseExceptionGroup", *_EXCEPTION], "two of them (2 sub-exceptions)"),
    (
        GraphRecursionError("limit"),
        ["langgraph.errors.GraphRecursionError", "RecursionError", "RuntimeError", *_EXCEPTION],
        "limit",
    ),
    (MuteError("x"), [f"{__name__}.MuteError", *_EXCEPTION], ""),
    (OddError("x"), [f"{__name__}.OddError", *_EXCEPTION], ""),
    (asyncio.CancelledError("stop"), ["asyncio.exceptions.CancelledError", "BaseException"], "stop"),
    (
        concurrent.futures.CancelledError(),
        ["concurrent.futures._base.CancelledError", "concurrent.futures._base.Error", *_EXCEPTION],
        "",
    ),
]


@pytest.mark.parametrize(("error", "classes", "message"), FACTS, ids=lambda value: type(value).__name__)
def test_an_exception(error: BaseException, classes: list[str], message: str) -> None:
    """An exception is written with its classes by their full names, its text, and the stack from where it came."""
    facts = error_facts(raised(error))
    stack = facts.pop("stack")
    facts.pop("causes", None)

    assert facts == {"classes": classes, "message": message}
    assert stack.startswith("Traceback (most recent call last):\n")
    assert f'File "{__file__}"' in stack
    assert "in raised" in stack
    assert type(error).__name__ in stack


def test_a_group() -> None:
    """A group is written with the exceptions in it, and in groups within it; the first ten of them."""
    inner = ExceptionGroup("inner", [KeyError("b"), OddError("x")])
    value_error = {"classes": ["ValueError", *_EXCEPTION], "message": "a"}
    causes = [
        value_error,
        {"classes": ["KeyError", "LookupError", *_EXCEPTION], "message": "'b'"},
        {"classes": [f"{__name__}.OddError", *_EXCEPTION], "message": ""},
    ]

    assert error_facts(ExceptionGroup("outer", [ValueError("a"), inner]))["causes"] == causes
    assert error_facts(ExceptionGroup("many", [ValueError("a")] * 12))["causes"] == [value_error] * 10


def test_an_exception_that_was_never_raised() -> None:
    """An exception without a traceback has a stack that only says what it is."""
    assert error_facts(ValueError("bad")) == {
        "classes": ["ValueError", *_EXCEPTION],
        "message": "bad",
        "stack": "ValueError: bad\n",
    }


def test_an_exception_whose_cause_cannot_be_read() -> None:
    """An exception that the standard library cannot format is written with its own frames and its class."""
    facts = error_facts(raised(HalfError("x")))
    first, *_, last = facts.pop("stack").splitlines()

    assert facts == {"classes": [f"{__name__}.HalfError", *_EXCEPTION], "message": "x"}
    assert first.startswith(f'  File "{__file__}"')
    assert first.endswith("in raised")
    assert last == "HalfError"


def test_causes_notes_and_members_of_a_group() -> None:
    """A stack has the exception's causes, its notes, and the exceptions of a group."""
    error = raised(ValueError("bad"))
    error.add_note("a note")

    stack = error_facts(error)["stack"]
    assert "KeyError: 'first'" in stack
    assert "direct cause" in stack
    assert stack.endswith("ValueError: bad\na note\n")
    assert "KeyError: 'b'" in error_facts(group)["stack"]


@pytest.mark.parametrize(
    "error",
    [
        GeneratorExit(),
        GraphBubbleUp(),
        GraphDrained(),
        GraphInterrupt([Interrupt("why?", id="1")]),
        Steered(),
        ParentCommand(Command(goto="x")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_that_steers(error: BaseException) -> None:
    """What steers a graph or closes a stream is written without a stack."""
    facts = error_facts(raised(error))

    assert facts.keys() == {"classes", "message"}
    assert facts["message"] == str(error)


def test_the_names_of_langgraph_s_control_flow() -> None:
    """LangGraph's exceptions are of the classes that ``semconv`` names, and a program's own extend them."""
    steering = [GraphBubbleUp(), GraphDrained(), ParentCommand(Command()), GraphInterrupt(()), Steered()]
    classes = [error_facts(error)["classes"] for error in steering]

    assert [CONTROL_FLOW in names for names in classes] == [True] * 5
    assert [PAUSE in names for names in classes] == [False] * 3 + [True] * 2
    assert CONTROL_FLOW not in error_facts(GraphRecursionError())["classes"]
    assert CONTROL_FLOW not in error_facts(ExceptionGroup("g", [GraphInterrupt(())]))["classes"]


def test_the_name_of_a_closed_generator() -> None:
    """What a generator gets when it is closed is of the class that ``semconv`` names."""
    seen: list[BaseException] = []

    def numbers() -> Any:
        try:
            yield 1
        except GeneratorExit as error:
            seen.append(error)
            raise

    generator = numbers()
    next(generator)
    generator.close()

    assert error_facts(seen[0]) == {"classes": [STREAM_CLOSED, "BaseException"], "message": ""}


def test_the_names_of_cancellation() -> None:
    """A cancelled task and a cancelled future raise what ``semconv`` names; a task that takes too long does not."""

    async def cancelled() -> None:
        task = asyncio.ensure_future(asyncio.sleep(600))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    async def late() -> None:
        await asyncio.wait_for(asyncio.sleep(600), 0.001)

    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.cancel()

    assert [classes_raised(call)[0] in CANCELLED for call in (lambda: asyncio.run(cancelled()), future.result)] == [
        True,
        True,
    ]
    assert CANCELLED.isdisjoint(classes_raised(lambda: asyncio.run(late())))
    assert len(CANCELLED) == 2


def classes_raised(call: Callable[[], object]) -> list[str]:
    """The classes of what the call raises."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - any kind
        return error_facts(error)["classes"]
    raise AssertionError("nothing was raised")


def test_the_text_of_an_exception() -> None:
    """An exception's text has its type before it, and is the type alone where there is no other."""
    errors = [ValueError("bad"), ValueError(), KeyError("k"), MuteError("x"), OddError("x")]

    assert [error_text(error) for error in errors] == [
        "ValueError: bad",
        "ValueError",
        "KeyError: 'k'",
        "MuteError",
        "OddError",
    ]


@pytest.mark.parametrize("ask", [error_facts, error_text])
def test_ctrl_c_while_an_exception_is_asked_for_its_text(ask: Callable[[BaseException], object]) -> None:
    """Ctrl-C while an exception is asked for its text is not swallowed."""

    class StoppingError(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(StoppingError())


@pytest.mark.parametrize("form", ["{key}{key}", "{key}\n", "x {key} ", "word\n"])
def test_a_long_stack(form: str) -> None:
    """A long stack keeps its beginning and its end in whole lines, and no half of a secret."""
    key = "sk" + "-proj-" + "aB3dE5gH7jK9" * 9
    stack = error_facts(raised(ValueError(form.format(key=key) * 15_000)))["stack"]

    assert len(stack) < 50_100
    assert stack.startswith("Traceback (most recent call last):\n")
    assert "in raised" in stack
    assert "… [cut, " in stack
    assert key[:12] not in scrub_text(stack)
