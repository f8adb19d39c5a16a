"""Tokens, and the model that answered, as each provider's integration gives them."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_autotrace.trace.usage import Usage, model_named, provider_named, usage_and_model

Json = dict[str, Any]


def chat(own: Any = None, *, times: int = 1, llm_output: Any = None, info: Any = None, **metadata: Any) -> Json:
    """A chat model's answer, with usage in LangChain's own form (``own``), or in the provider's."""
    parts = {"usage_metadata": own, "response_metadata": metadata}
    message = {"type": "ai", "content": "x", **{name: part for name, part in parts.items() if part}}
    generation = {"message": message} if info is None else {"message": message, "generation_info": info}
    return _result([generation] * times, llm_output)


def text(llm_output: Any = None, **info: Any) -> Json:
    """A text model's answer."""
    return _result([{"text": "x", **({"generation_info": info} if info else {})}], llm_output)


def _result(batch: list[Json], llm_output: Any) -> Json:
    return {"generations": [batch], **({} if llm_output is None else {"llm_output": llm_output})}


def counted(given: int, made: int, total: int | None = None, read: int = 0, written: int = 0) -> dict[str, int]:
    """Counts under MLflow's names."""
    counts = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made if total is None else total}
    cached = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    return counts | {name: count for name, count in cached.items() if count}


OWN: Final = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
OPENAI: Final = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 64, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 32, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}
RESPONSES: Final = {
    "input_tokens": 100,
    "output_tokens": 50,
    "total_tokens": 150,
    "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 3},
    "output_tokens_details": {"reasoning_tokens": 32},
}
ANTHROPIC: Final = {
    "input_tokens": 100,
    "output_tokens": 50,
    "cache_read_input_tokens": 64,
    "cache_creation_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    "service_tier": "standard",
}
# What langchain-openai 1.7 makes of OPENAI (_create_usage_metadata), and of RESPONSES in a service tier.
OWN_OF_OPENAI: Final = {
    **OWN,
    "input_token_details": {"audio": 0, "cache_read": 64, "cache_creation": 3},
    "output_token_details": {"audio": 0, "reasoning": 32},
}
OWN_OF_OPENAI_PRIORITY: Final = {
    **OWN,
    "input_token_details": {
        "audio": 0, "priority_cache_read": 64, "priority_cache_creation": 3, "priority": 36
    },
    "output_token_details": {"audio": 0, "priority_reasoning": 32, "priority": 18},
}  # fmt: skip
OWN_OF_RESPONSES_FLEX: Final = {
    **OWN,
    "input_token_details": {"flex_cache_read": 64, "flex_cache_creation": 3, "flex": 36},
    "output_token_details": {"flex_reasoning": 32, "flex": 18},
}
FULL: Final = counted(100, 50, read=64, written=3)

