"""Each way to leave a run has one status, for every kind of span."""

from __future__ import annotations

from typing import Any, Final

import pytest

from langchain_autotrace.records import TraceRecord
from langchain_autotrace.semconv import Outcome, Status
from langchain_autotrace.trace.endings import LOST, RETURNED, Ending, closed_streams, ending_of_error, endings
from tests.trace.support import CANCELLED, CLOSED, PAUSED, STEERED, end, error, failed, span_id, start

WAS_PAUSED: Final = Ending(Status.OK, Outcome.INTERRUPTED, is_pause=True)
WAS_STEERED: Final = Ending(Status.OK, Outcome.INTERRUPTED)
WAS_CLOSED: Final = Ending(Status.OK, Outcome.ABANDONED)
WAS_CANCELLED: Final = Ending(Status.ERROR, Outcome.CANCELLED, "CancelledError")

ERRORS: Final[dict[str, tuple[dict[str, Any], Ending]]] = {
    "an exception": (error("ValueError", message="bad"), Ending(Status.ERROR, None, "ValueError: bad")),
    "one without a text": (error("ValueError"), Ending(Status.ERROR, None, "ValueError")),
    "one whose text is not captured": (
        {"classes": ["KeyError", "LookupError", "Exception", "BaseException"]},
        Ending(Status.ERROR, None, "KeyError"),
    ),
    "one of a module": (error("shop.errors.NoRowError", message="7"), Ending(Status.ERROR, None, "NoRowError: 7")),
    "one of a class within a function": (
        error("shop.run.<locals>.NoRowError", message="7"),
        Ending(Status.ERROR, None, "NoRowError: 7"),
    ),
    "a timeout": (error("TimeoutError", "OSError", message="late"), Ending(Status.ERROR, None, "TimeoutError: late")),
    "Ctrl-C": (
        {"classes": ["KeyboardInterrupt", "BaseException"], "message": ""},
        Ending(Status.ERROR, None, "KeyboardInterrupt"),
    ),
    "the program's exit": (
        {"classes": ["SystemExit", "BaseException"], "message": "3"},
        Ending(Status.ERROR, None, "SystemExit: 3"),
    ),
    "a group": (
        error("ExceptionGroup", "BaseExceptionGroup", message="two of them (2 sub-exceptions)"),
        Ending(Status.ERROR, None, "ExceptionGroup: two of them (2 sub-exceptions)"),
    ),
    "a group with its causes": (
        {
            **error("ExceptionGroup", message="unhandled errors in a TaskGroup (3 sub-exceptions)"),
            "causes": [error("ValueError", message="a\n b"), error("shop.Full"), error("shop.Full")],
        },
        Ending(
            Status.ERROR,
            None,
            "ExceptionGroup: unhandled errors in a TaskGroup (3 sub-exceptions): ValueError: a b; Full",
        ),
    ),
    "a group of many and long causes": (
        {
            **error("ExceptionGroup", message="g"),
            "causes": [error("E", message=letter * 300) for letter in "abcdefg"],
        },
        Ending(
            Status.ERROR,
            None,
            f"ExceptionGroup: g: {'; '.join(f'E: {letter * 197}…' for letter in 'abcde')}; … (2 more)",
        ),
    ),
    "a group without content": (
        {"classes": ["ExceptionGroup"], "causes": [{"classes": ["shop.Full"]}]},
        Ending(Status.ERROR, None, "ExceptionGroup: Full"),
    ),
    "LangGraph's limit of steps": (
        error("langgraph.errors.GraphRecursionError", "RecursionError", "RuntimeError", message="limit"),
        Ending(Status.ERROR, None, "GraphRecursionError: limit"),
    ),
    "a cancelled task": (CANCELLED, WAS_CANCELLED),
    "a cancelled task with a reason": (
        {**CANCELLED, "message": "stop"},
        Ending(Status.ERROR, Outcome.CANCELLED, "CancelledError: stop"),
    ),
    **{
        f"a task cancelled by {name}": ({**CANCELLED, "message": text}, Ending(Status.ERROR, Outcome.CANCELLED, shown))
        for name, text, shown in (
            (
                "a task",
                f"<Task pending name='Task-1' coro=<main() running at /app/program.py:7> {'x' * 300}",
                "cancelled",
            ),
            ("a scope", "Cancelled by cancel scope 7f0a1c2b3d40", "cancelled"),
            ("a scope of a task", "Cancelled via cancel scope 7f0a by <Task pending name='a' coro=<f()>>", "cancelled"),
            (
                "a timeout",
                "Cancelled via cancel scope 7f0a; reason: deadline exceeded",
                "CancelledError: deadline exceeded",
            ),
            ("an object", "stopped by <shop.Server object at 0x7f0a>", "cancelled"),
            ("a person", "the user left <early>", "CancelledError: the user left <early>"),
            ("a person at length", "ab" * 200, f"CancelledError: {'ab' * 100}…"),
        )
    },
    "a cancelled future": (
        error("concurrent.futures._base.CancelledError", "concurrent.futures._base.Error"),
        WAS_CANCELLED,
    ),
    "a program's own kind of cancellation": (
        {"classes": ["shop.Stopped", *CANCELLED["classes"]], "message": ""},
        Ending(Status.ERROR, Outcome.CANCELLED, "Stopped"),
    ),
    "a closed stream": (CLOSED, WAS_CLOSED),
    "an interrupted graph": (PAUSED, WAS_PAUSED),
    "an interrupt of a program's own kind": (
        {"classes": ["shop.Ask", *PAUSED["classes"]], "message": "()"},
        WAS_PAUSED,
    ),
    "a command to another graph": (STEERED, WAS_STEERED),
    "a process that died": (dict(LOST), Ending(Status.ERROR, Outcome.LOST, LOST["message"])),
}


