"""The careful way of a record: converted, cut, scrubbed, shown to the redact hook, and without content if asked."""

from __future__ import annotations

import datetime as dt
import logging
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from langchain_autotrace.capture.careful import CarefulWriter, Subject
from langchain_autotrace.journal import codec
from langchain_autotrace.records import (
    ModelSeen,
    SpanEnd,
    SpanEvent,
    SpanStart,
    TraceContext,
    TraceFile,
    TraceRecord,
    TraceUpdate,
)
from langchain_autotrace.redaction import REDACTED
from langchain_autotrace.settings import RedactContext, resolve
from langchain_autotrace.trace.endings import endings

TRACE, SPAN, CHILD = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
RUN = UUID("01980000-0000-7000-8000-000000000001")
CHAT = Subject("chat", "CHAT_MODEL")
SECRET = "sk-" + "proj-" + "aB3dE5gH7jK9mN1p" * 2

AnyRecord = TypeVar("AnyRecord", bound=TraceRecord)


class Hostile:
    def __repr__(self) -> str:
        raise ValueError("no")


def writer(**given: Any) -> CarefulWriter:
    """Return a writer for these settings."""
    return CarefulWriter(resolve(tracking_uri="sqlite:///x.db", **given))


def start(**given: Any) -> SpanStart:
    """Return the start of a chat model, without anything that is said."""
    return SpanStart(TRACE, SPAN, None, 1, "chat_model", "chat", None, None, None, None, {})._replace(**given)


def end(outputs: list[Any] | None = None, **details: Any) -> SpanEnd:
    """Return the end of the same."""
    return SpanEnd(TRACE, SPAN, 2, outputs, details)


def event(name: str = "e", **details: Any) -> SpanEvent:
    """Return an event of the same."""
    return SpanEvent(TRACE, SPAN, 2, name, details)


def update(**fields: Any) -> TraceUpdate:
    """Return an update of the same trace."""
    return TraceUpdate(TRACE, fields)


def model(**given: Any) -> ModelSeen:
    """Return the description of a chain."""
    form: Any = {
        "name": "chain",
        "steps": [],
        "chain": {"lc": 1, "type": "constructor", "id": ["a", "B"], "kwargs": {}},
        "problems": [],
        "left_out": [],
        "secrets": [],
        "packages": [],
        "params": {},
        "example": None,
        "signature": None,
        "code": None,
        "code_paths": [],
        "search_path": [],
        "registered_model_name": None,
        "tags": {},
    }
    return ModelSeen(TRACE, "0" * 64, form | given)


def context(tags: dict[str, str] | None = None, metadata: dict[str, str] | None = None) -> TraceContext:
    """Return the context of a trace."""
    return {"experiment": "e", "experiment_id": None, "tags": tags or {}, "metadata": metadata or {}}


def error(message: str, stack: str) -> dict[str, Any]:
    """Return the facts of an exception."""
    return {"classes": ["ValueError", "Exception", "BaseException"], "message": message, "stack": stack}


def changes(**given: Any) -> dict[str, Any]:
    """Return what a program has set on a run through MLflow's API."""
    return {"attributes": {}, "status": None, "message": "", "inputs": None, "outputs": None, **given}


def answer(text: str, *, info: Any = None, output: Any = None, **fields: Any) -> LLMResult:
    """Return a chat model's answer."""
    generation = ChatGeneration(message=AIMessage(text, **fields), generation_info=info)
    return LLMResult(generations=[[generation]], llm_output=output)


USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
ANSWER = {
    "info": {"finish_reason": "stop", "logprob": -0.5},
    "output": {"token_usage": {"total_tokens": 7}, "model_name": "m-1"},
    "usage_metadata": USAGE,
    "response_metadata": {"model_name": "m-1", "finish_reason": "stop", "id": "SPOKEN"},
}
"""What a chat model says beside its text."""


def made(by: CarefulWriter, record: AnyRecord, subject: Subject = CHAT) -> AnyRecord:
    """Return what the writer makes of a record, which the journal gives back as it is."""
    written: Any
    if isinstance(record, SpanStart | SpanEvent | SpanEnd):
        written = by.plain(record, subject)
    elif isinstance(record, TraceUpdate):
        written = by.update(record)
    else:
        assert isinstance(record, ModelSeen)
        written = by.model(record)
    assert codec.decode(codec.encode(written)) == written
    return written  # type: ignore[no-any-return]


def line(by: CarefulWriter, record: TraceRecord) -> str:
    """Return the JSON of what the writer makes of a record."""
    return codec.encode(made(by, record)).decode()


def test_a_start_with_values_of_any_type() -> None:
    """Every value of a start becomes JSON data, and none loses the event."""
    odd = {"day": dt.date(2025, 1, 2), 1: (2, b"x"), "nan": math.nan, "bad": Hostile(), "half": "\ud800"}
    record = start(
        name=7,
        run_id=RUN,
        tags=("t", 5),
        context=context({"k": "v"}, {"m": "n"}),
        inputs=[[[HumanMessage("hi")], odd]],
        details={"metadata": {"run": RUN}, "class": "C", "run_type": None, "params": {"stop": {"a"}}, "session_id": 5},
    )

    assert made(writer(), record) == start(
        name="7",
        run_id=str(RUN),
        tags=["t", "5"],
        context=context({"k": "v"}, {"m": "n"}),
        inputs=[
            [
                [{"type": "human", "content": "hi"}],
                {
                    "day": "2025-01-02",
                    "1": [2, "x"],
                    "nan": "NaN",
                    "bad": "<tests.capture.test_careful.Hostile: repr raised ValueError>",
                    "half": "\\ud800",
                },
            ]
        ],
        details={
            "metadata": {"run": str(RUN)},
            "class": "C",
            "run_type": None,
            "params": {"stop": ["a"]},
            "session_id": 5,
        },
    )


