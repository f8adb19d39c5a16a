"""Spans of tool calls that have no run."""

from __future__ import annotations

from typing import Any, Final

import pytest

from langchain_autotrace.ids import derived_span_id
from langchain_autotrace.records import Record
from langchain_autotrace.trace.spans import Span, trace_of
from tests.trace.support import end, joiner, span, span_id, spans_of, start

Json = dict[str, Any]


def calls(*names: str) -> list[Json]:
    """Tool calls, numbered from 1, as in a message."""
    return [{"name": name, "args": {"a": 1}, "id": f"c{n}", "type": "tool_call"} for n, name in enumerate(names, 1)]


def failed(call_id: str, content: Any = "Error: no such tool", **more: Any) -> Json:
    """A tool message with an error."""
    return {"type": "tool", "content": content, "tool_call_id": call_id, "status": "error", **more}


ASKED: Final[Json] = {"type": "ai", "content": "", "tool_calls": calls("nope", "add")}
STATE: Final[Json] = {"messages": [{"type": "human", "content": "1 + 2?"}, ASKED]}


def call_span(below: int, name: str = "nope", call_id: str = "c1", **fields: Any) -> Span:
    """The span of a failed call."""
    fields = {"inputs": [{"a": 1}], "outputs": [failed(call_id)], "message": "Error: no such tool", **fields}
    attributes = {"langchain.tool_call_id": call_id}
    made = span(1, 0, below, name=name, type="TOOL", status="ERROR", attributes=attributes, **fields)
    return made._replace(span_id=derived_span_id(span_id(below), call_id))


def tools_of(*records: Record) -> list[Span]:
    """The tools' spans of a trace."""
    return [one for one in spans_of(*records) if one.type == "TOOL"]


@pytest.mark.parametrize(
    "inputs",
    [
        STATE,
        [ASKED],
        calls("nope"),
        {"__type": "tool_call_with_context", "tool_call": calls("nope")[0], "state": {"messages": []}},
        # An id that was used before, and answered.
        {"messages": [ASKED, failed("c1"), failed("c2"), ASKED]},
    ],
)
@pytest.mark.parametrize(
    "outputs",
    [
        {"messages": [failed("c1")]},
        [failed("c1")],
        [{"messages": [failed("c1")]}, {"graph": None, "update": {"messages": []}, "resume": None, "goto": []}],
        {"graph": None, "update": {"messages": [failed("c1")]}, "resume": None, "goto": []},
        [{"graph": None, "update": [["messages", [failed("c1")]]], "resume": None, "goto": "agent"}],
    ],
)
def test_a_call_that_its_node_answers_with_an_error(inputs: Any, outputs: Any) -> None:
    """A call that failed without a run is one TOOL span, below the node that answered, whatever the form of its state.

    The graph above, and what comes after, return the same message.
    """
    history = {"messages": [ASKED, failed("c1")]}
    made = tools_of(
        *(start(1, 1, inputs=[STATE]), start(1, 2, 1, inputs=[inputs]), end(1, 2, outputs=[outputs])),
        *(start(1, 3, 1, inputs=[history]), end(1, 3, outputs=[history]), end(1, 1, outputs=[history])),
    )
    assert made == [call_span(2)]


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        ({"tool_call_id": "c1"}, failed("c1")),
        ({"name": "nope"}, failed("c1")),
        ({"name": None, "class": "nope"}, failed("c1")),
        ({}, {**failed("c1"), "status": "success"}),
        ({}, failed("of another agent")),
        ({}, "text"),
    ],
)
def test_a_call_that_has_a_run(tool: Json, result: Any) -> None:
    """A call whose tool has run, or that did not fail, or that was not asked for here, gets no further span."""
    run = start(1, 2, 1, kind="tool", **tool)
    made = spans_of(start(1, 1, inputs=[STATE]), run, end(1, 2), end(1, 1, outputs=[{"messages": [result]}]))
    assert [one.span_id for one in made] == [span_id(1), span_id(2)]


def test_a_node_that_ends_after_its_trace_was_delivered() -> None:
    """A late node's failed call is found when it ends; one whose tool's run was delivered before is not made again."""
    made = joiner(
        *(start(1, 1), start(1, 2, 1, inputs=[STATE]), start(1, 3, 2, kind="tool", tool_call_id="c2")),
        *(end(1, 3, outputs=[failed("c2")]), end(1, 1)),
    )
    (first,) = map(trace_of, made.take(2.0))
    again = joiner(*made.unfinished())
    late = []
    for one in (made, again):
        one.add(end(1, 2, outputs=[{"messages": [failed("c1"), failed("c2")]}]), 5.0)
        (second,) = map(trace_of, one.take(5.0))
        late.append(second.spans)

    assert [one.span_id for one in first.spans] == [span_id(1), span_id(2), span_id(3)]
    node = span(1, 2, 1, inputs=[STATE], outputs=[{"messages": [failed("c1"), failed("c2")]}])
    assert late == [[node, call_span(2)]] * 2