@pytest.mark.parametrize(("facts", "expected"), ERRORS.values(), ids=ERRORS)
def test_an_exception(facts: dict[str, Any], expected: Ending) -> None:
    """An exception gives the run that it leaves one status, by its classes."""
    assert ending_of_error(facts) == expected


def ended(*records: TraceRecord) -> dict[int, Ending]:
    """How the spans ended, by their numbers."""
    return {int(number, 16): ending for number, ending in endings(records).items()}


IN_CLOSED: Final[Any] = {"in_closed_stream": True}
"""Details of a span whose stream was delivered before, as a closed one."""


def test_a_trace_that_returned() -> None:
    """A span that returned is OK, also below one that raised; one that has not ended has no ending."""
    records: list[TraceRecord] = [
        start(1, 1),
        start(1, 2, 1),
        start(1, 3, 1),
        end(1, 2),
        failed(1, 1, error("ValueError")),
    ]

    assert ended(*records) == {2: RETURNED, 1: Ending(Status.ERROR, None, "ValueError")}


def test_an_error_that_was_handled() -> None:
    """A span that handles the error of one below it is OK."""
    records: list[TraceRecord] = [
        start(1, 1),
        start(1, 2, 1),
        failed(1, 2, error("ValueError", message="no")),
        end(1, 1),
    ]

    assert ended(*records) == {2: Ending(Status.ERROR, None, "ValueError: no"), 1: RETURNED}


def test_an_interrupted_graph() -> None:
    """A graph that is interrupted returns to its caller, and is "interrupted" as its node is; other nodes are not."""
    records: list[TraceRecord] = [
        *(start(1, 1), start(1, 2, 1), end(1, 2)),
        *(start(1, 3, 1), start(1, 4, 3), start(1, 5, 4), failed(1, 5, PAUSED), end(1, 4), failed(1, 3, PAUSED)),
        end(1, 1),
    ]

    assert ended(*records) == {2: RETURNED, 5: WAS_PAUSED, 4: WAS_PAUSED, 3: WAS_PAUSED, 1: WAS_PAUSED}