def test_an_end_with_values_of_any_type() -> None:
    """Every value of an end becomes JSON data, and none loses the event."""
    record = end(
        [answer("hi", usage_metadata=USAGE)],
        inputs=({1},),
        error=error("half \ud800", "Traceback\n"),
        chunks=2,
        first_chunk_ns=5,
        streamed=["a", [{"type": "text", "text": "b"}]],
        changes=changes(attributes={"at": dt.time(1, 2)}, status="ERROR", message="m", inputs=[{2}], outputs=[None]),
    )

    assert made(writer(), record) == end(
        [{"generations": [[{"message": {"type": "ai", "content": "hi", "usage_metadata": USAGE}}]]}],
        inputs=[[1]],
        error=error("half \\ud800", "Traceback\n"),
        chunks=2,
        first_chunk_ns=5,
        streamed=["a", [{"type": "text", "text": "b"}]],
        changes=changes(attributes={"at": "01:02:00"}, status="ERROR", message="m", inputs=[[2]], outputs=[None]),
    )


def test_a_span_of_mlflow_with_values_of_any_type() -> None:
    """The attributes, links and status of MLflow's own spans become JSON data."""
    link = {"trace_id": "tr-1", "span_id": "2", "attributes": {"n": 1}}
    attributes = {"mlflow.spanFunctionName": "f", "mlflow.chat.tokenUsage": USAGE, "mine": {1: Hostile}}

    assert made(writer(), start(kind="span", details={"type": "TOOL", "attributes": attributes})) == start(
        kind="span",
        details={
            "type": "TOOL",
            "attributes": {**attributes, "mine": {"1": "tests.capture.test_careful.Hostile"}},
        },
    )
    record = end(None, type="TOOL", attributes={}, name="n", status="ERROR", message="E: m", links=[link])
    assert made(writer(), record) == record


def test_an_event_with_values_of_any_type() -> None:
    """The attributes of an event become JSON data."""
    record = event("e\ud800", data={"x": {1}, "y": HumanMessage("hi")})

    assert made(writer(), record) == event("e\\ud800", data={"x": [1], "y": {"type": "human", "content": "hi"}})


def test_an_update_of_a_trace() -> None:
    """The fields of a trace are kept, but for previews that say nothing."""
    fields = {"name": "n", "state": "OK", "client_request_id": "c", "tags": {"k": "v"}, "metadata": {"m": "n"}}

    record = update(**fields, request_preview="asked", response_preview="")
    assert made(writer(), record) == update(**fields, request_preview="asked")


def test_a_chain_that_holds_no_secret() -> None:
    """The description of a chain without secrets is kept as it is."""
    record = model(code=[["a.py", "text", ""]], example=[{"topic": "cats"}], params={"p": "1"}, tags={"k": "v"})

    assert made(writer(redact=lambda value: value, redact_patterns=["C-12"]), record) == record


def test_a_chain_that_holds_a_secret() -> None:
    """A part of a chain that had to be changed is not built again, and the reason is said."""
    tree = {"lc": 1, "kwargs": {"key": SECRET, "password": "hunter2!x", "a": "b"}}
    record = model(
        chain=tree,
        code=[["a.py", SECRET, ""], ["b.py", "text", ""]],
        code_paths=[["c.py", SECRET]],
        problems=[["p", "C", "r"]],
    )
    reason = "it looks like a secret, or was changed by redact_patterns or the redact hook"

    assert made(writer(), record) == model(
        chain={"lc": 1, "kwargs": {"key": REDACTED, "password": REDACTED, "a": "b"}},
        code=[["a.py", "", reason], ["b.py", "text", ""]],
        problems=[["p", "C", "r"], [".key", "str", reason], [".password", "str", reason]],
    )
    assert record.form["problems"] == [["p", "C", "r"]]


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ({}, True),
        ({"redact_patterns": ["C-12"]}, True),
        ({"capture_content": False}, False),
        ({"redact": lambda value: value}, False),
    ],
    ids=["defaults", "patterns", "content off", "hook"],
)
def test_a_file(given: dict[str, Any], is_kept: bool) -> None:  # noqa: FBT001 - an expectation
    """A file is kept as it is, unless content is off or there is a hook, which sees JSON and no files."""
    record = TraceFile(TRACE, "f", "AAAA")

    assert writer(**given).file(record) == (record if is_kept else None)


# Values that are too large.

LONG = "a word and " * 2_000


def test_large_values_of_a_start() -> None:
    """Each value is cut to the limit on its own, and the sizes that they had are noted."""
    details = {"metadata": {"a": LONG, "b": 1}, "params": {"stop": [LONG]}, "run_type": "parser"}
    found = made(writer(max_value_bytes=1_000), start(inputs=[{"x": LONG, "y": [1]}], details=details))

    sizes = found.details.pop("truncated")
    assert sizes == {
        "inputs": pytest.approx(22_000, 0.1),
        "metadata": pytest.approx(22_000, 0.1),
        "params": pytest.approx(22_000, 0.1),
    }
    assert found.inputs is not None
    assert [*found.inputs[0]] == ["x", "y"]
    assert [*found.details] == ["metadata", "params", "run_type"]
    for value in (found.inputs[0], found.details["metadata"], found.details["params"]):
        assert 500 < len(orjson.dumps(value)) <= 1_000


