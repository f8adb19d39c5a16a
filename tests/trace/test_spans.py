"""Spans of whole traces, from the event files of recorded programs and from single records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_autotrace.journal.codec import decode
from langchain_autotrace.records import Record, TraceContext, TraceUpdate
from langchain_autotrace.semconv import Attr
from langchain_autotrace.trace.join import Joiner
from langchain_autotrace.trace.spans import Event, Span, Trace, trace_of
from tests.trace.support import (
    CANCELLED,
    CLOSED,
    CONTEXT,
    INFO,
    PAUSED,
    end,
    error,
    event,
    failed,
    file,
    joined,
    joiner,
    model_seen,
    span,
    spans_of,
    start,
    time_at,
    trace_id,
)

EVENTS: Final = Path(__file__).parent / "events"
RECORDED: Final = sorted(path.stem for path in EVENTS.glob("*.jsonl"))


def recorded(name: str) -> Trace:
    """The trace of a recorded program."""
    made = Joiner()
    for line in (EVENTS / f"{name}.jsonl").read_bytes().splitlines():
        made.add(decode(line), 0.0)
    (trace,) = made.take(0.0)
    return trace_of(trace)


def expected(name: str) -> list[Span]:
    """The spans that a person expects of it."""
    spans = json.loads((EVENTS / f"{name}.spans.json").read_text())
    return [Span(**{**one, "events": [Event(**event) for event in one["events"]]}) for one in spans]


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_program(name: str) -> None:
    """The events of a program, as capture has written them, make the spans that a person expects of it."""
    assert recorded(name).spans == expected(name)


def test_every_recorded_program_has_spans() -> None:
    """Each event file has its spans beside it, and no others are there."""
    assert sorted(path.name.removesuffix(".spans.json") for path in EVENTS.glob("*.spans.json")) == RECORDED


def test_a_trace() -> None:
    """A trace has its spans, and what belongs to the whole of it: process, context, updates, models, files."""
    update = TraceUpdate(trace_id(1), {"tags": {"k": "v"}, "state": "ERROR"})
    records = (
        *(start(1, 1), start(1, 2, 1), update, file(1, "f1", "AAAA"), file(1, "f2", "BBBB")),
        *(end(1, 2), model_seen(1), end(1, 1)),
    )

    assert trace_of(joined(*records)) == Trace(
        trace_id=trace_id(1),
        process=INFO,
        root=span(1, 1),
        spans=[span(1, 1), span(1, 2, 1)],
        context=CONTEXT,
        update={"tags": {"k": "v"}, "state": "ERROR"},
        models=(model_seen(1),),
        files={"f1": "AAAA", "f2": "BBBB"},
        records=records,
    )


def test_spans_that_end_after_their_trace_was_delivered() -> None:
    """Late spans come without a root and without a context, and what is open of the first delivery without an end."""
    made = joiner(start(1, 1), start(1, 2, 1), start(1, 3, 2), event(1, 3), end(1, 1))
    (first,) = map(trace_of, made.take(2.0))
    made.add(end(1, 3), 5.0)
    made.add(end(1, 2), 5.0)
    (second,) = map(trace_of, made.take(5.0))
    going_on: dict[str, Any] = {"end_ns": None, "status": None, "outputs": None}
    happened = [Event("event", time_at(0), {})]

    assert first.spans == [
        span(1, 1),
        span(1, 2, 1, **going_on),
        span(1, 3, 2, **going_on, events=happened),
    ]
    assert (first.root, first.context) == (span(1, 1), CONTEXT)
    assert second.spans == [span(1, 2, 1), span(1, 3, 2, events=happened)]
    assert (second.root, second.context) == (None, None)


def test_a_trace_that_began_in_another_process() -> None:
    """A trace's part in another process has the context of its first span, and no root."""
    trace = trace_of(joined(start(1, 2, 9, context=CONTEXT), start(1, 3, 2), end(1, 3), end(1, 2)))

    assert (trace.root, trace.context) == (None, CONTEXT)
    assert trace.spans == [span(1, 2, 9), span(1, 3, 2)]


def test_a_root_without_a_context() -> None:
    """A root that was written without a context belongs to MLflow's default experiment."""
    trace = trace_of(joined(start(1, 1, context=None), end(1, 1)))

    assert trace.context == TraceContext(experiment=None, experiment_id=None, tags={}, metadata={})


@pytest.mark.parametrize(
    ("kind", "name", "details", "expected_name"),
    [
        ("chain", "own", {"class": "RunnableLambda"}, "own"),
        ("chain", None, {"class": "RunnableLambda", "metadata": {"langgraph_node": "node"}}, "RunnableLambda"),
        ("chain", None, {"class": None, "metadata": {"langgraph_node": "node"}}, "node"),
        ("chain", None, {"metadata": "[hidden]", "metadata_facts": {"langgraph_node": "node"}}, "node"),
        ("chain", None, {}, "chain"),
        ("tool", None, {"metadata": "[hidden]"}, "tool"),
        ("chat_model", None, {}, "chat model"),
    ],
)
def test_the_name_of_a_span(kind: str, name: str | None, details: dict[str, Any], expected_name: str) -> None:
    """A span has the name that LangChain gave, else its class's, its graph node's, or that of its kind."""
    (made,) = spans_of(start(1, 1, kind=kind, name=name, **details), end(1, 1))

    assert made.name == expected_name


AGENT: Final = {"ls_integration": "langchain_create_agent", "lc_agent_name": "calculator"}


