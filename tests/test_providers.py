"""Real langchain-openai programs, replayed from cassettes through the real HTTP stack, as they stand in the store."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.entities import Span, Trace

import langchain_autotrace
from tests.cassettes_support import replay
from tests.programs import PROGRAMS, outcome
from tests.support import assert_same_tree, deliver, observed, stored, tree


def traces_of(name: str, uri: str) -> list[Trace]:
    """The stored traces of a recorded program."""
    langchain_autotrace.autolog(tracking_uri=uri, shipper="external")
    with replay(name), observed() as observer:
        outcome(name)
    deliver()
    traces = stored(uri)
    assert_same_tree(traces, observer.runs)
    return traces


def models(trace: Trace) -> list[Span]:
    """The model calls of a trace, in the order of their starts."""
    found = [span for span in trace.data.spans if span.span_type == "CHAT_MODEL"]
    return sorted(found, key=lambda span: span.start_time_ns)


def attribute(span: Span, name: str) -> Any:
    """An attribute of a span."""
    return span.get_attribute(name)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_program(name: str, store: str) -> None:
    """Every recorded program is traced as LangChain announced its runs, with model, provider and usage on each call."""
    for trace in traces_of(name, store):
        for span in models(trace):
            if span.status.status_code.value == "ERROR":
                continue
            usage = attribute(span, "mlflow.chat.tokenUsage")
            assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
            assert attribute(span, "mlflow.llm.provider") == "openai"
            assert str(span.model_name).startswith(str(attribute(span, "gen_ai.request.model")))
            assert {"role", "content"} <= set(span.inputs["messages"][0])
            assert span.outputs["choices"][0]["message"]["role"] == "assistant"


def test_usage_is_summed_once(store: str) -> None:
    """A trace's tokens and cost are the sums over its model calls, cached and reasoning tokens included."""
    (trace,) = traces_of("agent", store)
    calls = [attribute(span, "mlflow.chat.tokenUsage") for span in models(trace)]
    assert len(calls) >= 3
    total = {key: sum(call.get(key, 0) for call in calls) for key in calls[0]}
    assert {key: (trace.info.token_usage or {})[key] for key in total} == total
    costs = [span.llm_cost or {} for span in models(trace)]
    assert min(cost["total_cost"] for cost in costs) > 0
    assert trace.info.cost == pytest.approx({key: sum(cost[key] for cost in costs) for key in costs[0]})


def test_an_agent_with_parallel_tools(store: str) -> None:
    """An agent's tools have dict inputs and the ids of their calls, and its models the tools' definitions."""
    (trace,) = traces_of("agent", store)
    root = tree(trace)
    assert root[:3] == ("LangGraph", "AGENT", "OK")
    tools = [span for span in trace.data.spans if span.span_type == "TOOL"]
    assert len(tools) >= 2
    for span in tools:
        assert isinstance(span.inputs, dict)
        assert attribute(span, "langchain.tool_call_id")
    offered = attribute(models(trace)[0], "mlflow.chat.tools")
    assert {one["function"]["name"] for one in offered} == {"find_order", "refund"}
    asked = models(trace)[0].outputs["choices"][0]["message"]["tool_calls"]
    assert {call["function"]["name"] for call in asked} <= {"find_order", "refund"}


@pytest.mark.parametrize("name", ["chat_stream", "chat_astream", "responses_stream"])
def test_streams(name: str, store: str) -> None:
    """A streamed answer is whole, with its usage, its chunks and the time to the first."""
    (trace,) = traces_of(name, store)
    (span,) = models(trace)
    with replay(name):
        said = outcome(name)
    content: Any = span.outputs["choices"][0]["message"]["content"]
    text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
    assert text == said
    assert attribute(span, "langchain.chunk_count") > 1
    assert 0 < attribute(span, "gen_ai.response.time_to_first_chunk") < 30


def test_a_rate_limit_and_a_retry(store: str) -> None:
    """A call that is refused and tried again is an ERROR with its exception, beside the one that went through."""
    (trace,) = traces_of("rate_limited", store)
    first, second = models(trace)
    assert [span.status.status_code.value for span in (first, second)] == ["ERROR", "OK"]
    assert "RateLimitError" in str(first.events[0].attributes["exception.type"])
    assert trace.info.state.value == "OK"


def test_a_refused_key(store: str) -> None:
    """A key that is refused is an ERROR up to the root, and the key is not in the trace."""
    (trace,) = traces_of("unauthorized", store)
    assert trace.info.state.value == "ERROR"
    assert "AuthenticationError" in str(models(trace)[0].events[0].attributes["exception.type"])
    assert "placeholder" not in str([span.to_dict() for span in trace.data.spans]).lower()


def test_retrieval(store: str) -> None:
    """A RAG chain has its retriever's documents in MLflow's form."""
    (trace,) = traces_of("rag", store)
    (span,) = (span for span in trace.data.spans if span.span_type == "RETRIEVER")
    assert span.outputs
    assert all(set(one) == {"page_content", "metadata", "id"} for one in span.outputs)