def test_large_tags() -> None:
    """Tags that were cut are noted under the name of the record's field."""
    found = made(writer(max_value_bytes=1_000), start(tags=["t", LONG]))

    assert found.tags is not None
    assert found.tags[0] == "t"
    assert len(orjson.dumps(found.tags)) <= 1_000
    assert found.details == {"truncated": {"tags": pytest.approx(22_000, 0.1)}}


def test_large_values_of_an_end() -> None:
    """Inputs, outputs and what MLflow's API has changed are cut and noted; error texts are cut."""
    by = writer(max_value_bytes=1_000)

    found = made(by, end([LONG], inputs=[LONG], error=error(LONG, LONG)))
    assert found.details.pop("truncated") == {
        "inputs": pytest.approx(22_000, 0.1),
        "outputs": pytest.approx(22_000, 0.1),
    }
    assert found.outputs is not None
    for text in (found.outputs[0], found.details["inputs"][0]):
        assert text.startswith("a word and a word")
        assert len(text) <= 1_000
    for text in (found.details["error"]["message"], found.details["error"]["stack"]):
        assert text.startswith("a word and a word")
        assert len(text) <= 250

    found = made(by, end(None, changes=changes(attributes={"mine": LONG}, outputs=[LONG])))
    assert found.details["truncated"] == {
        "attributes": pytest.approx(22_000, 0.1),
        "outputs": pytest.approx(22_000, 0.1),
    }
    assert len(orjson.dumps(found.details["changes"])) < 2_200


def test_large_labels() -> None:
    """Names, an event's attributes and a trace's labels are cut."""
    by = writer(max_value_bytes=1_000)
    labels = {f"k{number}": "v" * 50 for number in range(100)}

    assert made(by, start(name=LONG)).name == LONG[:1_000].rpartition(" ")[0] + " "
    assert len(line(by, event(data=LONG))) < 1_200
    shown = made(by, start(context=context(labels, labels))).context
    assert shown is not None
    assert [*shown["tags"]][:2] == [*shown["metadata"]][:2] == ["k0", "k1"]
    assert len(orjson.dumps(shown)) < 1_200
    assert len(line(by, update(tags=labels, metadata=labels, request_preview=LONG))) < 1_200


# Every place of a record, each with a text planted in it.


def value(said: str) -> Any:
    """Return a value with the text in a text, a list and a key."""
    return {"text": f"so {said} then", "list": [1, [said]], said: {"deep": said}}


CONTENT: dict[str, Callable[[str], TraceRecord]] = {
    "inputs": lambda said: start(inputs=[value(said)]),
    "metadata": lambda said: start(details={"metadata": value(said)}),
    "parameters": lambda said: start(details={"params": {"stop": [said], "system": said, "tools": [value(said)]}}),
    "a schema among parameters": lambda said: start(
        details={"params": {"response_format": {"properties": {said: {"maxLength": 5, "description": said}}}}}
    ),
    "names of numbers among parameters": lambda said: start(details={"params": {"logit_bias": {said: -100}}}),
    "inputs with the end": lambda said: end(None, inputs=[value(said)]),
    "outputs": lambda said: end([value(said)]),
    "outputs as a text": lambda said: end([said]),
    "a message": lambda said: end([HumanMessage(said)]),
    "a chat model's answer": lambda said: end(
        [answer(said, info={"said": said}, output={"said": [said]}, response_metadata={"said": said})]
    ),
    "a text model's answer": lambda said: end([LLMResult(generations=[[Generation(text=said)]])]),
    "names of numbers in an answer": lambda said: end([answer("", info={"top_logprobs": {said: -0.1}})]),
    "a tool's answer": lambda said: end([ToolMessage(said, tool_call_id="c", status="error", artifact=value(said))]),
    "an error": lambda said: end(None, error=error(f"so {said}", f"Traceback:\n  {said}\nValueError: {said}\n")),
    "a stream that was closed": lambda said: end(None, streamed=[said, [{"type": "text", "text": said}]]),
    "inputs set through MLflow": lambda said: end(None, changes=changes(inputs=[value(said)])),
    "outputs set through MLflow": lambda said: end(None, changes=changes(outputs=[value(said)])),
    "attributes set through MLflow": lambda said: end(None, changes=changes(attributes={**value(said), "mine": said})),
    "a status set through MLflow": lambda said: end(None, changes=changes(status="ERROR", message=f"E: {said}")),
    "a status of the program's own words": lambda said: end(None, changes=changes(status="ERROR", message=said)),
    "attributes of a span of MLflow's": lambda said: start(kind="span", details={"attributes": value(said)}),
    "attributes with the end": lambda said: end(None, attributes=value(said)),
    "tools among the attributes": lambda said: end(None, attributes={"mlflow.chat.tools": [value(said)]}),
    "attributes of LangChain's names": lambda said: end(
        None, attributes={"metadata": value(said), "invocation_params": said, "langchain.tool_call_id": said}
    ),
    "intermediate outputs": lambda said: end(None, attributes={"mlflow.trace.intermediate_outputs": value(said)}),
    "the status of a span of MLflow's": lambda said: end(None, status="ERROR", message=f"ValueError: {said}"),
    "the program's own words of a status": lambda said: end(None, status="ERROR", message=f"it was {said}"),
    "attributes of a link": lambda said: end(
        None, links=[{"trace_id": "1", "span_id": "2", "attributes": value(said)}]
    ),
    "an event": lambda said: event(data=value(said)),
    "an event of an exception": lambda said: event(**{"exception.message": said, "exception.stacktrace": f"x\n{said}"}),
    "a preview of the request": lambda said: update(request_preview=f"so {said}"),
    "a preview of the response": lambda said: update(response_preview=f"so {said}"),
}
"""Places of what was said."""
MODEL: dict[str, Callable[[str], TraceRecord]] = {
    "a chain": lambda said: model(chain=value(said)),
    "a chain's code": lambda said: model(code=[["a.py", f"PROMPT = '{said}'", ""]]),
    "a chain's example": lambda said: model(example=[value(said)]),
}
"""Places of a logged chain. They are content too, and logging is refused where that is off."""
TAGS: dict[str, Callable[[str], TraceRecord]] = {"tags": lambda said: start(tags=["t", said])}
LABELS: dict[str, Callable[[str], TraceRecord]] = {
    "the name": lambda said: start(name=said),
    "the class": lambda said: start(name=None, details={"class": said}),
    "session and user": lambda said: start(details={"session_id": said, "user_id": said}),
    "known metadata": lambda said: start(details={"metadata": {"ls_model_name": said, "thread_id": said}}),
    "the model among parameters": lambda said: start(details={"params": {"model": said}}),
    "the model of an answer": lambda said: end([answer("", response_metadata={"model_name": said})]),
    "the reason of an answer": lambda said: end([answer("", info={"finish_reason": said})]),
    "tags of the trace": lambda said: start(context=context({said: "x", "k": said})),
    "metadata of the trace": lambda said: start(context=context({}, {said: "x", "k": said})),
    "attributes of MLflow's": lambda said: end(None, attributes={"mlflow.llm.model": said}),
    "the name of a span of MLflow's": lambda said: end(None, name=said),
    "the name of an event": event,
    "fields of the trace": lambda said: update(
        name=said, client_request_id=said, tags={said: "x", "k": said}, metadata={said: "x", "k": said}
    ),
    "a chain's name": lambda said: model(name=said),
    "a chain's labels": lambda said: model(params={"p": said}, tags={"k": said}),
}
"""Places of names and labels, which are kept where content is off, and which the hook does not see."""
PLACES = {**CONTENT, **MODEL, **TAGS, **LABELS}
MODES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "content off": {"capture_content": False},
    "a hook": {"redact": lambda found: found},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", PLACES)