@pytest.mark.parametrize(
    ("kind", "name", "details", "expected_type"),
    [
        ("chain", "steps", {}, "CHAIN"),
        ("chain", "parse", {"run_type": "parser"}, "PARSER"),
        ("chain", "prompt", {"run_type": "prompt"}, "CHAIN"),
        ("chain", "calculator", {"metadata": AGENT}, "AGENT"),
        ("chain", "calculator", {"metadata": "[hidden]", "metadata_facts": AGENT}, "AGENT"),
        ("chain", "run_name", {"metadata": AGENT}, "AGENT"),
        ("chain", "LangGraph", {"metadata": {"ls_integration": "langchain_create_agent"}}, "AGENT"),
        ("chain", "LangGraph", {"metadata": {"ls_integration": "langgraph"}}, "CHAIN"),
        ("tool", "add", {"metadata": AGENT}, "TOOL"),
        ("retriever", "facts", {}, "RETRIEVER"),
        ("chat_model", "model", {}, "CHAT_MODEL"),
        ("llm", "model", {}, "LLM"),
    ],
)
def test_the_type_of_a_span(kind: str, name: str, details: dict[str, Any], expected_type: str) -> None:
    """A span's type is that of its kind; a chain may be a parser, or an agent when it is the agent's own graph."""
    (made,) = spans_of(start(1, 1, kind=kind, name=name, **details), end(1, 1))

    assert made.type == expected_type


CLASS: Final[dict[str, Any]] = {"class": "add"}


def test_everything_that_langchain_says_of_a_run() -> None:
    """A run's metadata, tags, ids and hash are attributes of its span."""
    records = (
        start(
            1,
            1,
            kind="tool",
            name=None,
            run_id="00000000-0000-7000-8000-000000000001",
            tags=["blue"],
            inputs=[{"a": 1}],
            metadata={"release": 3},
            tool_call_id="c1",
            parent_run_id="00000000-0000-7000-8000-000000000009",
            content_hash="ab" * 32,
            **CLASS,
        ),
        end(1, 1, outputs=[{"type": "tool", "content": "3", "status": "success"}]),
    )

    assert spans_of(*records) == [
        span(
            1,
            1,
            name="add",
            type="TOOL",
            inputs=[{"a": 1}],
            outputs=[{"type": "tool", "content": "3", "status": "success"}],
            attributes={
                Attr.METADATA: {"release": 3},
                Attr.TAGS: ["blue"],
                Attr.RUN_ID: "00000000-0000-7000-8000-000000000001",
                Attr.PARENT_RUN_ID: "00000000-0000-7000-8000-000000000009",
                Attr.TOOL_CALL_ID: "c1",
                Attr.CONTENT_HASH: "ab" * 32,
            },
        )
    ]


def test_what_is_empty() -> None:
    """Metadata, tags and parameters that are empty make no attributes."""
    (made,) = spans_of(start(1, 1, kind="chat_model", inputs=[[[]]], tags=[], metadata={}, params={}), end(1, 1))

    assert made.attributes == {Attr.MESSAGE_FORMAT: "langchain"}


@pytest.mark.parametrize(
    ("given_inputs", "shown"),
    [("one text", {"input": "one text"}), ({"a": 1}, {"a": 1}), ([1], [1]), (None, None)],
    ids=["a text", "a dict", "a list", "None"],
)
def test_the_inputs_of_a_tool(given_inputs: Any, shown: Any) -> None:
    """A tool that takes one text has it under the name "input": MLflow's pages show a tool's inputs by name."""
    (made,) = spans_of(start(1, 1, kind="tool", inputs=[given_inputs]), end(1, 1))

    assert made.inputs == [shown]


def test_inputs_that_come_with_the_end() -> None:
    """A stream's inputs are those of its end, and a value of None is one."""
    records = (
        *(start(1, 1, inputs=[{"input": ""}]), start(1, 2, 1, inputs=None), start(1, 3, 1, inputs=None)),
        *(end(1, 3), end(1, 2, inputs=[None]), end(1, 1, inputs=["question"])),
    )

    assert spans_of(*records) == [
        span(1, 1, inputs=["question"]),
        span(1, 2, 1, inputs=[None]),
        span(1, 3, 1, inputs=None),
    ]


def test_outputs_of_none() -> None:
    """A run that returned None has an output; one whose output is not captured has none."""
    assert spans_of(start(1, 1), start(1, 2, 1), end(1, 2, outputs=None), end(1, 1, outputs=[None])) == [
        span(1, 1, outputs=[None]),
        span(1, 2, 1, outputs=None),
    ]


ASKED: Final = [[[{"type": "human", "content": "hi"}]]]
SAID: Final = {"type": "ai", "content": "yes", "response_metadata": {"model_name": "m-2026", "finish_reason": "stop"}}
USAGE: Final = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "output_token_details": {"reasoning": 2}}
COUNTS: Final = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def answer(*messages: Any) -> list[Any]:
    """A model's answer, of these candidates."""
    return [{"generations": [[{"message": message} for message in messages]]}]