def test_an_interrupted_graph_whose_caller_fails() -> None:
    """A run that raises is an error, whatever was interrupted below it."""
    records: list[TraceRecord] = [start(1, 1), start(1, 2, 1), failed(1, 2, PAUSED), failed(1, 1, error("ValueError"))]

    assert ended(*records) == {2: WAS_PAUSED, 1: Ending(Status.ERROR, None, "ValueError")}


def test_a_graph_that_hands_over() -> None:
    """A command to the graph above leaves the graph below as "interrupted", and the one above as OK."""
    records: list[TraceRecord] = [
        *(start(1, 1), start(1, 2, 1), start(1, 3, 2)),
        *(failed(1, 3, STEERED), failed(1, 2, STEERED), start(1, 4, 1), end(1, 4), end(1, 1)),
    ]

    assert ended(*records) == {3: WAS_STEERED, 2: WAS_STEERED, 4: RETURNED, 1: RETURNED}


def test_a_stream_that_its_consumer_closed() -> None:
    """A synchronous stream that ends before the steps that feed it was closed, and these with it."""
    records: list[TraceRecord] = [
        *(start(1, 1, inputs=None), start(1, 2, 1, inputs=None), end(1, 2, inputs=["q"])),
        *(start(1, 3, 1), start(1, 4, 1, inputs=None)),
        *(end(1, 1, inputs=["q"]), end(1, 4, inputs=["s"]), failed(1, 3, CLOSED)),
    ]

    assert ended(*records) == {2: RETURNED, 1: WAS_CLOSED, 4: WAS_CLOSED, 3: WAS_CLOSED}


def test_a_stream_that_was_read_to_its_end() -> None:
    """A stream that ends after all the steps that feed it returned."""
    records: list[TraceRecord] = [
        *(start(1, 1, inputs=None), start(1, 2, 1, inputs=None), end(1, 2, inputs=["q"]), end(1, 1, inputs=["q"])),
    ]

    assert ended(*records) == {2: RETURNED, 1: RETURNED}


def test_a_start_that_came_twice() -> None:
    """A span whose start came again, with its inputs, is one span that is open."""
    records: list[TraceRecord] = [
        *(start(1, 1, inputs=None), start(1, 2, 1, inputs=None), start(1, 2, 1, inputs=["q"]), end(1, 2)),
        end(1, 1, inputs=["q"]),
    ]

    assert ended(*records) == {2: RETURNED, 1: RETURNED}


def test_a_run_that_returns_before_its_task() -> None:
    """A run that is no stream returned, although a task that it has started goes on."""
    assert ended(start(1, 1), start(1, 2, 1), end(1, 1), end(1, 2)) == {1: RETURNED, 2: RETURNED}


def test_an_mlflow_span_that_ends_before_those_below() -> None:
    """A span of MLflow's own API, whose inputs may come with its end, is no stream that was closed."""
    records: list[TraceRecord] = [
        start(1, 1, kind="span"),
        start(1, 2, 1),
        end(1, 1, inputs=["q"], status="OK"),
        end(1, 2),
    ]

    assert ended(*records) == {1: RETURNED, 2: RETURNED}


@pytest.mark.parametrize("is_late", [False, True], ids=["before its root", "after its root"])
def test_a_task_that_closing_a_stream_cancelled(*, is_late: bool) -> None:
    """What closing a stream cancels at any depth below it is no error, whenever it ends; other errors are."""
    cancelled, root = failed(1, 3, CANCELLED), failed(1, 1, CLOSED)
    records: list[TraceRecord] = [
        *(start(1, 1), start(1, 2, 1), start(1, 3, 2), start(1, 4, 1)),
        failed(1, 4, error("ValueError", message="no")),
        *([root, cancelled] if is_late else [cancelled, root]),
        failed(1, 2, CANCELLED),
    ]

    assert ended(*records) == {
        4: Ending(Status.ERROR, None, "ValueError: no"),
        1: WAS_CLOSED,
        3: WAS_CLOSED,
        2: WAS_CLOSED,
    }