def test_secrets_in_every_place(place: str, mode: str) -> None:
    """A secret is taken out of every place, by its shape and by the name of its key."""
    by = writer(**MODES[mode])

    assert SECRET not in line(by, PLACES[place](SECRET))
    assert "hunter2" not in line(by, PLACES[place]("password=hunter2!x"))


@pytest.mark.parametrize("field", ["inputs", "metadata", "params", "outputs", "attributes", "links", "data"])
def test_a_secret_key_in_every_value(field: str) -> None:
    """The value of a secret key is taken out of a record's values."""
    found: Any = {"note": [{"api_key": "hunter2", "x": 1}]}
    records: dict[str, TraceRecord] = {
        "inputs": start(inputs=[found]),
        "outputs": end([found]),
        "links": end(None, links=[{"trace_id": "1", "span_id": "2", "attributes": found}]),
        "data": event(data=found),
        "attributes": end(None, attributes=found),
    }
    written = line(writer(), records.get(field) or start(details={field: found}))

    assert f'{{"api_key":"{REDACTED}","x":1}}' in written


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", PLACES)
def test_patterns_in_every_place(place: str, mode: str) -> None:
    """What matches a pattern of the user's is taken out of every place, also across quotes and newlines."""
    by = writer(redact_patterns=[r"CUSTOMER-\d+", r'"Ada"\s+"Lovelace"'], **MODES[mode])

    assert "CUSTOMER" not in line(by, PLACES[place]("CUSTOMER-12"))
    assert "Lovelace" not in line(by, PLACES[place]('"Ada"\n"Lovelace"'))


def test_the_text_around_a_pattern() -> None:
    """Only the match is replaced, in keys and in texts, and the rest is kept."""
    by = writer(redact_patterns=[r"C-\d+"])

    assert made(by, start(name="of C-1", tags=["C-1 b"], inputs=[{"C-1": ["a C-2", 5]}])) == start(
        name=f"of {REDACTED}", tags=[f"{REDACTED} b"], inputs=[{REDACTED: [f"a {REDACTED}", 5]}]
    )
    assert made(by, end(None, error=error("no C-1", "in C-1\n"))) == end(
        None, error=error(f"no {REDACTED}", f"in {REDACTED}\n")
    )


def test_a_pattern_that_matches_names_of_fields() -> None:
    """A pattern changes the values of a record and the names in them, not the names of the record's fields."""
    by = writer(redact_patterns=["tags|metadata|name|preview"])

    record = start(context=context({"k": "v"}, {"m": "n"}), details={"metadata": {"x": 1}})
    assert made(by, record) == record
    fields = update(name="n", tags={"k": "v"}, metadata={"m": "n"}, request_preview="p")
    assert made(by, fields) == fields


# Content off.


@pytest.mark.parametrize("place", CONTENT)
def test_what_was_said_with_content_off(place: str) -> None:
    """With content off, nothing that was said is in a record."""
    assert "SPOKEN" not in line(writer(capture_content=False), CONTENT[place]("SPOKEN words"))