def chat_span(**fields: Any) -> Span:
    """The span of a chat model that is asked ``ASKED`` and answers with ``SAID``."""
    return span(
        1,
        1,
        **{
            "type": "CHAT_MODEL",
            "inputs": [{"messages": [{"role": "user", "content": "hi"}]}],
            "outputs": [
                {"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}
            ],
            **fields,
        },
    )


def test_a_model_s_call() -> None:
    """A chat model has its conversation in chat form, the model asked for and the one that answered, and its tokens."""
    details: dict[str, Any] = {
        "metadata": {"ls_model_name": "m", "ls_provider": "maker", "ls_model_type": "chat"},
        "params": {"model": "other", "_type": "odd-chat", "temperature": 0.5},
    }
    records = (
        start(1, 1, kind="chat_model", inputs=ASKED, **details),
        end(1, 1, outputs=answer({**SAID, "usage_metadata": USAGE})),
    )

    assert spans_of(*records) == [
        chat_span(
            attributes={
                Attr.METADATA: details["metadata"],
                Attr.MESSAGE_FORMAT: "langchain",
                Attr.MODEL: "m-2026",
                Attr.REQUEST_MODEL: "m",
                Attr.PROVIDER: "maker",
                Attr.INVOCATION_PARAMS: details["params"],
                Attr.USAGE_METADATA: USAGE,
                Attr.TOKEN_USAGE: COUNTS,
                Attr.REASONING_TOKENS: 2,
                Attr.FINISH_REASONS: ["stop"],
            }
        )
    ]


def test_a_model_that_names_itself_in_its_parameters() -> None:
    """A model without LangChain's metadata is named by its parameters, also as the one that answered."""
    records = (
        start(1, 1, kind="chat_model", inputs=ASKED, params={"model_name": "m", "_type": "maker-chat"}),
        end(1, 1, outputs=answer({"type": "ai", "content": "yes"})),
    )

    (made,) = spans_of(*records)
    assert made.attributes == {
        Attr.MESSAGE_FORMAT: "langchain",
        Attr.MODEL: "m",
        Attr.REQUEST_MODEL: "m",
        Attr.PROVIDER: "maker",
        Attr.INVOCATION_PARAMS: {"model_name": "m", "_type": "maker-chat"},
    }


def test_a_text_model_s_call() -> None:
    """A text model has its prompts as they are, and its answer in the form of a chat's."""
    result = {
        "generations": [[{"text": "yes", "generation_info": {"finish_reason": "length"}}]],
        "llm_output": {"token_usage": {"prompt_tokens": 3, "completion_tokens": 4}, "model_name": "t-1"},
    }
    records = (start(1, 1, kind="llm", inputs=[["ok?"]]), end(1, 1, outputs=[result]))

    assert spans_of(*records) == [
        chat_span(
            type="LLM",
            inputs=[["ok?"]],
            outputs=[
                {
                    "choices": [
                        {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "length"}
                    ]
                }
            ],
            attributes={
                Attr.MESSAGE_FORMAT: "langchain",
                Attr.MODEL: "t-1",
                Attr.USAGE_METADATA: {"prompt_tokens": 3, "completion_tokens": 4},
                Attr.TOKEN_USAGE: COUNTS,
                Attr.FINISH_REASONS: ["length"],
            },
        )
    ]


def test_several_candidates() -> None:
    """Each candidate has its reason, also those that give none; their usage is counted once."""
    candidates = [{**SAID, "usage_metadata": COUNTS}, {"type": "ai", "content": "no", "usage_metadata": COUNTS}]
    (made,) = spans_of(start(1, 1, kind="chat_model", inputs=ASKED), end(1, 1, outputs=answer(*candidates)))

    assert made.attributes == {
        Attr.MESSAGE_FORMAT: "langchain",
        Attr.MODEL: "m-2026",
        Attr.USAGE_METADATA: COUNTS,
        Attr.TOKEN_USAGE: COUNTS,
        Attr.FINISH_REASONS: ["stop", None],
    }


def test_an_answer_from_the_cache() -> None:
    """An answer from LangChain's cache is marked, and adds no tokens."""
    cached = {"type": "ai", "content": "yes", "usage_metadata": {**COUNTS, "total_cost": 0}}
    (made,) = spans_of(start(1, 1, kind="chat_model", inputs=ASKED), end(1, 1, outputs=answer(cached)))

    assert made.attributes == {
        Attr.MESSAGE_FORMAT: "langchain",
        Attr.USAGE_METADATA: {**COUNTS, "total_cost": 0},
        Attr.CACHE_HIT: True,
    }


def test_a_streamed_answer() -> None:
    """A streamed answer has its number of chunks, and the seconds from the start to the first."""
    records = (
        start(1, 1, at=1, kind="chat_model", inputs=ASKED),
        end(1, 1, at=9, outputs=answer(SAID), chunks=12, first_chunk_ns=time_at(1.25)),
    )

    (made,) = spans_of(*records)
    assert made.attributes == {
        Attr.MESSAGE_FORMAT: "langchain",
        Attr.CHUNK_COUNT: 12,
        Attr.TIME_TO_FIRST_TOKEN: 0.25,
        Attr.MODEL: "m-2026",
        Attr.FINISH_REASONS: ["stop"],
    }


SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "integer"}}}
FUNCTION: Final[dict[str, Any]] = {"name": "add", "description": "d", "parameters": SCHEMA}
ADD: Final = {"type": "function", "function": FUNCTION}


@pytest.mark.parametrize(
    "tools",
    [
        {"tools": [{"name": "add", "description": "d", "input_schema": SCHEMA}]},
        {"tools": None, "functions": [FUNCTION]},
        {"toolConfig": {"tools": [{"toolSpec": {**FUNCTION, "inputSchema": {"json": SCHEMA}}}]}},
    ],
    ids=["tools", "functions", "toolConfig"],
)
def test_a_model_that_is_offered_tools(tools: dict[str, Any]) -> None:
    """The tools that a model is offered are in chat form, beside its other parameters."""
    (made,) = spans_of(start(1, 1, kind="chat_model", inputs=ASKED, params={"temperature": 0, **tools}))

    assert made.attributes[Attr.CHAT_TOOLS] == [ADD]
    assert made.attributes[Attr.INVOCATION_PARAMS] == {"temperature": 0}


def test_a_model_that_is_offered_no_tools() -> None:
    """A parameter for tools that is empty stays among the parameters."""
    (made,) = spans_of(start(1, 1, kind="chat_model", inputs=ASKED, params={"tools": [], "temperature": 0}))

    assert Attr.CHAT_TOOLS not in made.attributes
    assert made.attributes[Attr.INVOCATION_PARAMS] == {"tools": [], "temperature": 0}