@pytest.mark.parametrize(
    ("root", "expected"), [(end(1, 1), RETURNED), (failed(1, 1, CANCELLED), WAS_CANCELLED)], ids=["OK", "cancelled"]
)
def test_a_task_that_was_cancelled(root: TraceRecord, expected: Ending) -> None:
    """What was cancelled below a root that no consumer has closed is an error."""
    assert ended(start(1, 1), start(1, 2, 1), failed(1, 2, CANCELLED), root) == {2: WAS_CANCELLED, 1: expected}


def test_a_closed_stream_beside_a_cancelled_task() -> None:
    """Closing one stream does not excuse what was cancelled beside it."""
    records: list[TraceRecord] = [
        *(start(1, 1), start(1, 2, 1), start(1, 3, 2), start(1, 4, 1)),
        *(failed(1, 3, CANCELLED), failed(1, 2, CLOSED), failed(1, 4, CANCELLED), end(1, 1)),
    ]

    assert ended(*records) == {3: WAS_CLOSED, 2: WAS_CLOSED, 4: WAS_CANCELLED, 1: RETURNED}


def test_late_spans_below_a_stream_that_was_closed() -> None:
    """Spans that end after their trace was delivered are judged by the streams that were closed in it."""
    records: list[TraceRecord] = [
        *(start(1, 2, 1, inputs=None, **IN_CLOSED), start(1, 3, 1, **IN_CLOSED), start(1, 4, 9)),
        *(end(1, 2, inputs=["q"]), failed(1, 3, CANCELLED), failed(1, 4, CANCELLED)),
    ]

    assert ended(*records) == {2: WAS_CLOSED, 3: WAS_CLOSED, 4: WAS_CANCELLED}


def test_late_spans_of_a_trace_that_was_not_closed() -> None:
    """Spans that end after their trace was delivered are judged alone where no stream was closed."""
    records: list[TraceRecord] = [
        start(1, 2, 1, inputs=None),
        start(1, 3, 1),
        end(1, 2, inputs=["q"]),
        failed(1, 3, CANCELLED),
    ]

    assert ended(*records) == {2: RETURNED, 3: WAS_CANCELLED}


def test_the_streams_that_were_closed() -> None:
    """The ids of closed streams go on to the spans below them, and to those of the streams that were closed before."""
    records: list[TraceRecord] = [
        *(start(1, 1, inputs=None), start(1, 2, 1), start(1, 3, 2), start(1, 4), end(1, 4)),
        *(start(1, 5, 9, **IN_CLOSED), start(1, 6, 5), start(1, 7, 8), end(1, 1, inputs=["q"])),
    ]

    assert closed_streams(records) == set(map(span_id, (1, 2, 3, 5, 6)))


TOOL_ERROR: Final = {"type": "tool", "content": "no such row", "tool_call_id": "c1", "status": "error"}


@pytest.mark.parametrize(
    ("output", "details", "message"),
    [
        (TOOL_ERROR, {}, "no such row"),
        ({**TOOL_ERROR, "content": ""}, {}, ""),
        ({**TOOL_ERROR, "content": [{"type": "text", "text": "no"}]}, {}, "no"),
        ({**TOOL_ERROR, "status": "[hidden]"}, {"facts": {"type": "tool", "status": "error"}}, "no such row"),
        ("[hidden]", {"facts": {"type": "tool", "status": "error"}}, ""),
    ],
    ids=["a text", "nothing", "blocks", "a status that the hook hid", "all that the hook hid"],
)
def test_a_tool_that_answers_with_an_error(output: Any, details: dict[str, Any], message: str) -> None:
    """A tool that answers with a message of status "error" is an error with its text, and its caller is not."""
    records: list[TraceRecord] = [
        start(1, 1),
        start(1, 2, 1, kind="tool"),
        end(1, 2, outputs=[output], **details),
        end(1, 1),
    ]

    assert ended(*records) == {2: Ending(Status.ERROR, None, message), 1: RETURNED}