@pytest.mark.parametrize("place", [*TAGS, *LABELS])
def test_labels_with_content_off(place: str) -> None:
    """With content off, names, labels, models and reasons are kept."""
    assert "label-1" in line(writer(capture_content=False), PLACES[place]("label-1"))


def test_a_start_with_content_off() -> None:
    """With content off, a start keeps its name, tags, known metadata, and numbers and model of its parameters."""
    details = {
        "metadata": {"ls_model_name": "m-1", "session_id": "s", "langgraph_node": "n", "note": "SPOKEN", "n": 5},
        "params": {"model": "m-1", "_type": "openai-chat", "temperature": 0.5, "stream": True, "stop": ["SPOKEN"]},
        "class": "C",
        "parent_run_id": RUN,
    }
    record = start(tags=["t"], context=context({"k": "v"}), inputs=["SPOKEN"], details=details)

    assert made(writer(capture_content=False), record) == start(
        tags=["t"],
        context=context({"k": "v"}),
        details={
            "metadata": {"ls_model_name": "m-1", "session_id": "s", "langgraph_node": "n"},
            "params": {"model": "m-1", "_type": "openai-chat", "temperature": 0.5, "stream": True},
            "class": "C",
            "parent_run_id": str(RUN),
            "content": False,
        },
    )
    nothing = start(inputs=[1], details={"metadata": {"note": 1}, "params": None})
    assert made(writer(capture_content=False), nothing) == start(details={"content": False})


FACTS = {
    "generations": [
        [
            {
                "generation_info": {"finish_reason": "stop", "logprob": -0.5},
                "message": {
                    "type": "ai",
                    "usage_metadata": USAGE,
                    "response_metadata": {"model_name": "m-1", "finish_reason": "stop"},
                },
            }
        ]
    ],
    "llm_output": {"token_usage": {"total_tokens": 7}, "model_name": "m-1"},
}
"""What is known of the answer without its content."""


def test_an_end_with_content_off() -> None:
    """With content off, an end keeps usage, models and reasons of an answer, classes of an error, and counts."""
    by = writer(capture_content=False)

    assert made(by, end([answer("SPOKEN", **ANSWER)], chunks=2, first_chunk_ns=5)) == end(
        None, chunks=2, first_chunk_ns=5, facts=FACTS, content=False
    )
    assert made(by, end(None, error=error("SPOKEN", "SPOKEN"))) == end(
        None, error={"classes": ["ValueError", "Exception", "BaseException"]}, content=False
    )
    assert made(by, end([ToolMessage("SPOKEN", tool_call_id="c", status="error")])) == end(
        None, facts={"type": "tool", "status": "error"}, content=False
    )
    assert made(by, end([{"type": "SPOKEN", "status": "SPOKEN"}])) == end(None, content=False)


def test_a_span_of_mlflow_with_content_off() -> None:
    """With content off, a span of MLflow's keeps its type, status, function, model and usage."""
    facts = {"mlflow.spanFunctionName": "f", "mlflow.llm.model": "m-1", "mlflow.chat.tokenUsage": USAGE}
    record = end(
        ["SPOKEN"],
        inputs=["SPOKEN"],
        type="TOOL",
        name="n",
        status="ERROR",
        message="ValueError: SPOKEN",
        attributes={**facts, "note": "SPOKEN"},
    )

    assert made(writer(capture_content=False), record) == end(
        None,
        inputs=None,
        type="TOOL",
        name="n",
        status="ERROR",
        message="ValueError",
        attributes=facts,
        content=False,
    )


def test_an_event_and_a_trace_with_content_off() -> None:
    """With content off, an event keeps its name and the class of an exception; a trace's labels are kept."""
    by = writer(capture_content=False)
    details = {"exception.type": "ValueError", "exception.message": "SPOKEN", "data": "SPOKEN"}

    assert made(by, event("retry", **details)) == event("retry", **{"exception.type": "ValueError"})
    assert made(by, event("retry", data="SPOKEN")) == event("retry")
    fields = {"name": "n", "state": "ERROR", "tags": {"k": "v"}, "metadata": {"m": "n"}}
    assert made(by, update(**fields, request_preview="SPOKEN", response_preview="SPOKEN")) == update(**fields)


def graph_step(kind: str, **given: Any) -> list[TraceRecord]:
    """Return the starts of a chain and of a run of this kind below it."""
    return [start(kind="chain"), start(span_id=CHILD, parent_id=SPAN, kind=kind, **given)]


def failed(*classes: str) -> dict[str, Any]:
    """Return the details of an end by an exception of these classes."""
    return {"error": {"classes": list(classes), "message": "SPOKEN"}}


def test_the_causes_of_a_group() -> None:
    """The causes of a group are scrubbed as it is, and only their classes kept where content is off."""
    group = {**error(f"two {SECRET}", ""), "causes": [{"classes": ["KeyError"], "message": SECRET}]}
    kept = made(writer(), end(None, error=group)).details["error"]
    hidden = made(writer(capture_content=False), end(None, error=group)).details["error"]

    assert SECRET not in str(kept)
    assert kept["causes"] == [{"classes": ["KeyError"], "message": "[REDACTED]"}]
    assert hidden == {"classes": group["classes"], "causes": [{"classes": ["KeyError"]}]}