def test_tools_that_are_no_definitions() -> None:
    """Tools of which only a text is known, such as objects, are not lost: no tool is shown, and the texts are kept."""
    params = {"tools": ["<langchain_core.tools.structured.StructuredTool>"], "temperature": 0}
    (made,) = spans_of(start(1, 1, kind="chat_model", inputs=ASKED, params=params))

    assert not made.attributes.get(Attr.CHAT_TOOLS)
    assert made.attributes[Attr.INVOCATION_PARAMS] == params


def test_the_sizes_of_values_that_were_cut() -> None:
    """The size that a cut value had is an attribute of the value's name."""
    records = (
        start(1, 1, truncated={"inputs": 200_000, "metadata": 150_000}),
        start(1, 2, 1, truncated={"params": 7, "inputs": 8}),
        end(1, 2),
        end(1, 1, truncated={"outputs": 300_000}),
    )

    assert spans_of(*records) == [
        span(
            1,
            1,
            attributes={
                f"{Attr.TRUNCATED}.inputs": 200_000,
                f"{Attr.TRUNCATED}.attributes": 150_000,
                f"{Attr.TRUNCATED}.outputs": 300_000,
            },
        ),
        span(1, 2, 1, attributes={f"{Attr.TRUNCATED}.attributes": 7, f"{Attr.TRUNCATED}.inputs": 8}),
    ]


def exception(kind: str, message: str, stack: str, *, at: float = 1) -> Event:
    """OpenTelemetry's event of an exception."""
    attributes = {"exception.type": kind, "exception.message": message, "exception.stacktrace": stack}
    return Event("exception", time_at(at), attributes)


def test_a_run_that_raises() -> None:
    """A run that raises is an error with OpenTelemetry's event, at the time of its end."""
    facts = error("shop.NoRowError", "LookupError", message="7", stack="Traceback …")

    assert spans_of(start(1, 1), failed(1, 1, facts, at=2)) == [
        span(
            1,
            1,
            end_ns=time_at(2),
            status="ERROR",
            message="NoRowError: 7",
            outputs=None,
            events=[exception("shop.NoRowError", "7", "Traceback …", at=2)],
        )
    ]


def test_a_run_that_raises_without_content() -> None:
    """Where content is not captured, the exception's event has its type alone."""
    facts = {"classes": ["KeyError", "LookupError", "Exception", "BaseException"]}

    assert spans_of(start(1, 1, inputs=None, content=False), failed(1, 1, facts, content=False)) == [
        span(
            1,
            1,
            status="ERROR",
            message="KeyError",
            inputs=None,
            outputs=None,
            events=[Event("exception", time_at(1), {"exception.type": "KeyError"})],
        )
    ]


def test_what_happened_before_an_exception() -> None:
    """A span's events are in the order of their times, the exception that ended it last."""
    records = (start(1, 1), event(1, 1, "progress", at=0.5, data={"done": 1}), failed(1, 1, error("E", stack="s")))

    (made,) = spans_of(*records)
    assert made.events == [Event("progress", time_at(0.5), {"data": {"done": 1}}), exception("E", "", "s")]


def test_the_text_of_an_exception() -> None:
    """The event of a group names its causes, that of a cancelled task no task; as the status does."""
    group = {**error("ExceptionGroup", message="g", stack="s"), "causes": [error("shop.Full", message="f")]}
    records = (
        *(start(1, 1), start(1, 2, 1), failed(1, 2, group)),
        failed(1, 1, {**CANCELLED, "message": "Cancelled by cancel scope 7f0a"}),
    )

    assert [(one.message, one.events) for one in spans_of(*records)] == [
        ("cancelled", [exception("asyncio.exceptions.CancelledError", "cancelled", "s")]),
        ("ExceptionGroup: g: Full: f", [exception("ExceptionGroup", "g: Full: f", "s")]),
    ]


def test_a_cancelled_task() -> None:
    """A cancelled task is an error that says so, with the exception's event."""
    assert spans_of(start(1, 1), failed(1, 1, CANCELLED)) == [
        span(
            1,
            1,
            status="ERROR",
            message="CancelledError",
            outputs=None,
            attributes={Attr.OUTCOME: "cancelled"},
            events=[exception("asyncio.exceptions.CancelledError", "", "s")],
        )
    ]


def test_an_interrupt() -> None:
    """An interrupted node and its graph are OK and say so, without an exception's event."""
    assert spans_of(start(1, 1), start(1, 2, 1), failed(1, 2, PAUSED), end(1, 1)) == [
        span(1, 1, attributes={Attr.OUTCOME: "interrupted"}),
        span(1, 2, 1, outputs=None, attributes={Attr.OUTCOME: "interrupted"}),
    ]


QUESTIONS: Final = [{"value": "sure?", "id": "i1"}]


def test_what_an_interrupt_asks() -> None:
    """What is asked is an output of the node, of its tool, and of the graph, beside its state, each once."""
    made = spans_of(
        *(start(1, 1), start(1, 2, 1), start(1, 3, 2, kind="tool")),
        *(
            failed(1, 3, PAUSED, interrupts=QUESTIONS),
            failed(1, 2, PAUSED, interrupts=QUESTIONS),
            end(1, 1, outputs=[{"a": 1}]),
        ),
    )
    assert [one.outputs for one in made] == [
        [{"a": 1, "__interrupt__": QUESTIONS}],
        [{"__interrupt__": QUESTIONS}],
        [{"__interrupt__": QUESTIONS}],
    ]


