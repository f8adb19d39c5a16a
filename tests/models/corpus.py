"""Chains as people write them, each by what is particular about it."""
# ruff: noqa: D103, PLW0108 - functions as in programs; all cases alike

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Callable
from operator import attrgetter, itemgetter, methodcaller
from typing import Annotated, Any, Final, NamedTuple, TypedDict

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.example_selectors import LengthBasedExampleSelector
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, trim_messages
from langchain_core.output_parsers import (
    CommaSeparatedListOutputParser,
    JsonOutputParser,
    NumberedListOutputParser,
    PydanticOutputParser,
    StrOutputParser,
    XMLOutputParser,
)
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    JsonOutputToolsParser,
    PydanticToolsParser,
)
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    FewShotPromptTemplate,
    HumanMessagePromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
    SystemMessagePromptTemplate,
)
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    ConfigurableField,
    RouterRunnable,
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnableMap,
    RunnableParallel,
    RunnablePassthrough,
    RunnablePick,
    chain,
)
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from pydantic import BaseModel, Field
from typing_extensions import TypedDict as NewTypedDict

Build = Callable[[str], Any]
"""Makes the chain, whose model of OpenAI is at the given address."""


class Case(NamedTuple):
    """A chain, and an input of it."""

    build: Build
    given: Any


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(description="How it starts")
    punchline: str = Field(default="", description="How it ends")


class Person(NewTypedDict):
    """A person."""

    name: Annotated[str, ..., "The name"]
    age: int


JOKE_SCHEMA: Final[dict[str, Any]] = {
    "title": "joke",
    "description": "A joke.",
    "type": "object",
    "properties": {"setup": {"type": "string"}},
    "required": ["setup"],
}


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


class SignIn(BaseModel):
    """Sign in."""

    user: str
    password: str = Field(description="The password")


@tool(args_schema=SignIn)
def sign_in(user: str, password: str) -> str:
    """Sign in."""
    return user


def shout(text: str) -> str:
    return text.upper() + "!"


async def whisper(text: str) -> str:
    return text.lower()


