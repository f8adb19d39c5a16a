"""Any chain is built again as it was, or said to be one that cannot be: chains made up by hypothesis."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import (
    CommaSeparatedListOutputParser,
    JsonOutputParser,
    MarkdownListOutputParser,
    NumberedListOutputParser,
    StrOutputParser,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    RunnablePick,
)
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_autotrace.models.encode import content_of
from tests.models.trees import KEY, again

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
Build = Callable[[], Runnable[Any, Any]]
"""Makes the same chain each time: models that count their calls start anew."""

GIVEN: dict[str, Any] = {"a": "1, 2", "b": '{"x": [1]}', "history": [("human", "before")], "on": True, "off": ""}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment: models of OpenAI are built, and not called."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


@tool
def count(word: str, to: int = 3) -> int:
    """Count."""
    return to


texts = st.text(max_size=12)
words = st.sampled_from(["a", "b", "on", "off"])
"""The parts of the input that prompts and steps ask for."""
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.just("lc"), inner, max_size=3),
    max_leaves=5,
)


def escaped(text: str) -> str:
    """The text as a part of a template."""
    return text.replace("{", "{{").replace("}", "}}")


@st.composite
def prompts(draw: st.DrawFn) -> Build:
    """A template of a text, with a placeholder that may be filled beforehand."""
    name, text, filled = draw(words), escaped(draw(texts)), draw(st.none() | texts)
    template = f"{text} {{{name}}} {{more}}"
    more = "" if filled is None else filled
    return lambda: PromptTemplate.from_template(template, partial_variables={"more": more})


@st.composite
def chat_prompts(draw: st.DrawFn) -> Build:
    """A template of messages, in both kinds of templates."""
    roles = draw(st.lists(st.tuples(st.sampled_from(["system", "human", "ai"]), texts), min_size=1, max_size=3))
    name, history, partial = draw(words), draw(st.booleans()), draw(st.none() | texts)
    mustache = draw(st.booleans())

    def build() -> Runnable[Any, Any]:
        marks = ("{{", "}}") if mustache else ("{", "}")
        clean = [(role, text.replace("{", "(").replace("}", ")")) for role, text in roles]
        messages: list[Any] = [*clean, ("human", f"{name.join(marks)} {'more'.join(marks)}")]
        if history:
            messages.insert(1, MessagesPlaceholder("history", optional=True))
        prompt = ChatPromptTemplate.from_messages(messages, template_format="mustache" if mustache else "f-string")
        return prompt.partial(more="" if partial is None else partial)

    return build


@st.composite
def models(draw: st.DrawFn) -> Build:
    """A model that answers from a list."""
    kind = draw(st.sampled_from([FakeListChatModel, FakeListLLM]))
    responses = draw(st.lists(texts | st.sampled_from(['{"a": 1}', "1. x\n2. y", "- x"]), min_size=1, max_size=3))
    name = draw(st.none() | st.just("model"))
    return lambda: kind(responses=responses, name=name)


parsers: st.SearchStrategy[Build] = st.sampled_from(
    [
        StrOutputParser,
        JsonOutputParser,
        CommaSeparatedListOutputParser,
        NumberedListOutputParser,
        MarkdownListOutputParser,
        lambda: StrOutputParser(name="words"),
    ]
)


@st.composite
def asked(draw: st.DrawFn) -> Build:
    """Prompt, model, parser."""
    prompt, model, parser = draw(prompts() | chat_prompts()), draw(models()), draw(parsers)
    return lambda: prompt() | model() | parser()


@st.composite
def wrapped(draw: st.DrawFn, inner: st.SearchStrategy[Build]) -> Build:  # noqa: PLR0911 - a case each
    """One or more chains within another; all of them take the input's dict."""
    one, two = draw(inner), draw(inner)
    name, other = draw(st.lists(texts.filter(str.isidentifier), min_size=2, max_size=2, unique=True))
    match draw(st.integers(0, 9)):
        case 0:
            return lambda: RunnableParallel({name: one(), other: two()})
        case 1:
            return lambda: RunnablePassthrough.assign(**{name: one(), other: two()})
        case 2:
            keys: str | list[str] = draw(st.sampled_from([name, other])) if draw(st.booleans()) else [other, name]
            return lambda: RunnableParallel({name: one(), other: two()}) | RunnablePick(keys)
        case 3:
            handled = draw(st.sampled_from([(Exception,), (ValueError,), (KeyError, TypeError)]))
            return lambda: one().with_fallbacks([two()], exceptions_to_handle=handled)
        case 4:
            attempts = draw(st.integers(1, 2))
            return lambda: one().with_retry(stop_after_attempt=attempts, retry_if_exception_type=(KeyError,))
        case 5:
            flag = draw(st.sampled_from(["on", "off"]))
            return lambda: RunnableBranch((itemgetter(flag), one()), (itemgetter("off"), two()), RunnablePassthrough())
        case 6:
            run_name, most = draw(texts), draw(st.integers(1, 5))
            return lambda: one().with_config(run_name=run_name, max_concurrency=most)
        case 7:
            stop = draw(st.lists(texts, max_size=2))
            model = draw(models())
            return lambda: RunnableLambda(itemgetter("a")) | model().bind(stop=stop)
        case 8:
            return lambda: RunnablePassthrough() | one() | RunnableLambda(str) | {name: RunnablePassthrough()}
        case _:
            return lambda: RunnableLambda(itemgetter("a", "b")) | RunnablePassthrough()