def test_interrupts_of_nodes_at_the_same_time() -> None:
    """A graph asks what its nodes ask, in the order in which they have started."""
    (root, *_) = spans_of(
        *(start(1, 1), start(1, 2, 1), start(1, 3, 1), failed(1, 3, PAUSED, interrupts=["b"])),
        *(failed(1, 2, PAUSED, interrupts=["a"]), end(1, 1, outputs=None)),
    )
    assert root.outputs == [{"__interrupt__": ["a", "b"]}]


@pytest.mark.parametrize(
    ("stopped", "shown"),
    [
        ({"before": ["b"]}, {"before": ["b"]}),
        ({"after": ["*"]}, {"after": ["a1", "a2"]}),
        ({"after": ["a2", "b"], "next": ["c"]}, {"after": ["a2"], "next": ["c"]}),
        ({"after": ["gone"]}, {"after": ["gone"]}),
    ],
    ids=["before a node", "after any node", "after some nodes", "after nodes that are not known"],
)
def test_a_graph_that_was_to_stop(stopped: dict[str, Any], shown: dict[str, Any]) -> None:
    """A graph that stops before or after nodes is interrupted, and says which; after which, its last step shows."""
    steps = [("first", 1), ("a1", 2), ("a2", 2)]
    nodes = [start(1, 2 + n, 1, name=name, metadata={"langgraph_step": step}) for n, (name, step) in enumerate(steps)]
    (root, *_) = spans_of(
        start(1, 1), *nodes, *(end(1, 2 + n) for n in range(3)), end(1, 1, outputs=[{"x": 1}], stopped=stopped)
    )

    assert root == span(
        1, 1, outputs=[{"x": 1, "__interrupt__": [{"value": shown}]}], attributes={Attr.OUTCOME: "interrupted"}
    )


def test_a_pause_that_its_caller_has_resumed() -> None:
    """A run that has called a graph, was asked, and has answered, was not interrupted; the graph was."""
    made = spans_of(
        *(start(1, 1), start(1, 2, 1), end(1, 2, stopped={"before": ["b"]})),
        *(start(1, 3, 1, inputs=[None], resumes=True), end(1, 3), end(1, 1)),
    )
    assert [one.attributes.get(Attr.OUTCOME) for one in made] == [None, "interrupted", None]


def test_an_output_that_says_that_it_was_interrupted() -> None:
    """A run whose output has what LangGraph returns of an interrupt was interrupted, whatever is below it."""
    (made,) = spans_of(start(1, 1), end(1, 1, outputs=[{"__interrupt__": QUESTIONS}]))
    assert made == span(1, 1, outputs=[{"__interrupt__": QUESTIONS}], attributes={Attr.OUTCOME: "interrupted"})


def test_the_caller_of_an_interrupted_graph_that_returns_something_else() -> None:
    """What a caller of an interrupted graph has returned stays as it is, where it is no state."""
    made = spans_of(
        start(1, 1), start(1, 2, 1), end(1, 2, outputs=[{}], stopped={"before": ["b"]}), end(1, 1, outputs=["later"])
    )
    assert made[0] == span(1, 1, outputs=["later"], attributes={Attr.OUTCOME: "interrupted"})


COMMAND: Final[dict[str, Any]] = {"graph": None, "update": None, "resume": "yes", "goto": []}


@pytest.mark.parametrize(
    ("inputs", "details", "shown", "answer", "thread"),
    [
        ([COMMAND], {"resumes": True}, [{"resume": "yes"}], "yes", "t"),
        ([{**COMMAND, "update": {"a": 1}}], {"resumes": True}, [{"update": {"a": 1}, "resume": "yes"}], "yes", "t"),
        ([None], {"resumes": True}, [None], None, "t"),
        (None, {"resumes": True, "content": False}, None, None, "t"),
        (["[hidden]"], {"resumes": True}, ["[hidden]"], None, "t"),
        ([COMMAND], {}, [COMMAND], None, None),
    ],
    ids=["an answer", "an answer and an update", "nothing was asked", "no content", "the hook", "a dict like it"],
)
def test_a_run_that_resumes(
    inputs: list[Any] | None, details: dict[str, Any], shown: list[Any] | None, answer: str | None, thread: str | None
) -> None:
    """The root of a trace that resumes a graph says what was answered, shortly; the trace says which thread."""
    records: list[Record] = [
        start(1, 1, inputs=inputs, configurable={"thread_id": "t"}, **details),
        *(start(1, 2, 1), end(1, 2), end(1, 1)),
    ]

    trace = trace_of(joined(*records))
    assert trace.root == span(
        1, 1, inputs=shown, attributes={Attr.SESSION: "t", **({Attr.ANSWER: answer} if answer else {})}
    )
    assert trace.resumed_thread == thread


def test_a_graph_that_has_nothing_to_go_on_with() -> None:
    """A graph that is called with None and runs no node resumes nothing."""
    trace = trace_of(joined(start(1, 1, inputs=[None], resumes=True, configurable={"thread_id": "t"}), end(1, 1)))
    assert trace.resumed_thread is None


def test_a_process_that_died() -> None:
    """What was open when the process died is an error that says so, ends with the last event, and keeps its inputs."""
    died: dict[str, Any] = {
        "end_ns": time_at(3),
        "status": "ERROR",
        "message": "the process ended while this was running",
        "outputs": None,
        "attributes": {Attr.OUTCOME: "lost"},
    }

    assert spans_of(start(1, 1), start(1, 2, 1), event(1, 1, at=3)) == [
        span(1, 1, **died, events=[Event("event", time_at(3), {})]),
        span(1, 2, 1, **died),
    ]


