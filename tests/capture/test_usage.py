"""Tokens, and the model that answered, as each provider's integration says them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation, GenerationChunk, LLMResult
from langchain_openai.chat_models.base import _create_usage_metadata, _create_usage_metadata_responses

from langchain_autotrace.capture.attributes import model_attributes
from langchain_autotrace.capture.usage import Usage, facts


def usage(answered: LLMResult) -> Usage:
    """What an answer says of its cost."""
    return facts(answered)[0]


def model_that_answered(answered: LLMResult) -> str | None:
    """The model that an answer names."""
    return facts(answered)[1]


def model_asked_for(metadata: dict[str, Any], params: Any) -> object:
    """The model that a call names."""
    return model_attributes(None, metadata, params, content=True).get("mlflow.llm.model")


def provider(metadata: Any, params: Any) -> object:
    """The provider that a call names."""
    return model_attributes(None, metadata, params, content=True).get("mlflow.llm.provider")


def chat(own: Any = None, *, times: int = 1, llm_output: Any = None, info: Any = None, **metadata: Any) -> LLMResult:
    """A chat model's answer, with usage in LangChain's own form or in the provider's."""
    message = AIMessage("x", response_metadata=metadata).model_copy(update={"usage_metadata": own})
    generation = ChatGeneration(message=message, generation_info=info)
    return LLMResult(generations=[[generation] * times], llm_output=llm_output)


def text(llm_output: Any = None, **info: Any) -> LLMResult:
    """A text model's answer."""
    return LLMResult(generations=[[Generation(text="x", generation_info=info)]], llm_output=llm_output)


def counted(given: int, made: int, total: int | None = None, read: int = 0, written: int = 0) -> dict[str, int]:
    """Counts as they should be."""
    counts = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made if total is None else total}
    cached = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    return counts | {name: count for name, count in cached.items() if count}