def test_a_tool_whose_answer_is_not_captured() -> None:
    """A tool that answers with an error is an error without content too."""
    records: list[TraceRecord] = [
        start(1, 1, kind="tool"),
        end(1, 1, outputs=None, facts={"type": "tool", "status": "error"}),
    ]

    assert ended(*records) == {1: Ending(Status.ERROR, None, "")}


def test_a_tool_that_answers_with_an_error_in_a_command() -> None:
    """A tool that answers with a ``Command`` that holds a message of status "error" is an error with its text."""
    command: dict[str, Any] = {"graph": None, "update": {"messages": [TOOL_ERROR]}, "resume": None, "goto": []}
    records: list[TraceRecord] = [start(1, 1), start(1, 2, 1, kind="tool"), end(1, 2, outputs=[command]), end(1, 1)]

    assert ended(*records) == {2: Ending(Status.ERROR, None, "no such row"), 1: RETURNED}


@pytest.mark.parametrize(
    "output",
    [{**TOOL_ERROR, "status": "success"}, {"type": "tool", "content": "3"}, {"status": "error"}, "error", None],
    ids=str,
)
def test_a_tool_that_answers(output: Any) -> None:
    """A tool that answers with anything else is OK."""
    assert ended(start(1, 1, kind="tool"), end(1, 1, outputs=[output])) == {1: RETURNED}


def test_a_chain_that_returns_a_tool_s_error() -> None:
    """A chain that returns a tool's message of status "error" is OK: the error is that of the tool alone."""
    assert ended(start(1, 1), end(1, 1, outputs=[TOOL_ERROR])) == {1: RETURNED}


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"status": "OK", "message": ""}, RETURNED),
        ({"status": "ERROR", "message": "ValueError: bad"}, Ending(Status.ERROR, None, "ValueError: bad")),
        ({"status": "ERROR"}, Ending(Status.ERROR, None, "")),
        ({}, RETURNED),
    ],
    ids=["OK", "ERROR", "ERROR without a text", "not set"],
)
def test_a_span_of_mlflow_s_own_api(details: dict[str, Any], expected: Ending) -> None:
    """A span of MLflow's own API has the status that MLflow has given it."""
    assert ended(start(1, 1, kind="span"), end(1, 1, **details)) == {1: expected}


def changes(**given: Any) -> dict[str, Any]:
    """What the program has set on a run through MLflow's API."""
    return {"attributes": {}, "status": None, "message": "", "inputs": None, "outputs": None, **given}


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (end(1, 1, changes=changes()), RETURNED),
        (end(1, 1, changes=changes(status="OK")), RETURNED),
        (end(1, 1, changes=changes(status="ERROR", message="too few")), Ending(Status.ERROR, None, "too few")),
        (failed(1, 1, PAUSED, changes=changes(status="ERROR", message="m")), WAS_PAUSED._replace(
            status=Status.ERROR, message="m")),
        (
            failed(1, 1, error("ValueError"), changes=changes(status="OK")),
            Ending(Status.ERROR, None, "ValueError"),
        ),
        (
            failed(1, 1, error("ValueError"), changes=changes(status="ERROR", message="m")),
            Ending(Status.ERROR, None, "ValueError"),
        ),
    ],
    ids=["none", "OK", "ERROR", "ERROR on an interrupted run", "OK on a failed run", "ERROR on a failed run"],
)  # fmt: skip
def test_a_status_that_the_program_has_set(ending: TraceRecord, expected: Ending) -> None:
    """An error that the program sets on its run through MLflow's API counts, and what the run raised counts more."""
    assert ended(start(1, 1), ending) == {1: expected}


def test_an_error_set_on_a_stream_that_was_closed() -> None:
    """A stream that was closed, and which the program has called an error, is an error."""
    records: list[TraceRecord] = [
        *(start(1, 1, inputs=None), start(1, 2, 1)),
        end(1, 1, inputs=["q"], changes=changes(status="ERROR", message="m")),
        end(1, 2),
    ]

    assert ended(*records) == {1: Ending(Status.ERROR, None, "m"), 2: RETURNED}