def test_a_process_that_died_within_a_stream() -> None:
    """A lost step of a stream, whose inputs would have come with its end, has those of its first child with some."""
    records = (
        *(start(1, 1, inputs=None), start(1, 2, 1, inputs=None), start(1, 3, 2, inputs=None)),
        *(end(1, 3, inputs=["what the prompt was given"]), start(1, 4, 2, inputs=["what the model was given"])),
        start(1, 5, 1, inputs=None),
    )

    assert {one.name: one.inputs for one in spans_of(*records)} == {
        "span 1": ["what the prompt was given"],
        "span 2": ["what the prompt was given"],
        "span 3": ["what the prompt was given"],
        "span 4": ["what the model was given"],
        "span 5": None,
    }


ABANDONED: Final = {Attr.OUTCOME: "abandoned"}


def test_a_stream_that_is_closed_after_its_first_chunk() -> None:
    """A closed stream has the chunk that its consumer has read, though LangChain, which leaves that out, says None."""
    records = (
        *(start(1, 1, inputs=None), start(1, 2, 1)),
        *(end(1, 1, outputs=[None], inputs=["q"], streamed=["Cats "]), end(1, 2)),
    )

    assert spans_of(*records) == [span(1, 1, inputs=["q"], outputs=["Cats "], attributes=ABANDONED), span(1, 2, 1)]


@pytest.mark.parametrize(
    ("streamed", "outputs", "shown"),
    [
        (["Cats ", "sleep "], ["Cats "], ["Cats sleep "]),
        (
            [[{"type": "text", "text": "Cats ", "index": 0}], [{"type": "text", "text": "sleep "}]],
            None,
            ["Cats sleep "],
        ),
        (["Cats ", "sleep "], ["CATS "], ["CATS "]),
        (["Cats ", "sleep "], [{"answer": "Cats "}], [{"answer": "Cats "}]),
        ([], ["Cats "], ["Cats "]),
        ([], None, None),
        ("[hidden]", ["[hidden]"], ["[hidden]"]),
        (None, ["Cats "], ["Cats "]),
    ],
    ids=["texts", "blocks", "another text", "a dict", "no chunks", "nothing", "hidden by the hook", "not captured"],
)
def test_what_a_closed_stream_had_said(streamed: Any, outputs: list[Any] | None, shown: list[Any] | None) -> None:
    """A closed stream has all that was streamed, where its own outputs are the beginning of that."""
    more = {} if streamed is None else {"streamed": streamed}
    records = (start(1, 1, inputs=None), start(1, 2, 1), end(1, 1, outputs=outputs, inputs=["q"], **more), end(1, 2))

    assert spans_of(*records) == [span(1, 1, inputs=["q"], outputs=shown, attributes=ABANDONED), span(1, 2, 1)]


def test_an_asynchronous_stream_that_is_closed() -> None:
    """Closing an asynchronous stream abandons the model, and the steps that read it, with what it had said."""
    partial = answer({"type": "AIMessageChunk", "content": "Cats sleep "})
    records = (
        *(start(1, 1), start(1, 2, 1), start(1, 3, 2, kind="chat_model", inputs=ASKED), start(1, 4, 1)),
        end(1, 3, outputs=partial, error=CLOSED, chunks=2, first_chunk_ns=time_at(0.5), streamed=["Cats ", "sleep "]),
        *(failed(1, 2, CLOSED), failed(1, 4, CLOSED), failed(1, 1, CLOSED)),
    )

    assert spans_of(*records) == [
        span(1, 1, outputs=["Cats sleep "], attributes=ABANDONED),
        span(1, 2, 1, outputs=["Cats sleep "], attributes=ABANDONED),
        span(
            1,
            3,
            2,
            type="CHAT_MODEL",
            inputs=[{"messages": [{"role": "user", "content": "hi"}]}],
            outputs=[
                {
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "Cats sleep "},
                            "finish_reason": None,
                        }
                    ]
                }
            ],
            attributes={
                Attr.MESSAGE_FORMAT: "langchain",
                Attr.CHUNK_COUNT: 2,
                Attr.TIME_TO_FIRST_TOKEN: 0.5,
                **ABANDONED,
            },
        ),
        span(1, 4, 1, outputs=None, attributes=ABANDONED),
    ]


def test_the_first_of_several_models_below_a_closed_stream() -> None:
    """A closed stream with several models below it has what the first said."""
    said: list[dict[str, Any]] = [
        {"outputs": answer({"type": "ai", "content": text}), "chunks": 1, "first_chunk_ns": time_at(0)}
        for text in ("first", "second")
    ]
    records = (
        *(start(1, 1), start(1, 2, 1, kind="chat_model"), start(1, 3, 1, kind="chat_model")),
        *(end(1, 3, **said[1]), end(1, 2, **said[0]), failed(1, 1, CLOSED)),
    )

    assert spans_of(*records)[0] == span(1, 1, outputs=["first"], attributes=ABANDONED)


def test_a_closed_stream_above_a_model_that_did_not_stream() -> None:
    """What a model returned at once is no part of a stream that was closed."""
    records = (
        *(start(1, 1), start(1, 2, 1, kind="chat_model", inputs=ASKED)),
        *(end(1, 2, outputs=answer(SAID)), failed(1, 1, CLOSED)),
    )

    assert spans_of(*records)[0] == span(1, 1, outputs=None, attributes=ABANDONED)


def test_a_closed_stream_whose_model_goes_on() -> None:
    """A stream that is delivered before its model has ended has the outputs that LangChain gave, and the model none."""
    made = joiner(
        *(start(1, 1, inputs=None), start(1, 2, 1, kind="chat_model", inputs=ASKED)),
        end(1, 1, outputs=["Cats "], inputs=["q"]),
    )

    (trace,) = map(trace_of, made.take(2.0))
    assert trace.spans == [
        span(1, 1, inputs=["q"], outputs=["Cats "], attributes=ABANDONED),
        span(
            1,
            2,
            1,
            type="CHAT_MODEL",
            end_ns=None,
            status=None,
            inputs=[{"messages": [{"role": "user", "content": "hi"}]}],
            outputs=None,
            attributes={Attr.MESSAGE_FORMAT: "langchain"},
        ),
    ]