ENDS: dict[str, list[TraceRecord]] = {
    "returned": [start(), end([answer("SPOKEN", **ANSWER)])],
    "raised": [start(), end(None, **failed("ValueError"))],
    "cancelled": [start(), end(None, **failed("asyncio.exceptions.CancelledError"))],
    "interrupted": [start(), end(None, **failed("langgraph.errors.GraphInterrupt", "langgraph.errors.GraphBubbleUp"))],
    "a tool's error": [start(kind="tool"), end([ToolMessage("SPOKEN", tool_call_id="c", status="error")])],
    "a tool's answer": [start(kind="tool"), end([ToolMessage("SPOKEN", tool_call_id="c")])],
    "set through MLflow": [start(), end(["SPOKEN"], changes=changes(status="ERROR", message="E: SPOKEN"))],
    "a span of MLflow's": [start(kind="span"), end(["SPOKEN"], status="ERROR", message="E: SPOKEN")],
    "a stream that was closed": [
        *graph_step("chat_model"),
        end(["SPOKEN"], inputs=["SPOKEN"], streamed=["SPOKEN"]),
        end(None, streamed=["SPOKEN"], **failed("GeneratorExit"))._replace(span_id=CHILD),
    ],
    "a stream that went to its end": [
        *graph_step("chat_model"),
        end([answer("SPOKEN")], chunks=2, first_chunk_ns=5)._replace(span_id=CHILD),
        end(["SPOKEN"], inputs=["SPOKEN"]),
    ],
}


@pytest.mark.parametrize("given", [{"capture_content": False}, {"redact": lambda _: "HIDDEN"}], ids=["off", "hook"])
@pytest.mark.parametrize("how", ENDS)
def test_how_a_span_ended(how: str, given: dict[str, Any]) -> None:
    """Status and outcome of a span are the same when content is off, and when the hook hides everything."""
    records = [made(writer(), record) for record in ENDS[how]]
    hidden = [made(writer(**given), record) for record in ENDS[how]]

    expected = {span_id: (one.status, one.outcome) for span_id, one in endings(records).items()}
    assert {span_id: (one.status, one.outcome) for span_id, one in endings(hidden).items()} == expected
    assert len(expected) == sum(isinstance(record, SpanStart) for record in records)


# The redact hook.


class Hook:
    """A hook of two arguments that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, RedactContext]] = []

    def __call__(self, found: Any, where: RedactContext) -> Any:
        self.calls.append((found, where))
        return found

    def contexts(self) -> list[RedactContext]:
        """Return where it was called."""
        return [where for _, where in self.calls]


def of_chat(*fields: str) -> list[RedactContext]:
    """Return the contexts of these fields of the chat model."""
    return [RedactContext("chat", "CHAT_MODEL", field) for field in fields]


def test_where_the_hook_is_called_for_a_start() -> None:
    """The hook sees inputs, metadata, parameters and tags, each as JSON data with its place, and no names."""
    hook = Hook()
    record = start(
        tags=["t"],
        context=context({"k": "v"}),
        inputs=[[HumanMessage("hi")]],
        details={"metadata": {"m": {1}}, "params": {"temperature": 0.5}, "class": "C", "session_id": "s"},
    )
    made(writer(redact=hook), record)

    assert hook.contexts() == of_chat("langchain.tags", "inputs", "metadata", "invocation_params")
    assert [found for found, _ in hook.calls] == [
        ["t"],
        [{"type": "human", "content": "hi"}],
        {"m": [1]},
        {"temperature": 0.5},
    ]


def test_where_the_hook_is_called_for_an_end() -> None:
    """The hook sees outputs, and inputs that came with the end."""
    hook = Hook()
    made(writer(redact=hook), end([ToolMessage("hi", tool_call_id="c")], inputs=["in"], chunks=2, first_chunk_ns=5))

    assert hook.calls == [
        ({"type": "tool", "content": "hi", "tool_call_id": "c", "status": "success"}, of_chat("outputs")[0]),
        ("in", of_chat("inputs")[0]),
    ]


def test_where_the_hook_is_called_for_an_error() -> None:
    """The hook sees an error's message and stack trace, and not its classes."""
    hook = Hook()
    made(writer(redact=hook), end(None, error=error("wrong", "Traceback\n")))

    assert hook.calls == [
        ("wrong", of_chat("exception.message")[0]),
        ("Traceback\n", of_chat("exception.stacktrace")[0]),
    ]


def test_where_the_hook_is_called_for_an_event() -> None:
    """The hook sees the attributes of an event, with the event's name."""
    hook = Hook()
    by = writer(redact=hook)
    made(by, event("retry", attempt=2))
    made(by, event("progress", data={1}), Subject("", ""))

    assert hook.calls == [
        ({"attempt": 2}, of_chat("events.retry")[0]),
        ({"data": [1]}, RedactContext("", "", "events.progress")),
    ]


def test_where_the_hook_is_called_for_a_stream_that_was_closed() -> None:
    """The hook sees what a stream said until it was closed as the outputs that it becomes."""
    hook = Hook()
    made(writer(redact=hook), end(None, streamed=["a", "b"], error=error("", "")))

    assert hook.calls == [(["a", "b"], of_chat("outputs")[0])]