ANSWERS: Final[dict[str, tuple[Json, dict[str, int], int]]] = {
    # LangChain's own form.
    "own": (chat(OWN), counted(100, 50), 0),
    "own, five candidates that repeat it": (chat(OWN, times=5), counted(100, 50), 0),
    "own beside the provider's": (
        chat(OWN, token_usage={"prompt_tokens": 7}, llm_output={"usage": {"input_tokens": 8}}),
        counted(100, 50),
        0,
    ),
    "own, of nothing": (chat(dict.fromkeys(OWN, 0)), counted(0, 0), 0),
    "own, of OpenAI": (chat(OWN_OF_OPENAI), FULL, 32),
    "own, of OpenAI's priority tier": (chat(OWN_OF_OPENAI_PRIORITY), FULL, 32),
    "own, of OpenAI's Responses API, flex tier": (chat(OWN_OF_RESPONSES_FLEX), FULL, 32),
    "own, the cache's part": (chat({**OWN, "input_token_details": {"cache_read": 64, "cache_creation": 3}}), FULL, 0),
    "own, of Anthropic, where the cache's total is 0 beside the parts by time to live": (
        chat(
            {
                **OWN,
                "input_token_details": {
                    "cache_read": 64,
                    "cache_creation": 0,
                    "ephemeral_5m_input_tokens": 1,
                    "ephemeral_1h_input_tokens": 2,
                },
            }
        ),
        FULL,
        0,
    ),
    "own, the reasoning's part": (chat({**OWN, "output_token_details": {"reasoning": 32}}), counted(100, 50), 32),
    # The provider's: of older integrations, and of text models.
    "OpenAI's, in the message": (chat(token_usage=OPENAI), FULL, 32),
    "OpenAI's, of the whole call": (chat(llm_output={"token_usage": OPENAI, "model_name": "m"}), FULL, 32),
    "OpenAI's, of a text model": (text({"token_usage": OPENAI}), FULL, 32),
    "OpenAI's, without parts": (
        text({"token_usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}}),
        counted(100, 50),
        0,
    ),
    "OpenAI's Responses API's": (chat(usage=RESPONSES), FULL, 32),
    "Anthropic's": (chat(usage=ANTHROPIC), FULL, 0),
    "Anthropic's, without parts": (chat(usage={"input_tokens": 10, "output_tokens": 5}), counted(10, 5), 0),
    "Bedrock's": (
        chat(
            usage={
                "inputTokens": 100,
                "outputTokens": 50,
                "totalTokens": 217,
                "cacheReadInputTokens": 64,
                "cacheReadInputTokenCount": 64,
                "cacheWriteInputTokens": 3,
            }
        ),
        counted(100, 50, 217, 64, 3),
        0,
    ),
    "Bedrock's, of a text model": (
        text(**{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 5}}),
        counted(9, 5),
        0,
    ),
    "Gemini's": (
        text(
            usage_metadata={
                "prompt_token_count": 100,
                "candidates_token_count": 50,
                "total_token_count": 182,
                "cached_content_token_count": 64,
                "thoughts_token_count": 32,
            }
        ),
        counted(100, 50, 182, 64),
        32,
    ),
    "Ollama's, of a text model": (
        text(model="llama3", prompt_eval_count=100, eval_count=50, done_reason="stop"),
        counted(100, 50),
        0,
    ),
    "Ollama's": (chat(prompt_eval_count=100, eval_count=50), counted(100, 50), 0),
    "watsonx's": (chat(token_usage={"input_token_count": 100, "generated_token_count": 50}), counted(100, 50), 0),
    "Cohere's, which are floats": (
        chat(token_count={"input_tokens": 100.0, "output_tokens": 50.0}),
        counted(100, 50),
        0,
    ),
    "DeepSeek's, with a cost that is not the cache's mark": (
        chat(token_usage={"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "total_cost": 0}),
        counted(9, 0, read=4),
        0,
    ),
    "only one of the counts": (chat(info={"usage": {"output_tokens": 50}}), counted(0, 50), 0),
    # Counts that are none.
    "None and a text before the true ones": (
        chat(token_usage={"prompt_tokens": None, "completion_tokens": "5"}, usage=RESPONSES),
        FULL,
        32,
    ),
    "own of a boolean, None and less than nothing before the true ones": (
        chat({"input_tokens": True, "output_tokens": None, "total_tokens": -3}, usage=RESPONSES),
        FULL,
        32,
    ),
    "own parts that are none": (
        chat({**OWN, "input_token_details": None, "output_token_details": [1]}),
        counted(100, 50),
        0,
    ),
    "own parts that hold texts and numbers over 63 bits": (
        chat({**OWN, "input_token_details": {"cache_read": "64", "cache_creation": 1e300}}),
        counted(100, 50),
        0,
    ),
}


@pytest.mark.parametrize(("answer", "counts", "reasoning"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_with_usage(answer: Json, counts: dict[str, int], reasoning: int) -> None:
    """The tokens of a call are found wherever its provider gives them, and each is counted once."""
    found, _ = usage_and_model(answer)

    assert (found.counts, found.reasoning, found.cached) == (counts, reasoning, False)
    assert found.details


def test_a_streamed_answer() -> None:
    """A stream's usage is that of its last chunk, and its model, which each chunk repeats, is named once."""
    message = {
        "type": "AIMessageChunk",
        "content": "ab",
        "usage_metadata": OWN_OF_OPENAI,
        "response_metadata": {"model_name": "gpt-4o-2024gpt-4o-2024"},
    }

    assert usage_and_model({"generations": [[{"message": message}]]}) == (
        Usage(FULL, 32, OWN_OF_OPENAI, cached=False),
        "gpt-4o-2024",
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"generations": []},
        {"generations": [[]]},
        chat(),
        text(),
        chat(token_usage={}, usage=3),
        {"generations": [[{"message": {"type": "human", "content": "x"}}]]},
    ],
    ids=str,
)
def test_an_answer_without_usage(answer: Json) -> None:
    """An answer that names no usage has none."""
    assert usage_and_model(answer) == (Usage({}, 0, {}, cached=False), None)


@pytest.mark.parametrize("given", [{"queue_time": 0.1}, {"prompt_tokens": None, "x": "y"}], ids=str)
def test_usage_without_counts(given: Json) -> None:
    """What a provider gives in place of counts is kept."""
    assert usage_and_model(chat(token_usage=given))[0] == Usage({}, 0, given, cached=False)


@pytest.mark.parametrize("own", [OWN, {}], ids=["with usage", "without"])
def test_an_answer_from_the_cache(own: Json) -> None:
    """An answer from LangChain's cache, which marks it with a cost of 0, has no tokens; its usage is kept beside."""
    marked = {**own, "total_cost": 0}

    assert usage_and_model(chat(marked))[0] == Usage({}, 0, marked, cached=True)


numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers())
names = [
    *(*OPENAI, *RESPONSES, *ANTHROPIC),
    *("usage", "token_usage", "eval_count", "total_cost", "input_token_details", "model"),
]
parts = st.dictionaries(st.sampled_from([*names, "cache_read", "reasoning", "cached_tokens"]), numbers, max_size=6)
nested = parts | st.dictionaries(st.sampled_from(names), parts | numbers, max_size=4)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(nested | numbers, nested, nested | numbers, nested | numbers)
def test_any_usage(own: Any, metadata: Any, info: Any, llm_output: Any) -> None:
    """Whatever a provider gives for usage, counts are whole numbers from zero, and nothing is raised."""
    usage, model = usage_and_model(chat(own, llm_output=llm_output, info=info, **metadata))

    assert all(type(count) is int and count >= 0 for count in [*usage.counts.values(), usage.reasoning])
    assert isinstance(model, str | None)


@pytest.mark.parametrize("answer", [{"generations": batches} for batches in (None, 3, "x", {"x": 1}, [3], [[3]])])
def test_an_answer_of_another_form(answer: Json) -> None:
    """An answer that the redact hook has put into another form has no usage."""
    assert usage_and_model(answer) == (Usage({}, 0, {}, cached=False), None)


@pytest.mark.parametrize(
    "answer",
    [
        chat(model_name="a"),
        chat(model="a"),
        chat(model_id="a"),
        chat(info={"model_name": "a"}),
        text(model="a"),
        chat(llm_output={"model": "a"}),
        text({"modelId": "a"}),
        chat(model_name="", model="a", info={"model": "b"}),
    ],
    ids=str,
)
def test_the_model_that_answered(answer: Json) -> None:
    """The model that answered is found wherever its provider names it."""
    assert usage_and_model(answer)[1] == "a"


def test_a_model_that_a_text_stream_repeats() -> None:
    """A model that each chunk of a stream of text names is given once."""
    assert usage_and_model(text(model="llama3llama3"))[1] == "llama3"


def test_an_answer_that_names_no_model() -> None:
    """A model's name is a text."""
    assert [usage_and_model(one)[1] for one in (chat(), text(), chat(model_name=3))] == [None] * 3


def test_the_model_in_parameters() -> None:
    """A model is named by the first of its parameters that may name it."""
    assert model_named({"model_name": None, "model": "b"}) == "b"
    assert model_named({"model_id": "c", "model": "b"}) == "b"
    assert [model_named(one) for one in ({}, {"temperature": 0}, {"model": 3})] == [None] * 3


def test_the_provider_in_parameters() -> None:
    """A provider is the type of its model in LangChain, without its "chat"."""
    kinds = ["b-chat", "chat-b", "b", None, 3]

    assert [provider_named({"_type": kind}) for kind in kinds] == ["b", "b", "b", None, None]
    assert provider_named({}) is None