chains = st.recursive(asked(), wrapped, max_leaves=4)


def answer(chain: Runnable[Any, Any]) -> object:
    """What the chain says, without the ids that every message has of its own; what it raises is an answer."""
    try:
        return bare(chain.invoke(GIVEN))
    except Exception as error:  # noqa: BLE001 - a parser that finds no JSON
        return type(error).__name__, str(error)


def bare(value: object) -> object:
    """The value with its messages as type and content."""
    if isinstance(value, BaseMessage):
        return value.type, value.content
    if isinstance(value, PromptValue):
        return bare(value.to_messages())
    if isinstance(value, str):  # as a message prints itself
        return re.sub(r"lc_run--[-0-9a-f]+", "lc_run", value)
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items()}
    return [bare(item) for item in value] if isinstance(value, list) else value


@QUICK
@given(build=chains)
def test_rebuilt(build: Build) -> None:
    """A chain without problems is built again with the same content, and answers as it did, twice."""
    chain = build()
    found = content_of(chain)
    assert content_of(build()).hash == found.hash
    if found.problems:
        return
    built, content = again(chain)
    assert content.hash == found.hash
    assert content.problems == []
    assert type(built) is type(chain)
    assert [answer(built), answer(built)] == [answer(chain), answer(chain)]
    assert content_of(chain).hash == found.hash


@QUICK
@given(value=plain)
def test_any_value(value: object) -> None:
    """Plain data of any form comes back as it was, or is a problem; a dict that holds "lc" is a dict."""
    chains: list[Any] = [ChatOpenAI(extra_body={"x": value}), RunnablePassthrough().bind(x=value)]
    for chain in chains:
        found = content_of(chain)
        assert found.hash == content_of(chain).hash
        if found.problems or found.left_out:
            continue
        built, content = again(chain)
        assert content.hash == found.hash
        read: Any = built
        back = read.extra_body["x"] if isinstance(built, ChatOpenAI) else read.kwargs["x"]
        assert repr(back) == repr(value)


@st.composite
def openai(draw: st.DrawFn) -> dict[str, Any]:
    """Parameters of a model of OpenAI."""
    return draw(
        st.fixed_dictionaries(
            {},
            optional={
                "model": st.sampled_from(["gpt-4o", "gpt-5", "o1", "any"]),
                "temperature": st.floats(0, 2) | st.integers(0, 2),
                "max_tokens": st.integers(1, 10**6),
                "timeout": st.integers(1, 60) | st.floats(0.5, 60),
                "max_retries": st.integers(0, 5),
                "seed": st.integers(0, 2**31),
                "stop": st.lists(texts, max_size=2),
                "top_p": st.floats(0, 1),
                "logit_bias": st.dictionaries(st.integers(0, 9), st.integers(-9, 9), max_size=2),
                "base_url": st.just("http://127.0.0.1:1/v1"),
                "default_headers": st.dictionaries(st.just("x-team"), texts, max_size=1),
                "model_kwargs": st.dictionaries(st.just("user"), texts, max_size=1),
                "reasoning_effort": st.sampled_from(["low", "high"]),
                "streaming": st.booleans(),
                "tags": st.lists(texts, max_size=2),
                "metadata": st.dictionaries(texts, texts, max_size=2),
            },
        )
    )


SCHEMA = {"title": "said", "description": "What", "type": "object", "properties": {"a": {"type": "string"}}}