def join_documents(documents: list[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents)


def is_long(given: dict[str, Any]) -> bool:
    return len(given["topic"]) > 10


def today() -> str:
    return dt.date(2026, 1, 1).isoformat()


def repeat(text: str, times: int) -> str:
    return text * times


def route(given: dict[str, Any]) -> Any:
    return PromptTemplate.from_template("long {topic}") if is_long(given) else PromptTemplate.from_template("{topic}")


def spell(chunks: Any) -> Any:
    for chunk in chunks:
        yield from str(chunk)


@chain
def decorated(given: dict[str, Any]) -> str:
    return f"decorated {given['topic']}"


class Retriever(BaseRetriever):
    documents: list[Document]
    k: int = 2

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return self.documents[: self.k]


class Upper(StrOutputParser):
    def parse(self, text: str) -> str:
        return text.upper()


class Formatter:
    """An object that the program builds."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def run(self, text: str) -> str:
        return text + self.mark


class Tone:
    @staticmethod
    def soft(text: str) -> str:
        return text.lower()

    @classmethod
    def loud(cls, text: str) -> str:
        return text.upper()


def openai(url: str, **kwargs: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", base_url=url, temperature=0, **kwargs)


def fake(*responses: str) -> FakeListChatModel:
    return FakeListChatModel(responses=list(responses or ["Yes."]))


TELL: Final = "Tell of {topic}"
TOPIC: Final = {"topic": "cats"}
HISTORY: Final = [HumanMessage("Hello"), AIMessage("Hi")]


def store() -> InMemoryVectorStore:
    return InMemoryVectorStore.from_texts(["one", "two"], DeterministicFakeEmbedding(size=4))


class State(TypedDict):
    topic: str


def graph() -> Any:
    builder = StateGraph(State)
    builder.add_node("node", lambda state: {"topic": state["topic"] + "!"})
    builder.add_edge(START, "node")
    return builder.compile()


def of_main(function: Any) -> Any:
    """The function or class as if it were defined in the program that is run."""
    made = (
        type(function.__name__, (function,), {})
        if isinstance(function, type)
        else functools.wraps(function)(lambda *args: function(*args))
    )
    made.__module__ = "__main__"
    return made


def chat(*messages: Any, **how: Any) -> ChatPromptTemplate:
    return ChatPromptTemplate.from_messages(list(messages), **how)


CASES: Final[dict[str, Case]] = {
    "prompt, model, parser": Case(
        lambda url: PromptTemplate.from_template(TELL) | openai(url) | StrOutputParser(), TOPIC
    ),
    "chat prompt": Case(
        lambda url: chat(("system", "Be brief"), ("human", TELL)) | openai(url) | StrOutputParser(), TOPIC
    ),
    "model alone": Case(lambda url: openai(url), "hi"),
    "completion model": Case(lambda url: PromptTemplate.from_template(TELL) | FakeListLLM(responses=["a"]), TOPIC),
    "history": Case(
        lambda url: chat(("system", "x"), MessagesPlaceholder("history"), ("human", "{q}")) | openai(url),
        {"history": HISTORY, "q": "and?"},
    ),
    "placeholder as a pair": Case(
        lambda url: chat(("placeholder", "{history}"), ("human", "{q}")) | openai(url), {"history": HISTORY, "q": "a"}
    ),
    "template of a system message": Case(
        lambda url: (
            ChatPromptTemplate(
                [
                    SystemMessagePromptTemplate.from_template("You are {role}"),
                    HumanMessagePromptTemplate.from_template("{q}"),
                ]
            )
            | openai(url)
        ),
        {"role": "a poet", "q": "hi"},
    ),
    "message that is fixed": Case(
        lambda url: chat(SystemMessage("Be {brief}"), ("human", "{q}")) | openai(url), {"q": "a"}
    ),
    "mustache": Case(
        lambda url: chat(("human", "Hi {{name}}"), template_format="mustache") | openai(url), {"name": "a"}
    ),
    "partial value": Case(lambda url: PromptTemplate.from_template("{a} {b}").partial(a="x") | openai(url), {"b": "y"}),
    "partial function": Case(
        lambda url: (
            PromptTemplate(template="{a} {b}", input_variables=["b"], partial_variables={"a": today}) | openai(url)
        ),
        {"b": "y"},
    ),
    "partial lambda": Case(
        lambda url: (
            PromptTemplate(template="{a} {b}", input_variables=["b"], partial_variables={"a": lambda: "x"})
            | openai(url)
        ),
        {"b": "y"},
    ),
    "format instructions": Case(
        lambda url: (
            PromptTemplate(
                template="{topic}\n{format}",
                input_variables=["topic"],
                partial_variables={"format": PydanticOutputParser(pydantic_object=Joke).get_format_instructions()},
            )
            | fake('{"setup": "a"}')
            | PydanticOutputParser(pydantic_object=Joke)
        ),
        TOPIC,
    ),
    "examples": Case(
        lambda url: (
            FewShotPromptTemplate(
                examples=[{"q": "1", "a": "2"}],
                example_prompt=PromptTemplate.from_template("{q}: {a}"),
                suffix="{topic}",
                input_variables=["topic"],
            )
            | openai(url)
        ),
        TOPIC,
    ),
    "examples of messages": Case(
        lambda url: (
            chat(
                ("system", "x"),
                FewShotChatMessagePromptTemplate(
                    examples=[{"q": "1", "a": "2"}], example_prompt=chat(("human", "{q}"), ("ai", "{a}"))
                ),
                ("human", "{topic}"),
            )
            | openai(url)
        ),
        TOPIC,
    ),
    "selected examples": Case(
        lambda url: (
            FewShotPromptTemplate(
                example_selector=LengthBasedExampleSelector(
                    examples=[{"q": "1", "a": "2"}],
                    example_prompt=PromptTemplate.from_template("{q}: {a}"),
                    max_length=9,
                ),
                example_prompt=PromptTemplate.from_template("{q}: {a}"),
                suffix="{topic}",
                input_variables=["topic"],
            )
            | openai(url)
        ),
        TOPIC,
    ),
    "image": Case(
        lambda url: (
            chat(("human", [{"type": "text", "text": "{q}"}, {"type": "image_url", "image_url": "{link}"}])) | fake()
        ),
        {"q": "what", "link": "https://example.org/a.png"},
    ),
    "configurable key": Case(
        lambda url: openai(url).configurable_fields(openai_api_key=ConfigurableField(id="api_key")), "hi"
    ),
    "password as one of two variables": Case(
        lambda url: chat(("human", "Sign in {user} with {password}")) | openai(url), {"user": "a", "password": "b"}
    ),
    "api_key as one of two variables": Case(
        lambda url: PromptTemplate.from_template("{service} {api_key}") | openai(url), {"service": "a", "api_key": "b"}
    ),
    "token as one of two variables": Case(
        lambda url: PromptTemplate(template="{token} {x}", input_variables=["token", "x"]) | openai(url),
        {"token": "a", "x": "b"},
    ),
    "JSON in a prompt": Case(
        lambda url: (
            chat(("system", 'Answer as {{"password": "string", "user": "string"}}'), ("human", "{q}")) | openai(url)
        ),
        {"q": "a"},
    ),
    "address in a prompt": Case(
        lambda url: chat(("system", "Connect to postgres://user:pass@host/db"), ("human", "{q}")) | openai(url),
        {"q": "a"},
    ),
    "address in a prompt with its password": Case(
        lambda url: chat(("system", "Use postgres://app:hunter2-Tr0ub4dor@host/db"), ("human", "{q}")) | openai(url),
        {"q": "a"},
    ),
    "structured: class": Case(lambda url: chat(("human", TELL)) | openai(url).with_structured_output(Joke), TOPIC),
    "structured: function calling": Case(
        lambda url: openai(url).with_structured_output(Joke, method="function_calling"), "hi"
    ),
    "structured: JSON mode": Case(lambda url: openai(url).with_structured_output(Joke, method="json_mode"), "hi"),
    "structured: strict": Case(lambda url: openai(url).with_structured_output(Person, strict=True), "hi"),
    "structured: TypedDict": Case(lambda url: openai(url).with_structured_output(Person), "hi"),
    "structured: schema": Case(lambda url: openai(url).with_structured_output(JOKE_SCHEMA), "hi"),
    "structured: with the answer": Case(lambda url: openai(url).with_structured_output(Joke, include_raw=True), "hi"),
    "structured: with the answer, by function calling": Case(
        lambda url: openai(url).with_structured_output(Person, include_raw=True, method="function_calling"), "hi"
    ),
    "structured: schema by function calling": Case(
        lambda url: openai(url).with_structured_output(JOKE_SCHEMA, method="function_calling"), "hi"
    ),
    "tools": Case(lambda url: openai(url).bind_tools([weather]) | JsonOutputToolsParser(), "weather?"),
    "tools as classes": Case(
        lambda url: (
            openai(url).bind_tools([Joke], tool_choice="Joke") | PydanticToolsParser(tools=[Joke], first_tool_only=True)
        ),
        "a joke",
    ),
    "tool with a password": Case(lambda url: openai(url).bind_tools([sign_in]), "sign me in"),
    "key of tools": Case(
        lambda url: (
            openai(url).bind_tools([Joke], tool_choice="any")
            | JsonOutputKeyToolsParser(key_name="Joke", first_tool_only=True)
        ),
        "a joke",
    ),
    "tool as a step": Case(lambda url: RunnablePick("city") | weather, {"city": "Rome"}),
    "stop": Case(lambda url: PromptTemplate.from_template(TELL) | openai(url).bind(stop=["\n"]), TOPIC),
    "JSON parser": Case(lambda url: PromptTemplate.from_template(TELL) | fake('{"a": 1}') | JsonOutputParser(), TOPIC),
    "JSON parser with a class": Case(
        lambda url: (
            PromptTemplate.from_template(TELL) | fake('{"setup": "1"}') | JsonOutputParser(pydantic_object=Joke)
        ),
        TOPIC,
    ),
    "list parser": Case(
        lambda url: PromptTemplate.from_template(TELL) | fake("a, b") | CommaSeparatedListOutputParser(), TOPIC
    ),
    "numbered parser": Case(lambda url: fake("1. a\n2. b") | NumberedListOutputParser(), "a"),
    "XML parser": Case(lambda url: fake("<a><b>1</b></a>") | XMLOutputParser(parser="xml"), "a"),
    "parallel": Case(
        lambda url: RunnableParallel(
            one=PromptTemplate.from_template("1 {topic}") | openai(url), two=PromptTemplate.from_template("2 {topic}")
        ),
        TOPIC,
    ),
    "dict": Case(
        lambda url: (
            {"topic": RunnablePassthrough()} | PromptTemplate.from_template(TELL) | openai(url) | StrOutputParser()
        ),
        "cats",
    ),
    "assign": Case(
        lambda url: RunnablePassthrough.assign(joke=PromptTemplate.from_template(TELL) | fake() | StrOutputParser()),
        TOPIC,
    ),
    "pick": Case(lambda url: RunnablePassthrough.assign(x=itemgetter("topic")).pick(["x"]), TOPIC),
    "map": Case(lambda url: RunnableMap(a=itemgetter("topic")) | PromptTemplate.from_template("{a}"), TOPIC),
    "each": Case(lambda url: (PromptTemplate.from_template("{topic}") | fake()).map(), [TOPIC, TOPIC]),
    "fallbacks": Case(lambda url: (openai(url)).with_fallbacks([fake("b")]), "hi"),
    "retry": Case(lambda url: openai(url).with_retry(stop_after_attempt=2), "hi"),
    "retry of one error": Case(
        lambda url: (openai(url) | StrOutputParser()).with_retry(retry_if_exception_type=(ValueError, TimeoutError)),
        "hi",
    ),
    "retry of a package's error": Case(
        lambda url: openai(url).with_retry(retry_if_exception_type=(json.JSONDecodeError,)), "hi"
    ),
    "branch with functions": Case(
        lambda url: RunnableBranch(
            (is_long, PromptTemplate.from_template("long")), PromptTemplate.from_template("{topic}")
        ),
        TOPIC,
    ),
    "branch with lambdas": Case(
        lambda url: RunnableBranch(
            (lambda given: "a" in given["topic"], PromptTemplate.from_template("long")),
            PromptTemplate.from_template("s"),
        ),
        TOPIC,
    ),
    "configurable model": Case(
        lambda url: openai(url).configurable_fields(temperature=ConfigurableField(id="heat")) | StrOutputParser(), "hi"
    ),
    "alternatives": Case(
        lambda url: (
            PromptTemplate.from_template(TELL)
            | openai(url).configurable_alternatives(ConfigurableField(id="llm"), default_key="openai", fake=fake("b"))
        ),
        TOPIC,
    ),
    "named": Case(lambda url: (PromptTemplate.from_template(TELL) | fake()).with_config(run_name="teller"), TOPIC),
    "router": Case(
        lambda url: RouterRunnable({"a": PromptTemplate.from_template("a {topic}"), "b": fake()}),
        {"key": "a", "input": TOPIC},
    ),
    "types": Case(lambda url: PromptTemplate.from_template(TELL).with_types(input_type=dict) | fake(), TOPIC),
    "function of a module": Case(lambda url: RunnableLambda(shout) | fake(), "a"),
    "function in the middle": Case(lambda url: fake("a") | StrOutputParser() | shout, "a"),
    "function and its async twin": Case(lambda url: fake() | StrOutputParser() | RunnableLambda(shout, whisper), "a"),
    "static method": Case(lambda url: RunnableLambda(Tone.soft) | fake(), "a"),
    "class method": Case(lambda url: RunnableLambda(Tone.loud) | fake(), "a"),
    "built-in function": Case(lambda url: fake() | StrOutputParser() | RunnableLambda(len), "a"),
    "function of the standard library": Case(
        lambda url: fake('{"a": 1}') | StrOutputParser() | RunnableLambda(json.loads), "a"
    ),
    "attrgetter": Case(lambda url: fake() | RunnableLambda(attrgetter("content")), "a"),
    "methodcaller": Case(lambda url: fake() | StrOutputParser() | RunnableLambda(methodcaller("upper")), "a"),
    "str.upper": Case(lambda url: fake() | StrOutputParser() | str.upper, "a"),
    "partial of a function": Case(
        lambda url: fake() | StrOutputParser() | RunnableLambda(functools.partial(repeat, times=2)), "a"
    ),
    "bound method": Case(lambda url: fake() | StrOutputParser() | RunnableLambda(Formatter("?").run), "a"),
    "function that routes": Case(lambda url: RunnableLambda(route) | fake(), TOPIC),
    "decorated function": Case(lambda url: decorated | fake(), TOPIC),
    "generator": Case(lambda url: fake() | StrOutputParser() | RunnableGenerator(spell), "a"),
    "parser of one's own": Case(lambda url: PromptTemplate.from_template(TELL) | fake() | Upper(), TOPIC),
    "trimmed messages": Case(
        lambda url: trim_messages(max_tokens=45, strategy="last", token_counter=len, include_system=True) | fake(),
        HISTORY,
    ),
    "retriever of one's own": Case(
        lambda url: (
            {
                "context": Retriever(documents=[Document("a"), Document("b")]) | join_documents,
                "q": RunnablePassthrough(),
            }
            | PromptTemplate.from_template("{context} {q}")
            | fake()
        ),
        "a?",
    ),
    "lambda": Case(
        lambda url: RunnableLambda(lambda x: {"topic": x}) | PromptTemplate.from_template(TELL) | fake(), "a"
    ),
    "lambda in a dict": Case(lambda url: {"topic": lambda x: x} | PromptTemplate.from_template(TELL) | fake(), "a"),
    "assigned lambda": Case(lambda url: RunnablePassthrough.assign(n=lambda x: len(x["topic"])), TOPIC),
    "function of the program": Case(lambda url: RunnableLambda(of_main(shout)) | fake(), "a"),
    "class of the program": Case(lambda url: openai(url).with_structured_output(of_main(Joke)), "hi"),
    "vector store": Case(
        lambda url: (
            {"context": store().as_retriever(), "q": RunnablePassthrough()}
            | PromptTemplate.from_template("{context} {q}")
            | fake()
        ),
        "a?",
    ),
    "graph": Case(lambda url: graph(), TOPIC),
    "agent": Case(
        lambda url: create_agent(openai(url), [weather], system_prompt="Be brief"), {"messages": [("user", "hi")]}
    ),
}