def answer(*blocks: Any, **more: Any) -> Json:
    """A model's result with these blocks."""
    return {"generations": [[{"message": {"type": "ai", "content": list(blocks), **more}}]]}


def called(result: Any, **details: Any) -> list[tuple[Any, ...]]:
    """The spans below a model's, as (name, status, message, inputs, outputs), all with the model's times."""
    model, *tools = spans_of(start(1, 1, kind="chat_model", inputs=[[[]]]), end(1, 1, outputs=[result], **details))
    assert model.status == "OK"
    assert all(
        (one.type, one.parent_id, one.start_ns, one.end_ns) == ("TOOL", *model[1:2], *model[5:7]) for one in tools
    )
    assert len({one.span_id for one in tools}) == len(tools)
    return [(one.name, one.status, one.message, one.inputs, one.outputs) for one in tools]


QUERY: Final = {"query": "cats"}
PAGE: Final = [{"type": "web_search_result", "title": "Cats", "url": "https://cats.example"}]
REFUSED: Final = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
EXITED: Final = {"type": "code_execution_result", "stdout": "", "stderr": "NameError", "return_code": 1}
QUIET: Final = {"type": "bash_code_execution_result", "stdout": "", "stderr": "", "return_code": 2}
UNAVAILABLE: Final = {"type": "code_execution_tool_result_error", "error_code": "unavailable"}
BROKEN: Final = [{"type": "text", "text": "no such row"}]


def used(name: str, given: Any = QUERY, **more: Any) -> Json:
    """Anthropic's block of a call."""
    return {"type": "server_tool_use", "id": "s1", "name": name, "input": given, **more}


def result(kind: str, content: Any, **more: Any) -> Json:
    """Anthropic's block of a result."""
    return {"type": kind, "tool_use_id": "s1", "content": content, **more}