@QUICK
@given(kwargs=openai(), tools=st.lists(st.sampled_from([look_up, count]), max_size=2), how=st.integers(0, 3))
def test_openai(kwargs: dict[str, Any], tools: list[Any], how: int) -> None:
    """A model of OpenAI with any parameters, tools or schema is built again with them; it is never called."""

    def build() -> Runnable[Any, Any]:
        model = ChatOpenAI(**kwargs)
        if how == 0:
            return model
        if how == 1:
            return model.bind_tools(tools, tool_choice="auto" if tools else None)
        if how == 2:
            return PromptTemplate.from_template("{a}") | model.with_structured_output(SCHEMA, method="function_calling")
        return model.with_retry().with_fallbacks([ChatOpenAI(**kwargs)])

    found = content_of(build())
    assert found.secrets == ["OPENAI_API_KEY"]
    assert content_of(build()).hash == found.hash
    assert KEY not in str(found)
    built, content = again(build())
    assert found.problems == []
    assert content.hash == found.hash
    if how == 0:
        given_again: Any = built
        assert given_again._default_params == build()._default_params  # type: ignore[attr-defined]


def fake(*responses: str, **kwargs: Any) -> FakeListChatModel:
    """A model that answers from a list."""
    return FakeListChatModel(responses=list(responses), **kwargs)


def asks(text: str) -> PromptTemplate:
    """A prompt."""
    return PromptTemplate.from_template(text)