OWNED: Final = {"session_id": "s-meta", "user_id": "u-meta"}
AROUND: Final = {"session_id": "s-around", "user_id": "u-around"}
GIVEN: Final = {"session_id": "s-given", "thread_id": "t"}
CTX: Final = {"session_id": "s-ctx", "user_id": "u-ctx"}


@pytest.mark.parametrize(
    ("root", "child", "owners"),
    [
        ({"metadata": OWNED, **AROUND}, {"metadata": {"thread_id": "t-below"}}, [("s-meta", "u-meta"), (None, None)]),
        (AROUND, {"metadata": {"thread_id": "t-below", "user_id": "u"}}, [("s-around", "u-around"), (None, None)]),
        ({}, {"metadata": {"thread_id": "t-below", "user_id": "u"}}, [(None, None), ("t-below", "u")]),
        ({"metadata": {"user_id": "u"}}, {"metadata": OWNED}, [(None, "u"), ("s-meta", None)]),
        ({"metadata": {"thread_id": "t", "conversation_id": "c"}}, {}, [("t", None), (None, None)]),
        ({"metadata": {"thread_id": "t", "session_id": "s"}}, {}, [("s", None), (None, None)]),
        ({"metadata": {"conversation_id": "c", "session_id": ""}}, {}, [("c", None), (None, None)]),
        ({"metadata": {"thread_id": 7, "user_id": ["x"]}}, {}, [("7", "['x']"), (None, None)]),
        ({"metadata": "[hidden]", "metadata_facts": OWNED}, {}, [("s-meta", "u-meta"), (None, None)]),
        ({"metadata": "[hidden]"}, {}, [(None, None), (None, None)]),
        ({"metadata": {"session_id": "s" * 300}}, {}, [("s" * 250, None), (None, None)]),
        ({"metadata": OWNED, "configurable": GIVEN, "agent_context": CTX}, {}, [("s-meta", "u-meta"), (None, None)]),
        ({"configurable": GIVEN, "agent_context": CTX, **AROUND}, {}, [("s-given", "u-ctx"), (None, None)]),
        ({"agent_context": CTX, **AROUND}, {"metadata": OWNED}, [("s-ctx", "u-ctx"), (None, None)]),
        ({"metadata": {"thread_id": "t"}, "configurable": GIVEN}, {}, [("s-given", None), (None, None)]),
        ({"metadata": {"thread_id": "own"}, "configurable": GIVEN}, {}, [("own", None), (None, None)]),
        ({"configurable": {"langgraph_auth_user_id": "u"}}, {}, [(None, "u"), (None, None)]),
    ],
    ids=[
        "the root's metadata before context()",
        "context() before a descendant's metadata",
        "a descendant's metadata",
        "each by itself",
        "LangGraph's thread before a conversation",
        "a session before a thread",
        "an empty session",
        "values that are no texts",
        "metadata that the hook replaced",
        "metadata that the hook left nothing of",
        "longer than MLflow takes",
        "metadata before what is configurable",
        "what is configurable before a graph's context",
        "a graph's context before context()",
        "a thread that LangGraph has copied into the metadata",
        "a thread that only the metadata has",
        "the user of LangGraph's server",
    ],
)
def test_the_session_and_the_user(
    root: dict[str, Any], child: dict[str, Any], owners: list[tuple[str | None, str | None]]
) -> None:
    """Session and user stand on the first span that names them: by its metadata, or by the ``context()`` around it."""
    made = spans_of(start(1, 1, **root), start(1, 2, 1, **child), end(1, 2), end(1, 1))

    assert [(one.attributes.get(Attr.SESSION), one.attributes.get(Attr.USER)) for one in made] == owners


def test_a_session_below_a_span_of_mlflow_s_own_api() -> None:
    """The attributes of MLflow's own spans name no session; those of a run below one do."""
    records = (
        start(1, 1, kind="span", attributes={"session_id": "no"}, metadata={"session_id": "no"}),
        start(1, 2, 1, session_id="s"),
        *(end(1, 2), end(1, 1, status="OK")),
    )

    made = spans_of(*records)
    assert [one.attributes.get(Attr.SESSION) for one in made] == [None, "s"]


def test_a_span_of_mlflow_s_own_api() -> None:
    """A span of MLflow's own API has MLflow's type, attributes and links; what came with the end counts."""
    links = [{"trace_id": "tr-1", "span_id": "2", "attributes": {}}]
    records = (
        start(1, 1, kind="span", inputs=None, type="UNKNOWN", attributes={"a": 1, "b": 1}, truncated={"inputs": 9}),
        event(1, 1, "note", at=0.5, x=1),
        end(
            1,
            1,
            outputs=["out"],
            inputs=["in"],
            type="RERANKER",
            attributes={"b": 2, "c": 2},
            links=links,
            status="ERROR",
            message="no",
            truncated={"outputs": 10},
        ),
    )

    (made,) = spans_of(*records)
    assert made == span(
        1,
        1,
        type="RERANKER",
        status="ERROR",
        message="no",
        inputs=["in"],
        outputs=["out"],
        attributes={"a": 1, "b": 2, "c": 2, f"{Attr.TRUNCATED}.inputs": 9, f"{Attr.TRUNCATED}.outputs": 10},
        events=[Event("note", time_at(0.5), {"x": 1})],
        links=links,
    )