OPENAI = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 64, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 32, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}
RESPONSES = {
    "input_tokens": 100,
    "output_tokens": 50,
    "total_tokens": 150,
    "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 3},
    "output_tokens_details": {"reasoning_tokens": 32},
}
ANTHROPIC = {
    "input_tokens": 100,
    "output_tokens": 50,
    "cache_read_input_tokens": 64,
    "cache_creation_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    "service_tier": "standard",
}
OWN = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
FULL = counted(100, 50, read=64, written=3)
ANSWERS: list[tuple[LLMResult, dict[str, int], int]] = [
    # LangChain's own form.
    (chat(OWN), counted(100, 50), 0),
    (chat(OWN, times=5), counted(100, 50), 0),
    (chat(OWN, token_usage={"prompt_tokens": 7}, llm_output={"usage": {"input_tokens": 8}}), counted(100, 50), 0),
    (chat(dict.fromkeys(OWN, 0)), counted(0, 0), 0),
    (chat(_create_usage_metadata(OPENAI)), FULL, 32),
    (chat(_create_usage_metadata(OPENAI, "priority")), FULL, 32),
    (chat(_create_usage_metadata(OPENAI, "flex")), FULL, 32),
    (chat(_create_usage_metadata_responses(RESPONSES)), FULL, 32),
    (chat(_create_usage_metadata_responses(RESPONSES, "flex")), FULL, 32),
    (chat({**OWN, "input_token_details": {"cache_read": 64, "cache_creation": 3}}), FULL, 0),
    (
        # langchain-anthropic with a time to live: the total is 0, so that it is not counted twice
        chat({**OWN, "input_token_details": {"cache_read": 64, "cache_creation": 0}
              | {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}}),
        FULL,
        0,
    ),
    (chat({**OWN, "output_token_details": {"reasoning": 32}}), counted(100, 50), 32),
    # The provider's, where the integration is older, or the model one of texts.
    (chat(token_usage=OPENAI), FULL, 32),
    (chat(llm_output={"token_usage": OPENAI, "model_name": "m"}), FULL, 32),
    (text({"token_usage": OPENAI}), FULL, 32),
    (text({"token_usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}}), counted(100, 50), 0),
    (chat(usage=RESPONSES), FULL, 32),
    (chat(usage=ANTHROPIC), FULL, 0),
    (
        chat(usage={"inputTokens": 100, "outputTokens": 50, "totalTokens": 217}
             | {"cacheReadInputTokens": 64, "cacheReadInputTokenCount": 64, "cacheWriteInputTokens": 3}),
        counted(100, 50, 217, 64, 3),
        0,
    ),
    (text(**{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 5}}), counted(9, 5), 0),
    (
        text(usage_metadata={"prompt_token_count": 100, "candidates_token_count": 50, "total_token_count": 182}
             | {"cached_content_token_count": 64, "thoughts_token_count": 32}),
        counted(100, 50, 182, 64),
        32,
    ),
    (text(model="llama3", prompt_eval_count=100, eval_count=50, done_reason="stop"), counted(100, 50), 0),
    (chat(prompt_eval_count=100, eval_count=50), counted(100, 50), 0),
    (chat(token_usage={"input_token_count": 100, "generated_token_count": 50}), counted(100, 50), 0),
    (chat(token_count={"input_tokens": 100.0, "output_tokens": 50.0}), counted(100, 50), 0),
    (chat(token_usage={"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "total_cost": 0}), counted(9, 0, read=4), 0),
    (chat(info={"usage": {"output_tokens": 50}}), counted(0, 50), 0),
    # Counts that are none.
    (chat(token_usage={"prompt_tokens": None, "completion_tokens": "5"}, usage=RESPONSES), FULL, 32),
    (chat({"input_tokens": True, "output_tokens": float("nan"), "total_tokens": -3}, usage=RESPONSES), FULL, 32),
    (chat({**OWN, "input_token_details": None, "output_token_details": [1]}), counted(100, 50), 0),
    (chat({**OWN, "input_token_details": {"cache_read": "64", "cache_creation": float("inf")}}), counted(100, 50), 0),
]  # fmt: skip


@pytest.mark.parametrize(("answered", "counts", "reasoning"), ANSWERS, ids=range(len(ANSWERS)))
def test_counts(answered: LLMResult, counts: dict[str, int], reasoning: int) -> None:
    """The tokens of a call are found wherever its provider says them, and each is counted once."""
    found = usage(answered)
    assert (found.counts, found.reasoning, found.cached) == (counts, reasoning, False)
    assert found.details


def test_a_stream() -> None:
    """A stream's usage is that of its last chunk, and its model is named once."""
    start = {"model_name": "gpt-4o-2024"}
    chunks = [AIMessageChunk(content=letter, response_metadata=dict(start)) for letter in "ab"]
    last = AIMessageChunk(content="", usage_metadata=_create_usage_metadata(OPENAI))
    whole = chunks[0] + chunks[1] + last
    assert isinstance(whole, AIMessageChunk)
    answered = LLMResult(generations=[[ChatGeneration(message=whole)]])
    assert usage(answered).counts == FULL
    assert model_that_answered(answered) == "gpt-4o-2024"


def test_nothing_said() -> None:
    """An answer without usage has none; what its provider said instead is kept."""
    nothing = Usage({}, 0, {}, cached=False)
    answers = [chat(), text(), LLMResult(generations=[]), LLMResult(generations=[[]]), chat(token_usage={}, usage=3)]
    assert [usage(one) for one in answers] == [nothing] * 5
    person = LLMResult(generations=[[ChatGeneration(message=HumanMessage("x"))]])
    assert usage(person) == nothing
    assert usage(chat(token_usage={"queue_time": 0.1})) == Usage({}, 0, {"queue_time": 0.1}, cached=False)


@pytest.mark.parametrize("said", [OWN, None])
def test_the_cache(said: Any) -> None:
    """An answer from LangChain's cache cost nothing; what it had cost is kept beside."""
    from langchain_core.callbacks import BaseCallbackHandler

    class Keep(BaseCallbackHandler):
        def on_llm_end(self, response: LLMResult, **_: Any) -> None:
            found.append(usage(response))

    found: list[Usage] = []
    answers = iter([AIMessage("x", usage_metadata=said), AIMessage("never")])
    model = GenericFakeChatModel(messages=answers, cache=InMemoryCache(), callbacks=[Keep()])
    model.invoke("hi")
    model.invoke("hi")
    first = Usage(counted(100, 50), 0, OWN, cached=False) if said else Usage({}, 0, {}, cached=False)
    assert found == [first, Usage({}, 0, {**(said or {}), "total_cost": 0}, cached=True)]


numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers())
names = [
    *OPENAI,
    *RESPONSES,
    *ANTHROPIC,
    "usage",
    "token_usage",
    "eval_count",
    "total_cost",
    "input_token_details",
    "model",
]
parts = st.dictionaries(st.sampled_from([*names, "cache_read", "reasoning", "cached_tokens"]), numbers, max_size=6)
nested = parts | st.dictionaries(st.sampled_from(names), parts | numbers, max_size=4)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(nested, nested, nested, nested)
def test_any_usage(own: Any, metadata: Any, info: Any, llm_output: Any) -> None:
    """Whatever a provider gives for usage, counts are whole numbers, and nothing is raised."""
    answered = chat(own, llm_output=llm_output, info=info, **metadata)
    found = usage(answered)
    assert all(type(count) is int and count >= 0 for count in [*found.counts.values(), found.reasoning])
    assert isinstance(model_that_answered(answered), str | None)


def test_models() -> None:
    """The model that answered is the response's, the one asked for is the program's."""
    named = [
        chat(model_name="a"), chat(model="a"), chat(model_id="a"), chat(info={"model_name": "a"}), text(model="a"),
        chat(llm_output={"model": "a"}), text({"model": "a"}), chat(model_name="", model="a", info={"model": "b"}),
    ]  # fmt: skip
    assert [model_that_answered(one) for one in named] == ["a"] * 8
    assert [model_that_answered(one) for one in (chat(), text(), chat(model_name=3))] == [None] * 3
    stream = LLMResult(generations=[[GenerationChunk(text="x", generation_info={"model": "llama3llama3"})]])
    assert model_that_answered(stream) == "llama3"
    assert model_asked_for({"ls_model_name": "a"}, {"model": "b"}) == "a"
    assert model_asked_for({}, {"model_name": None, "model": "b"}) == "b"
    assert model_asked_for({}, {}) is None
    assert provider({"ls_provider": "a"}, {"_type": "b-chat"}) == "a"
    assert [provider({}, {"_type": kind}) for kind in ("b-chat", "chat-b", "b", None, 3)] == ["b", "b", "b", None, None]
    asked = FakeListChatModel(responses=["x"])
    assert provider(asked._get_ls_params(), asked._identifying_params) == "fakelistchatmodel"