APART: dict[str, list[Build]] = {
    "prompt": [lambda: asks("Say {a}"), lambda: asks("Say {a}."), lambda: asks("Say {b}"), lambda: asks("say {a}")],
    "partials": [
        lambda: asks("{a} {b}"),
        lambda: asks("{a} {b}").partial(b="x"),
        lambda: asks("{a} {b}").partial(b="y"),
        lambda: asks("{a} {b}").partial(a="x"),
    ],
    "kind of template": [
        lambda: PromptTemplate.from_template("{{a}}"),
        lambda: PromptTemplate.from_template("{{a}}", template_format="mustache"),
    ],
    "roles": [
        lambda: ChatPromptTemplate.from_messages([("system", "x"), ("human", "y")]),
        lambda: ChatPromptTemplate.from_messages([("human", "x"), ("system", "y")]),
        lambda: ChatPromptTemplate.from_messages([("system", "y"), ("human", "x")]),
        lambda: ChatPromptTemplate.from_messages([("system", "x"), ("ai", "y")]),
        lambda: ChatPromptTemplate.from_messages([("system", "x")]),
    ],
    "placeholders": [
        lambda: ChatPromptTemplate.from_messages([MessagesPlaceholder("history")]),
        lambda: ChatPromptTemplate.from_messages([MessagesPlaceholder("past")]),
        lambda: ChatPromptTemplate.from_messages([MessagesPlaceholder("history", optional=True)]),
        lambda: ChatPromptTemplate.from_messages([MessagesPlaceholder("history", n_messages=2)]),
    ],
    "responses": [lambda: fake("a"), lambda: fake("b"), lambda: fake("a", "b"), lambda: fake("b", "a"), fake],
    "kinds of models": [lambda: fake("a"), lambda: FakeListLLM(responses=["a"]), lambda: fake("a", sleep=0.5)],
    "order": [
        lambda: asks("{a}") | fake("a") | StrOutputParser(),
        lambda: asks("{a}") | StrOutputParser() | fake("a"),  # type: ignore[operator] # never run
        lambda: asks("{a}") | fake("a"),
        lambda: fake("a") | StrOutputParser(),
    ],
    "parsers": [
        *(StrOutputParser, JsonOutputParser, CommaSeparatedListOutputParser),
        *(NumberedListOutputParser, MarkdownListOutputParser),
    ],
    "steps": [
        lambda: RunnableParallel(a=fake("a"), b=fake("b")),
        lambda: RunnableParallel(a=fake("b"), b=fake("a")),
        lambda: RunnableParallel(a=fake("a"), c=fake("b")),
        lambda: RunnableParallel(a=fake("a")),
        lambda: RunnablePassthrough.assign(a=fake("a"), b=fake("b")),  # type: ignore[arg-type] # never run
    ],
    "keys": [
        *(lambda: RunnablePick("a"), lambda: RunnablePick(["a"]), lambda: RunnablePick(["a", "b"])),
        *(lambda: RunnableLambda(itemgetter("a")), lambda: RunnableLambda(itemgetter("b"))),
        *(lambda: RunnableLambda(itemgetter("a", "b")), lambda: RunnableLambda(itemgetter("b", "a"))),
        *(lambda: RunnableLambda(itemgetter(1)), lambda: RunnableLambda(itemgetter("1"))),
        *(lambda: RunnableLambda(itemgetter(1.5)), lambda: RunnableLambda(itemgetter(2.5))),
    ],
    "functions": [lambda: RunnableLambda(str), lambda: RunnableLambda(int), lambda: RunnableLambda(len)],
    "bindings": [
        lambda: fake("a"),
        lambda: fake("a").bind(stop=["x"]),
        lambda: fake("a").bind(stop=["y"]),
        lambda: fake("a").bind(stop="x"),
        lambda: fake("a").bind(halt=["x"]),
    ],
    "config": [
        lambda: fake("a").with_config(run_name="x"),
        lambda: fake("a").with_config(run_name="y"),
        lambda: fake("a").with_config(max_concurrency=1),
        lambda: fake("a").with_config(max_concurrency=2),
    ],
    "fallbacks": [
        lambda: fake("a").with_fallbacks([fake("b")]),
        lambda: fake("b").with_fallbacks([fake("a")]),
        lambda: fake("a").with_fallbacks([fake("b"), fake("c")]),
        lambda: fake("a").with_fallbacks([fake("c"), fake("b")]),
        lambda: fake("a").with_fallbacks([fake("b")], exceptions_to_handle=(KeyError,)),
        lambda: fake("a").with_fallbacks([fake("b")], exception_key="error"),
    ],
    "retries": [
        lambda: fake("a").with_retry(),
        lambda: fake("a").with_retry(stop_after_attempt=5),
        lambda: fake("a").with_retry(wait_exponential_jitter=False),
        lambda: fake("a").with_retry(retry_if_exception_type=(KeyError,)),
    ],
    "branches": [
        lambda: RunnableBranch((itemgetter("on"), fake("a")), (itemgetter("off"), fake("b")), fake("c")),
        lambda: RunnableBranch((itemgetter("off"), fake("b")), (itemgetter("on"), fake("a")), fake("c")),
        lambda: RunnableBranch((itemgetter("on"), fake("a")), fake("c")),
        lambda: RunnableBranch((itemgetter("on"), fake("a")), (itemgetter("off"), fake("b")), fake("d")),
        lambda: RunnableBranch((itemgetter("on"), fake("b")), (itemgetter("off"), fake("a")), fake("c")),
    ],
    "parameters": [
        lambda: ChatOpenAI(model="a"),
        lambda: ChatOpenAI(model="b"),
        lambda: ChatOpenAI(model="a", temperature=0),
        lambda: ChatOpenAI(model="a", temperature=1),
        lambda: ChatOpenAI(model="a", base_url="http://127.0.0.1:1/"),
        lambda: ChatOpenAI(model="a", extra_body={"x": 1}),
        lambda: ChatOpenAI(model="a", extra_body={"x": "1"}),
        lambda: ChatOpenAI(model="a", extra_body={"x": True}),
        lambda: ChatOpenAI(model="a", extra_body={"x": None}),
        lambda: ChatOpenAI(model="a", extra_body={"x": [1]}),
        lambda: ChatOpenAI(model="a", extra_body={"x": {}}),
    ],
    "tools": [
        lambda: ChatOpenAI(model="a"),
        lambda: ChatOpenAI(model="a").bind_tools([look_up]),
        lambda: ChatOpenAI(model="a").bind_tools([count]),
        lambda: ChatOpenAI(model="a").bind_tools([look_up, count]),
        lambda: ChatOpenAI(model="a").bind_tools([count, look_up]),
        lambda: ChatOpenAI(model="a").bind_tools([look_up], tool_choice="any"),
        lambda: ChatOpenAI(model="b").bind_tools([look_up]),
        lambda: ChatOpenAI(model="a").with_structured_output(SCHEMA),
        lambda: ChatOpenAI(model="a").with_structured_output({**SCHEMA, "description": "Who"}),
        lambda: ChatOpenAI(model="a").with_structured_output(SCHEMA, method="json_mode"),
    ],
    "names": [
        lambda: RunnableLambda(str),
        lambda: RunnableLambda(str, name="x"),
        RunnablePassthrough,
        lambda: RunnablePassthrough(name="x"),
    ],
    "nesting": [
        lambda: RunnableParallel(a=RunnableParallel(b=fake("a"))),
        lambda: RunnableParallel(a=fake("a"), b=fake("a")),
        lambda: RunnableParallel(b=RunnableParallel(a=fake("a"))),
    ],
}


@pytest.mark.parametrize("name", APART)
def test_told_apart(name: str) -> None:
    """Chains that differ in one thing have different hashes, and each has the same one whenever it is built."""
    hashes = [content_of(build()).hash for build in APART[name]]
    assert [content_of(build()).hash for build in APART[name]] == hashes
    assert len(set(hashes)) == len(hashes)


@QUICK
@given(one=texts, other=texts, build=st.sampled_from([fake, lambda text: asks(escaped(text))]))
def test_any_text_counts(one: str, other: str, build: Callable[[str], Runnable[Any, Any]]) -> None:
    """Two chains have the same hash exactly when their texts are the same."""
    assert (content_of(build(one)).hash == content_of(build(other)).hash) == (one == other)
