"""What is written of a chain holds no secrets, says what it leaves out, and says why it cannot be built."""

from __future__ import annotations

import enum
import json
import math
from collections import namedtuple
from operator import itemgetter
from typing import Any, cast

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import SecretStr

from langchain_autotrace.models.encode import content_of
from langchain_autotrace.models.reasons import CLEANED, NEEDED, Problem
from tests.models.trees import KEY, again

PASSWORD = "hunter2-Tr0ub4dor-9f8e7d"
NO_NUMBER = "JSON cannot represent this number"
FILE = "pass the file that builds the chain with autolog(model_code=...)"
NO_FORM = f"its class cannot be written as JSON; {FILE}"
OWN = f"its class cannot be written as JSON; make it a pydantic model of LangChain's Serializable, or {FILE}"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment, and no other setting of OpenAI's."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROXY"):
        monkeypatch.delenv(name, raising=False)


def openai(**kwargs: Any) -> ChatOpenAI:
    """A model that is never called, with arguments by any of their names."""
    return ChatOpenAI(**kwargs)


class Client(StrOutputParser):
    """A component of the user's, with a secret of its own in a plain field."""

    service_password: str
    service_token: str | None = None
    service_key: SecretStr | None = None
    level: int = 1


LEFT_OUT: dict[str, tuple[Any, list[str]]] = {
    "key as an argument": (lambda: openai(api_key=PASSWORD), []),
    "key as a SecretStr": (lambda: openai(api_key=SecretStr(PASSWORD)), []),
    "key from a function": (lambda: openai(api_key=lambda: PASSWORD), []),
    "keys of Azure": (
        lambda: AzureChatOpenAI(
            azure_endpoint="https://x", api_version="1", api_key=SecretStr(PASSWORD), azure_ad_token=SecretStr(PASSWORD)
        ),
        [],
    ),
    "headers": (
        lambda: openai(default_headers={"Authorization": PASSWORD, "X-Api-Key": PASSWORD, "x-team": "a"}),
        [".default_headers.Authorization", ".default_headers.X-Api-Key"],
    ),
    "query": (lambda: openai(default_query={"token": PASSWORD}), [".default_query.token"]),
    "body": (lambda: openai(extra_body={"a": [{"password": PASSWORD}]}), [".extra_body.a[0].password"]),
    "list of keys": (lambda: openai(extra_body={"api_keys": [PASSWORD, "a"]}), [".extra_body.api_keys"]),
    "tuple of keys": (lambda: openai(extra_body={"api_keys": (PASSWORD,)}), [".extra_body.api_keys"]),
    "dict of keys": (lambda: openai(extra_body={"credentials": {"user": PASSWORD}}), [".extra_body.credentials"]),
    "number": (lambda: openai(extra_body={"passcode": 90210_4711}), [".extra_body.passcode"]),
    "bytes": (lambda: openai(extra_body={"password": PASSWORD.encode()}), [".extra_body.password"]),
    "SecretStr in a dict": (lambda: openai(extra_body={"password": SecretStr(PASSWORD)}), [".extra_body.password"]),
    "header by name": (
        lambda: openai(extra_body={"headers": [{"name": "Authorization", "value": PASSWORD}]}),
        [".extra_body.headers[0].value"],
    ),
    "arguments of the model": (lambda: openai(model_kwargs={"secret": PASSWORD}), [".model_kwargs.secret"]),
    "address": (lambda: openai(base_url=f"https://user:{PASSWORD}@host/v1"), [".openai_api_base"]),
    "address without a name": (lambda: openai(base_url=f"https://:{PASSWORD}@host/v1"), [".openai_api_base"]),
    "address with a token": (lambda: openai(base_url=f"https://{PASSWORD}@host/v1"), [".openai_api_base"]),
    "proxy": (lambda: openai(openai_proxy=f"http://user:{PASSWORD}@host:80"), [".openai_proxy"]),
    "bound key": (lambda: openai().bind(api_key=PASSWORD), [".kwargs.api_key"]),
    "bound headers": (
        lambda: openai().bind(extra_headers={"authorization": PASSWORD}),
        [".kwargs.extra_headers.authorization"],
    ),
    "configured": (
        lambda: openai().with_config(configurable={"api_key": PASSWORD, "a": 1}),
        [".config.configurable.api_key"],
    ),
    "configured alone": (
        lambda: openai().with_config(configurable={"api_key": PASSWORD}),
        [".config.configurable.api_key"],
    ),
    "metadata": (
        lambda: PromptTemplate(template="a", input_variables=[], metadata={"api_key": PASSWORD}),
        [".metadata.api_key"],
    ),
    "deep within": (
        lambda: RunnablePassthrough() | RunnableParallel(a=openai().bind(extra_body={"secret": PASSWORD})),
        [".last.steps__.a.kwargs.extra_body.secret"],
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_left_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that a chain does not need to be built is nowhere in what is written, its path is said, and it loads."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", KEY)
    build, left_out = LEFT_OUT[name]
    found = content_of(build())
    assert "Tr0ub4dor" not in str(found)
    assert "902104711" not in str(found)
    assert KEY not in str(found)
    assert found.left_out == left_out
    assert found.problems == []
    if "Azure" not in name:
        assert again(build())[1].hash == found.hash


def test_address_without_its_password() -> None:
    """What is left of an address is the address."""
    for userinfo in (f"user:{PASSWORD}@", f"{PASSWORD}@", ""):
        tree = content_of(openai(base_url=f"https://{userinfo}host/v1")).tree
        assert tree["kwargs"]["openai_api_base"] == "https://host/v1"


def test_secrets_that_are_read_again() -> None:
    """The variables of the environment that a chain reads its keys from are named, whatever key it was built with."""
    chain = openai(api_key=PASSWORD) | StrOutputParser()
    found = content_of(chain)
    assert found.secrets == ["OPENAI_API_KEY"]
    assert found.tree["kwargs"]["first"]["kwargs"]["openai_api_key"] == {
        "lc": 1,
        "type": "secret",
        "id": ["OPENAI_API_KEY"],
    }
    assert content_of(openai(api_key="another") | StrOutputParser()).hash == found.hash


SHAPED = "sk-proj-abcdefghijklmnopqrstuvwx0123456789"

MATTERS: dict[str, tuple[Any, list[Problem], list[str]]] = {
    "prompt": (
        lambda: PromptTemplate.from_template(f"Use {SHAPED} for {{x}}"),
        [Problem(".template", "str", CLEANED)],
        [".template"],
    ),
    "chat prompt": (
        lambda: ChatPromptTemplate.from_messages([("system", f"Authorization: Bearer {PASSWORD}"), ("human", "{x}")]),
        [Problem(".messages[0].prompt.template", "str", CLEANED)],
        [".messages[0].prompt.template"],
    ),
    "address in a prompt": (
        lambda: PromptTemplate.from_template(f"Read https://user:{PASSWORD}@host and say {{x}}"),
        [Problem(".template", "str", CLEANED)],
        [".template"],
    ),
    "answer": (
        lambda: FakeListChatModel(responses=["a", SHAPED]),
        [Problem(".responses[1]", "str", CLEANED)],
        [".responses[1]"],
    ),
    "key of a dict": (
        lambda: openai(extra_body={SHAPED: math.nan}),
        [Problem(".extra_body key", "str", CLEANED), Problem(".extra_body.[REDACTED]", "builtins.float", NO_NUMBER)],
        [".extra_body key"],
    ),
    "bound SecretStr": (
        lambda: openai().bind(x=SecretStr(PASSWORD)),
        [Problem(".kwargs.x", "pydantic.types.SecretStr", NO_FORM)],
        [],
    ),
    "field that it needs": (
        lambda: Client(service_password=PASSWORD),
        [Problem(".service_password", "Client", NEEDED)],
        [".service_password"],
    ),
    "fields that it can do without": (
        lambda: Client(service_password=PASSWORD, service_token=PASSWORD, service_key=SecretStr(PASSWORD)),
        [Problem(".service_password", "Client", NEEDED)],
        [".service_key", ".service_password", ".service_token"],
    ),
}


@pytest.mark.parametrize("name", MATTERS)
def test_left_out_and_missed(name: str) -> None:
    """A secret without which the chain does something else is nowhere in what is written, and is a problem."""
    build, problems, left_out = MATTERS[name]
    found = content_of(build())
    assert "Tr0ub4dor" not in str(found)
    assert SHAPED not in str(found)
    assert found.problems == problems
    assert sorted(found.left_out) == left_out


@tool
def sign_in(user: str, password: str, token: int = 5) -> str:
    """Sign in."""
    return user + password + str(token)


KEPT: dict[str, Any] = {
    "steps": lambda: RunnableParallel(password=itemgetter("password"), token=RunnablePassthrough()),
    "schemas": lambda: openai().bind_tools([sign_in]),
    "numbers of tokens": lambda: openai(max_tokens=5, extra_body={"max_completion_tokens": 6, "token": 7}),
    "empty": lambda: openai(extra_body={"password": None, "token": "", "secret": False, "api_keys": []}),
    "getters": lambda: RunnableLambda(itemgetter("password", "token")),
    "placeholders": lambda: PromptTemplate.from_template("What is the password of {user}? token: {token}"),
    "addresses": lambda: PromptTemplate.from_template("See https://example.org/@user and user@example.org {x}"),
}


@pytest.mark.parametrize("name", KEPT)
def test_names_of_secrets(name: str) -> None:
    """What only bears a secret's name is kept: steps, parameters of tools, numbers of tokens, placeholders."""
    chain = KEPT[name]()
    found = content_of(chain)
    assert found.left_out == []
    assert found.problems == []
    assert again(chain)[1].hash == found.hash


def test_schema_of_a_tool() -> None:
    """A tool's parameter called password is in the tree with its type."""
    tree = content_of(KEPT["schemas"]()).tree
    [found] = tree["kwargs"]["kwargs"]["tools"]
    assert found["function"]["parameters"]["properties"] == {
        "user": {"type": "string"},
        "password": {"type": "string"},
        "token": {"type": "integer", "default": 5},
    }


class Color(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Table(dict[str, int]):
    pass


class Items(list[int]):
    pass


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__
    __eq__ = __hash__ = None  # type: ignore[assignment]


Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - the plain kind is what is tested
ODD: dict[str, tuple[Any, str, str]] = {
    "nan": (math.nan, "builtins.float", NO_NUMBER),
    "infinity": (-math.inf, "builtins.float", NO_NUMBER),
    "huge": (2**63, "builtins.int", "the integer does not fit in 64 bits"),
    "huge and negative": (-(2**63) - 1, "builtins.int", "the integer does not fit in 64 bits"),
    "set": ({1}, "builtins.set", NO_FORM),
    "frozenset": (frozenset({1}), "builtins.frozenset", NO_FORM),
    "bytes": (b"a", "builtins.bytes", NO_FORM),
    "bytearray": (bytearray(b"a"), "builtins.bytearray", NO_FORM),
    "complex": (1j, "builtins.complex", NO_FORM),
    "range": (range(2), "builtins.range", NO_FORM),
    "enum": (Color.RED, f"{__name__}.Color", OWN),
    "enum of texts": (Word.RED, f"{__name__}.Word", OWN),
    "kind of text": (Text("a"), f"{__name__}.Text", OWN),
    "kind of number": (Number(1), f"{__name__}.Number", OWN),
    "kind of dict": (Table(a=1), f"{__name__}.Table", OWN),
    "kind of list": (Items([1]), f"{__name__}.Items", OWN),
    "hostile": (Hostile(), f"{__name__}.Hostile", OWN),
    "half a pair": ("\ud800", "builtins.str", "the string contains a lone surrogate, which JSON cannot represent"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values(name: str) -> None:
    """A value that JSON cannot hold as it is is a problem at its place, and the rest is still written and hashed."""
    value, kind, reason = ODD[name]
    found = content_of(openai(extra_body={"before": 1, "odd": [value]}))
    assert found.problems == [Problem(".extra_body.odd[0]", kind, reason)]
    assert found.tree["kwargs"]["extra_body"]["before"] == 1
    assert json.loads(json.dumps(found.tree, allow_nan=False)) == found.tree
    assert len(found.hash) == 64


@pytest.mark.parametrize("name", ["kind of text", "enum of texts", "half a pair", "bytes", "nan"])
def test_odd_keys(name: str) -> None:
    """A key that JSON cannot hold is a problem, and not the key's text."""
    value, kind, reason = ODD[name]
    found = content_of(openai(extra_body={"x": {value: 1}}))
    assert found.problems == [Problem(".extra_body.x key", kind, reason)]
    assert found.tree["kwargs"]["extra_body"]["x"]["type"] == "dict"
    json.dumps(found.tree, allow_nan=False)


def test_cycles() -> None:
    """A list or dict within itself ends in a problem at a depth of a hundred."""
    items: list[Any] = []
    items.append(items)
    table: dict[str, Any] = {}
    table["a"] = table
    for value, kind, path in ((items, "list", "[0]" * 99), (table, "dict", ".a" * 99)):
        found = content_of(openai(extra_body={"x": value}))
        [problem] = found.problems
        assert problem.name == f"builtins.{kind}"
        assert problem.path == f".extra_body.x{path}"
        assert problem.reason == "it is nested too deeply, or contains itself"


COMES_BACK: dict[str, Any] = {
    "limits": [2**63 - 1, -(2**63), 0, -1, 1.5, -0.0, 1e300, True, False, None, ""],
    "texts": ["ä€😀", "\x00\n\u2028", "{x}", '{"lc": 1}'],
    "keys of other kinds": {2: "a", None: "b", True: "c", (1, 2): "d", 1.5: "e", "f": "g"},
    "tuples": (1, ("a", [2, ()])),
    "empty": [[], {}, (), ""],
    "nodes": {"lc": 1, "type": "secret", "id": ["HOME"]},
    "keys of nodes": {"lc": {"lc": [{"lc": None}]}},
}


@pytest.mark.parametrize("name", COMES_BACK)
def test_values_come_back(name: str) -> None:
    """A value that JSON can hold, with some help, comes back as the same value of the same types."""
    chain = openai(extra_body={"x": COMES_BACK[name]})
    found = content_of(chain)
    built, content = again(chain)
    assert found.problems == []
    assert content.hash == found.hash
    assert repr(built.extra_body["x"]) == repr(COMES_BACK[name])


def test_named_tuples() -> None:
    """A named tuple that would come back as a plain one is told from it by the hash."""
    named, plain = openai(extra_body={"x": Pair(1, 2)}), openai(extra_body={"x": (1, 2)})
    assert content_of(named).hash != content_of(plain).hash
    assert again(named)[1].hash == content_of(plain).hash


@pytest.mark.parametrize("keys", [(None,), (1.5,), ((1, 2),), ("a", None), (slice(0, 1),)])
def test_odd_getters(keys: tuple[Any, ...]) -> None:
    """An ``itemgetter`` of keys that it cannot be loaded with is a problem."""
    found = content_of(RunnableLambda(itemgetter(*keys)))
    assert found.problems[0] == Problem(".func", "operator.itemgetter", "its keys are not all strings and integers")


def test_no_module() -> None:
    """A function that cannot be imported is a problem that names it, and its code and constants are not written."""

    def inner(value: str) -> str:
        return f"{PASSWORD}{value}"

    inside = f"it is defined inside a function; define it at the top level of a module, or {FILE}"
    reason = f"it is a lambda, which cannot be imported; define a function in a module instead, or {FILE}"
    found = content_of(RunnablePassthrough() | RunnableLambda(inner) | RunnableLambda(lambda value: value))
    assert found.problems == [
        Problem(".middle[0].func", f"{__name__}.test_no_module.<locals>.inner", inside),
        Problem(".last.func", f"{__name__}.test_no_module.<locals>.<lambda>", reason),
    ]
    assert "Tr0ub4dor" not in str(found)


def test_what_belongs_to_a_call() -> None:
    """Callbacks, ids and a call's own metadata are no part of the chain: the hash does not know them."""
    chain = FakeListChatModel(responses=["a"])
    plain = content_of(chain.with_config(configurable={"mode": "x"})).hash
    call: dict[str, Any] = {"thread_id": "1", "session_id": "2", "user_id": "3", "mode": "x"}
    other = chain.with_config(configurable=call, tags=["a"], metadata={"a": 1}, callbacks=[])
    assert content_of(other).hash == plain
    assert content_of(chain.with_config(configurable={"mode": "y"})).hash != plain


def test_calls_leave_no_trace() -> None:
    """A chain is the same after it has been called."""
    chain = FakeListChatModel(responses=["a", "b"]) | StrOutputParser()
    before = content_of(chain)
    assert chain.invoke("x") == "a"
    assert content_of(chain) == before


def test_facts() -> None:
    """Packages, parameters of models and secrets are collected from all of the chain."""
    chain: Runnable[Any, Any] = PromptTemplate.from_template("{x}") | RunnableParallel(
        a=openai(model="m", temperature=0.5), b=FakeListChatModel(responses=["a"]) | Client(service_password="")
    )
    found = content_of(chain)
    assert found.packages == ["langchain_core", "langchain_openai", "tests"]
    assert found.secrets == ["OPENAI_API_KEY"]
    assert found.params == {
        "ChatOpenAI.model_name": "m",
        "ChatOpenAI.temperature": "0.5",
        "ChatOpenAI.stream_usage": "True",
    }


def test_params_are_short() -> None:
    """A parameter of a model is cut at 500 characters, which is what MLflow takes."""
    found = content_of(openai(model="m" * 600))
    assert found.params["ChatOpenAI.model_name"] == "m" * 500


def test_messages() -> None:
    """Messages within a prompt are written, with their tool calls."""
    message = AIMessage("a", tool_calls=[{"name": "sign_in", "args": {"user": "u"}, "id": "1", "type": "tool_call"}])
    chain = ChatPromptTemplate.from_messages([message, ("human", "{x}")])
    built, content = again(chain)
    assert content.hash == content_of(chain).hash
    assert cast("Any", built).invoke({"x": "y"}) == chain.invoke({"x": "y"})