def test_where_the_hook_is_called_for_changes_through_mlflow() -> None:
    """The hook sees the status, values and attributes that the program has set, but no attributes of MLflow's."""
    hook = Hook()
    attributes = {"mine": 1, "mlflow.llm.model": "m-1"}
    made(
        writer(redact=hook),
        end(["out"], changes=changes(attributes=attributes, status="ERROR", message="m", inputs=["i"], outputs=["o"])),
    )

    assert hook.calls == [
        ("out", of_chat("outputs")[0]),
        ("m", of_chat("status")[0]),
        ("i", of_chat("inputs")[0]),
        ("o", of_chat("outputs")[0]),
        ({"mine": 1}, of_chat("attributes")[0]),
    ]


def test_where_the_hook_is_called_for_a_span_of_mlflow() -> None:
    """The hook sees the status, the values, and the attributes of a span of MLflow's that the program has named."""
    hook = Hook()
    attributes = {"mine": 1, "mlflow.llm.model": "m-1", "mlflow.chat.tools": []}
    made(writer(redact=hook), end(["o"], type="TOOL", attributes=attributes, name="n", status="ERROR", message="m"))

    assert hook.calls == [
        ("o", of_chat("outputs")[0]),
        ({"mine": 1, "mlflow.chat.tools": []}, of_chat("attributes")[0]),
        ("m", of_chat("status")[0]),
    ]


def test_where_the_hook_is_called_for_a_trace_and_a_chain() -> None:
    """The hook sees the previews of a trace, and the tree, code and example of a logged chain."""
    hook = Hook()
    by = writer(redact=hook)
    made(by, update(name="n", tags={"k": "v"}, request_preview="asked", response_preview="said"))
    record = model(chain={"lc": 1}, code=[["a.py", "text", ""]], example=[5], params={"p": "1"})
    made(by, record)

    assert hook.calls == [
        ("asked", RedactContext("n", "", "request_preview")),
        ("said", RedactContext("n", "", "response_preview")),
        ({"lc": 1}, RedactContext("chain", "", "chain")),
        (["a.py", "text"], RedactContext("chain", "", "code")),
        (5, RedactContext("chain", "", "example")),
    ]


@pytest.mark.parametrize("place", [*CONTENT, *TAGS, *MODEL])
def test_a_hook_that_hides_everything(place: str) -> None:
    """A hook that returns nothing of what it sees leaves nothing that was said."""
    assert "SPOKEN" not in line(writer(redact=lambda _: "HIDDEN"), PLACES[place]("SPOKEN words"))


@pytest.mark.parametrize("place", LABELS)
def test_labels_beside_a_hook_that_hides_everything(place: str) -> None:
    """Names, labels, models and reasons are kept, whatever the hook returns."""
    assert "label-1" in line(writer(redact=lambda _: "HIDDEN"), PLACES[place]("label-1"))


def test_values_that_say_nothing() -> None:
    """The hook is not called for empty metadata, parameters, tags, attributes and messages, and they stay empty."""
    hook = Hook()
    by = writer(redact=hook)
    own = {"mlflow.llm.model": "m-1"}

    assert made(by, start(tags=[], details={"metadata": {}, "params": None})) == start()
    assert made(by, end(None, attributes=own, status="OK", message="")) == end(
        None, attributes=own, status="OK", message=""
    )
    assert hook.calls == []
    assert made(writer(), start(tags=[], details={"metadata": {}, "params": {}})) == start()


def test_a_hook_of_one_argument() -> None:
    """What the hook returns takes the value's place, whatever JSON it is; texts stay texts."""

    def hook(found: Any) -> Any:
        return {"kept": found["a"]} if isinstance(found, dict) else {1: len(found)}

    by = writer(redact=hook)
    assert made(by, start(inputs=[{"a": 1, "b": 2}], tags=["t"], details={"metadata": {"a": None}})) == start(
        inputs=[{"kept": 1}], tags=["{'1': 1}"], details={"metadata": {"kept": None}, "metadata_facts": {}}
    )
    assert made(by, event(a=1)) == event(kept=1)
    assert made(by, end(None, error=error("abc", "de"))) == end(None, error=error("{'1': 3}", "{'1': 2}"))
    assert made(writer(redact=lambda _: None), end([1])) == end([None])
    assert made(writer(redact=lambda _: 5), event(a=1)) == event(redacted=5)
    assert by.redact_failures == 0


def test_the_value_that_the_hook_sees() -> None:
    """The hook is called after secrets, patterns and what is too large have been taken out."""
    hook = Hook()
    made(writer(redact=hook, redact_patterns=["C-12"], max_value_bytes=1_000), end([["C-12", SECRET, LONG]]))

    ((found, _),) = hook.calls
    assert found[:2] == [REDACTED, REDACTED]
    assert len(orjson.dumps(found)) <= 1_000


def test_a_hook_that_changes_the_value_in_place() -> None:
    """A hook may change the value that it is given; the program's own value is not changed."""

    def hook(found: Any) -> Any:
        if isinstance(found, dict):
            found["text"] = "HIDDEN"
        return found

    mine = {"text": "SPOKEN"}
    assert made(writer(redact=hook), end([mine], inputs=[mine])) == end(
        [{"text": "HIDDEN"}], inputs=[{"text": "HIDDEN"}]
    )
    assert mine == {"text": "SPOKEN"}


def test_a_hook_that_changes_a_chain_in_place() -> None:
    """A chain that the hook has changed is not built again, also where the hook changes it in place."""

    def hook(found: Any) -> Any:
        found["kwargs"]["template"] = "HIDDEN"
        return found

    record = model(chain={"lc": 1, "kwargs": {"template": "SPOKEN"}})
    found = made(writer(redact=hook), record)

    assert found.form["chain"] == {"lc": 1, "kwargs": {"template": "HIDDEN"}}
    assert [path for path, *_ in found.form["problems"]] == [".template"]
    assert record.form["chain"] == {"lc": 1, "kwargs": {"template": "SPOKEN"}}