def test_a_span_of_mlflow_s_that_says_nothing() -> None:
    """A span of MLflow's own API without type and attributes is of the type that MLflow has for it."""
    assert spans_of(start(1, 1, kind="span"), end(1, 1, status="OK")) == [span(1, 1, type="UNKNOWN")]


def test_what_the_program_has_set_on_a_run() -> None:
    """What a program sets on its run through MLflow's API takes the place of what LangChain said."""
    changes = {
        "attributes": {"mlflow.spanType": "RERANKER", "k": 1, "langchain.tags": ["own"]},
        "status": "ERROR",
        "message": "too few",
        "inputs": ["set in"],
        "outputs": ["set out"],
    }

    assert spans_of(start(1, 1, tags=["blue"], metadata={"m": 1}), end(1, 1, changes=changes)) == [
        span(
            1,
            1,
            type="RERANKER",
            status="ERROR",
            message="too few",
            inputs=["set in"],
            outputs=["set out"],
            attributes={Attr.METADATA: {"m": 1}, Attr.TAGS: ["own"], "k": 1},
        )
    ]


def test_a_run_on_which_the_program_has_set_nothing() -> None:
    """A run that the program has only looked at through MLflow's API is as it was."""
    nothing: dict[str, Any] = {"attributes": {}, "status": None, "message": "", "inputs": None, "outputs": None}

    assert spans_of(start(1, 1), end(1, 1, changes=nothing)) == [span(1, 1)]


def test_changes_without_content() -> None:
    """Where content is not captured, a program's changes are the status alone."""
    changes = {"status": "ERROR", "message": "ValueError"}

    assert spans_of(start(1, 1, inputs=None), end(1, 1, outputs=None, changes=changes, content=False)) == [
        span(1, 1, status="ERROR", message="ValueError", inputs=None, outputs=None)
    ]


def test_a_failed_answer_of_which_some_was_said() -> None:
    """A model that fails after some of its answer has the exception, and what it had said."""
    (made,) = spans_of(
        start(1, 1, kind="chat_model", inputs=ASKED),
        end(
            1, 1, outputs=answer(SAID), error=error("E", message="cut", stack="s"), chunks=2, first_chunk_ns=time_at(1)
        ),
    )

    assert made == chat_span(
        status="ERROR",
        message="E: cut",
        attributes={
            Attr.MESSAGE_FORMAT: "langchain",
            Attr.CHUNK_COUNT: 2,
            Attr.TIME_TO_FIRST_TOKEN: 1.0,
            Attr.MODEL: "m-2026",
            Attr.FINISH_REASONS: ["stop"],
        },
        events=[exception("E", "cut", "s")],
    )


ODD_VALUES: Final[dict[str, Any]] = {
    "a text": "[hidden]",
    "None": None,
    "a number": 3,
    "an empty list": [],
    "an empty dict": {},
    "lists of no messages": [["[hidden]"], [None]],
    "an answer of a text": {"generations": "[hidden]", "llm_output": "[hidden]"},
    "an answer of a number": {"generations": 3, "llm_output": 3},
    "an answer of other things": {"generations": [3, [3, None], [{"message": 3, "text": 3, "generation_info": 3}]]},
    "an answer whose message is none": {"generations": [[{"message": {"type": 3, "content": 3}}]], "llm_output": [3]},
    "a message of other things": {"type": "tool", "status": ["error"], "content": 3, "tool_calls": 3},
    "tools of other things": {"tools": {"function": 3}, "model": 3, "_type": 3, "toolConfig": 3},
    "metadata of other things": {"ls_model_name": [3], "ls_provider": {}, "session_id": [3], "lc_agent_name": 3},
}
"""What a redact hook may make of any value."""
KINDS: Final = ("chain", "chat_model", "llm", "tool", "retriever")


def spans_of_odd_values(kind: str, odd: Any, **ending: Any) -> list[Span]:
    """The spans of two runs whose values all are odd."""
    return spans_of(
        start(1, 1, inputs=[odd], metadata=odd, metadata_facts=odd if isinstance(odd, dict) else {}),
        start(1, 2, 1, kind=kind, inputs=[odd], tags=["[hidden]"], metadata=odd, params=odd),
        event(1, 2, "progress", redacted=odd),
        end(1, 2, outputs=[odd], chunks=2, first_chunk_ns=time_at(0), streamed=odd, **ending),
        end(1, 1, outputs=[odd], streamed=odd, **ending),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", ODD_VALUES.values(), ids=ODD_VALUES)
@pytest.mark.parametrize("is_closed", [False, True], ids=["returned", "closed"])
def test_odd_values_of_a_hook(kind: str, odd: Any, *, is_closed: bool) -> None:
    """Whatever a redact hook makes of every value, the spans are there with their own times, and nothing is raised."""
    made = spans_of_odd_values(kind, odd, **({"error": CLOSED} if is_closed else {}))

    assert [(one.span_id[-1], one.start_ns, one.end_ns) for one in made] == [
        ("1", time_at(0), time_at(1)),
        ("2", time_at(0), time_at(1)),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
known_names = st.sampled_from(
    [
        *("generations", "message", "messages", "content", "type", "role", "status", "tools", "toolConfig", "model"),
        *("ls_model_name", "session_id", "user_id", "name", "update", "usage_metadata", "response_metadata"),
    ]
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.sampled_from(KINDS), st.dictionaries(known_names, json_values, max_size=5), st.booleans())
def test_any_value_of_a_hook(kind: str, odd: dict[str, Any], is_closed: bool) -> None:  # noqa: FBT001 - hypothesis's
    """Nothing is raised for values that have the names of LangChain's fields, and hold anything."""
    assert len(spans_of_odd_values(kind, odd, **({"error": CLOSED} if is_closed else {}))) == 2