STANDARD: Final = {"type": "server_tool_call", "id": "s1", "name": "web_search", "args": QUERY}
STANDARD_RESULT: Final = {"type": "server_tool_result", "tool_call_id": "s1"}
REMOTE: Final = {**STANDARD, "name": "remote_mcp", "extras": {"tool_name": "rows", "server_label": "db"}}
CODE: Final = {"type": "executable_code", "executable_code": "1/0", "language": "PYTHON"}
RAN: Final = {"type": "code_execution_result", "code_execution_result": "ZeroDivisionError"}
GIVEN: Final = [{"language": "PYTHON", "code": "1/0"}]
MCP: Final = {"type": "mcp_call", "id": "m1", "name": "rows", "server_label": "db", "arguments": '{"query":"cats"}'}


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        # Anthropic
        (
            [used("web_search"), result("web_search_tool_result", PAGE)],
            [("web_search", "OK", "", [QUERY], [PAGE])],
        ),
        (
            [used("web_search"), result("web_search_tool_result", REFUSED)],
            [("web_search", "ERROR", "max_uses_exceeded", [QUERY], [REFUSED])],
        ),
        (
            [used("web_search", {}, partial_json='{"query":"cats"}')],
            [("web_search", "OK", "", [QUERY], None)],
        ),
        (
            [used("code_execution"), result("code_execution_tool_result", EXITED)],
            [("code_execution", "ERROR", "NameError", [QUERY], [EXITED])],
        ),
        (
            [used("bash_code_execution"), result("bash_code_execution_tool_result", QUIET)],
            [("bash_code_execution", "ERROR", "return code 2", [QUERY], [QUIET])],
        ),
        (
            [used("code_execution"), result("code_execution_tool_result", UNAVAILABLE)],
            [("code_execution", "ERROR", "unavailable", [QUERY], [UNAVAILABLE])],
        ),
        (
            [{**used("rows"), "type": "mcp_tool_use"}, result("mcp_tool_result", BROKEN, is_error=True)],
            [("rows", "ERROR", "no such row", [QUERY], [BROKEN])],
        ),
        (
            [{**used("rows"), "type": "mcp_tool_use"}, result("mcp_tool_result", BROKEN, is_error=False)],
            [("rows", "OK", "", [QUERY], [BROKEN])],
        ),
        # Its call is in the answer before.
        (
            [result("web_search_tool_result", REFUSED)],
            [("web_search", "ERROR", "max_uses_exceeded", None, [REFUSED])],
        ),
        # OpenAI's Responses API
        (
            [{"type": "web_search_call", "id": "w1", "status": "failed", "action": {"type": "search", **QUERY}}],
            [("web_search", "ERROR", "failed", [{"type": "search", **QUERY}], [{"status": "failed"}])],
        ),
        (
            [{"type": "file_search_call", "id": "f1", "status": "completed", "queries": ["cats"], "results": PAGE}],
            [("file_search", "OK", "", [{"queries": ["cats"]}], [{"results": PAGE, "status": "completed"}])],
        ),
        (
            [{"type": "code_interpreter_call", "id": "i1", "status": "failed", "code": "1/0", "container_id": "k"}],
            [
                (
                    *("code_interpreter", "ERROR", "failed"),
                    *([{"code": "1/0", "container_id": "k"}], [{"status": "failed"}]),
                )
            ],
        ),
        ([{**MCP, "output": "3 rows"}], [("rows", "OK", "", [QUERY], [{"output": "3 rows"}])]),
        (
            [{**MCP, "error": {"type": "http_error", "code": 503, "message": "unreachable"}}],
            [
                (
                    *("rows", "ERROR", "unreachable", [QUERY]),
                    [{"error": {"type": "http_error", "code": 503, "message": "unreachable"}}],
                )
            ],
        ),
        ([{**MCP, "error": {"code": 503}}], [("rows", "ERROR", '{"code":503}', [QUERY], [{"error": {"code": 503}}])]),
        ([{**MCP, "arguments": "no JSON"}], [("rows", "OK", "", [{"arguments": "no JSON"}], None)]),
        # Gemini
        ([CODE, {**RAN, "outcome": 1}], [("code_execution", "OK", "", GIVEN, ["ZeroDivisionError"])]),
        (
            [CODE, {**RAN, "outcome": "OUTCOME_FAILED"}, {**CODE, "id": "g2"}, {**RAN, "outcome": 2}],
            [("code_execution", "ERROR", "ZeroDivisionError", GIVEN, ["ZeroDivisionError"])] * 2,
        ),
        # LangChain's own blocks
        (
            [STANDARD, {**STANDARD_RESULT, "status": "success", "output": PAGE}],
            [("web_search", "OK", "", [QUERY], [PAGE])],
        ),
        (
            [STANDARD, {**STANDARD_RESULT, "status": "error"}],
            [("web_search", "ERROR", "failed", [QUERY], ["failed"])],
        ),
        (
            [STANDARD, {**STANDARD_RESULT, "status": "success", "output": EXITED}],
            [("web_search", "ERROR", "NameError", [QUERY], [EXITED])],
        ),
        (
            [REMOTE, {**STANDARD_RESULT, "status": "error", "extras": {"error": "unreachable"}}],
            [("rows", "ERROR", "unreachable", [QUERY], ["unreachable"])],
        ),
        (
            [{"type": "text", "text": "", "id": "s1", "name": "web_search", "args": '{"query":"cats"}'}],
            [("web_search", "OK", "", [QUERY], None)],
        ),
        (
            [{**STANDARD_RESULT, "status": "error", "extras": {"block_type": "web_search_tool_result"}}],
            [("web_search", "ERROR", "failed", None, ["failed"])],
        ),
        # None is a call of a provider's tool.
        ([{"type": "text", "text": "hi"}, "text", {"type": "tool_use", "id": "c1", "name": "add", "input": {}}], []),
        ([{"type": "tool_call", "id": "c1", "name": "add", "args": {}}, {"type": "mcp_list_tools", "id": "l1"}], []),
    ],
)
def test_a_providers_own_tools(blocks: list[Any], expected: list[tuple[Any, ...]]) -> None:
    """Each call of a provider's own tool is a TOOL span below the model's, an ERROR when its result says so."""
    assert called(answer(*blocks)) == expected


def test_blocks_beside_the_content() -> None:
    """The calls that LangChain's older form of OpenAI's answers has apart from the content are found too."""
    more = {"additional_kwargs": {"tool_outputs": [{**MCP, "output": "3 rows"}]}}
    assert called(answer(**more)) == [("rows", "OK", "", [QUERY], [{"output": "3 rows"}])]


def test_an_answer_from_the_cache() -> None:
    """An answer from LangChain's cache has called no tool."""
    cached = answer({**MCP, "output": "3 rows"})
    cached["generations"][0][0]["message"]["usage_metadata"] = {"total_cost": 0}
    assert called(cached) == []


@pytest.mark.parametrize("outputs", ["[hidden]", {"generations": "[hidden]"}, {"generations": [[{"text": "hi"}]]}])
def test_an_answer_without_blocks(outputs: Any) -> None:
    """An answer that the redact hook has changed, or that is text, has no calls."""
    assert called(outputs) == []