RAISED = f"{REDACTED}: the redact hook raised ZeroDivisionError"


def test_a_hook_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left of a value whose hook raises; each is counted, and the first one logged."""
    by = writer(redact=lambda _: 1 // 0)
    with caplog.at_level(logging.WARNING, "langchain_autotrace"):
        assert made(by, start(tags=["t"], inputs=["in"], details={"metadata": {"m": 1, "user_id": "u"}})) == start(
            tags=[RAISED], inputs=[RAISED], details={"metadata": RAISED, "metadata_facts": {"user_id": "u"}}
        )
        assert made(by, end(["out"], error=error("m", "s"))) == end([RAISED], error=error(RAISED, RAISED))
        assert made(by, event(data=1)) == event(redacted=RAISED)
        assert made(by, update(request_preview="p")) == update(request_preview=RAISED)
        attributes = made(by, end(None, attributes={"a": 1, "mlflow.llm.model": "m-1"})).details["attributes"]
        assert attributes == {"redacted": RAISED, "mlflow.llm.model": "m-1"}

    assert by.redact_failures == 3 + 3 + 1 + 1 + 1
    (told,) = [one.getMessage() for one in caplog.records]
    assert re.fullmatch("the redact hook raised ZeroDivisionError: [a-z ]+: the value was dropped[.]", told)


@pytest.mark.parametrize("place", ["inputs", "metadata", "tags", "an error", "an event", "a preview of the request"])
def test_a_hook_that_raises_the_value(place: str) -> None:
    """Nothing of a value is left where the hook puts it into its exception."""

    def hook(found: Any) -> Any:
        raise ValueError(found)

    assert "SPOKEN" not in line(writer(redact=hook), PLACES[place]("SPOKEN words"))


def itself() -> Any:
    """Return a list that contains itself."""
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    "returned",
    [{1, 2}, object(), "\ud800", 2**64, itself(), {(1, 2): 3}],
    ids=["set", "object", "lone surrogate", "large integer", "contains itself", "tuple as a key"],
)
def test_a_hook_that_returns_no_json(returned: Any) -> None:
    """Nothing is left of a value for which the hook returns what is no JSON, and it is counted."""
    by = writer(redact=lambda _: returned)

    assert made(by, end(["SPOKEN"])) == end([f"{REDACTED}: the redact hook raised TypeError"])
    assert by.redact_failures == 1


# What is known without content.


def test_a_start_whose_values_the_hook_hides() -> None:
    """Known metadata and the numbers and model of parameters are kept beside what the hook made of them."""
    by = writer(redact=lambda _: "HIDDEN")
    details = {
        "metadata": {"ls_model_name": "m-1", "ls_provider": "p", "thread_id": "s", "note": "SPOKEN"},
        "params": {"model": "m-1", "max_tokens": 5, "stop": ["SPOKEN"]},
    }

    assert made(by, start(details=details)) == start(
        details={
            "metadata": "HIDDEN",
            "metadata_facts": {"ls_model_name": "m-1", "ls_provider": "p", "thread_id": "s"},
            "params": "HIDDEN",
            "params_facts": {"model": "m-1", "max_tokens": 5},
        }
    )


def test_an_answer_that_the_hook_hides() -> None:
    """Token usage, models and reasons of an answer, and a tool's status, are kept beside what the hook made of it."""
    by = writer(redact=lambda _: "HIDDEN")

    assert made(by, end([answer("SPOKEN", **ANSWER)])) == end(["HIDDEN"], facts=FACTS)
    assert made(by, end([ToolMessage("SPOKEN", tool_call_id="c", status="error")])) == end(
        ["HIDDEN"], facts={"type": "tool", "status": "error"}
    )
    assert made(by, end(["SPOKEN"])) == end(["HIDDEN"])


def test_the_answers_of_a_batch() -> None:
    """The facts of each answer are kept, with several prompts, several candidates, and answers of text models."""
    texts = [Generation(text="SPOKEN", generation_info={"finish_reason": reason}) for reason in ("stop", "length")]
    given = LLMResult(generations=[texts, []], llm_output={"token_usage": {"total_tokens": 7}})

    assert made(writer(capture_content=False), end([given])).details["facts"] == {
        "generations": [
            [{"generation_info": {"finish_reason": "stop"}}, {"generation_info": {"finish_reason": "length"}}],
            [],
        ],
        "llm_output": {"token_usage": {"total_tokens": 7}},
    }


@pytest.mark.parametrize("limit", [1_000, 10_000])
@pytest.mark.parametrize("given", [{"capture_content": False}, {"redact": lambda _: "HIDDEN"}], ids=["off", "hook"])
def test_a_large_answer(given: dict[str, Any], limit: int) -> None:
    """The facts of an answer are kept where its text is larger than the limit."""
    record = end([answer(LONG, **ANSWER)])

    assert made(writer(max_value_bytes=limit, **given), record).details["facts"] == FACTS


@pytest.mark.parametrize("output", [{"generations": 5}, {"generations": [5, [6]]}, {"generations": [[{"message": 5}]]}])
def test_an_answer_of_another_form(output: Any) -> None:
    """An output that merely looks like an answer loses no event."""
    assert "content" in made(writer(capture_content=False), end([output])).details
