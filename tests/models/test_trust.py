"""A file of a model cannot run code, read keys that are not its models', or touch anything while it is built."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import logging
import os
import pkgutil
import socket
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.load.serializable import Serializable
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_autotrace import load_model
from langchain_autotrace.errors import ModelError
from langchain_autotrace.models.encode import content_of
from langchain_autotrace.models.revive import FORMAT, TRUSTED_PACKAGES, ChainLoadError, load_chain, revive
from tests.models.trees import KEY, LAMBDA, OPENAI, PROMPT, component, instance, reference, secret

OTHER_KEY = "not-for-the-model-0123456789"
FEW_SHOT = "langchain_core.prompts.few_shot:FewShotPromptTemplate"
CHAT_PROMPT = "langchain.prompts.chat.ChatPromptTemplate"
HUMAN = "langchain.prompts.chat.HumanMessagePromptTemplate"
CONFIGURABLE = "langchain.schema.runnable.RunnableConfigurableFields"
EXAMPLE = component(PROMPT, template="", input_variables=[])
JINJA = {"template": "{{ ''.__class__ }}", "template_format": "jinja2", "input_variables": []}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment, of the model and of something else."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OTHER_KEY)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of the user's: functions, a component, a class that is none, and a module it imports."""
    (tmp_path / "their_code").mkdir()
    (tmp_path / "their_code" / "__init__.py").write_text(
        """
import os
from os import system
from langchain_core.output_parsers import StrOutputParser
class Upper(StrOutputParser):
    def parse(self, text):
        return text.upper()
class Plain:
    pass
class Holder:
    run = os.system
def shout(text):
    return text + "!"
def _hidden(text):
    return text
alias = shout
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "their_code"
    sys.modules.pop("their_code", None)


def refusal(tree: object, **how: Any) -> str:
    """Why a tree is refused."""
    with pytest.raises(ChainLoadError) as caught:
        revive(tree, **how)
    assert KEY not in str(caught.value)
    assert OTHER_KEY not in str(caught.value)
    return str(caught.value)


def test_key_of_another() -> None:
    """A chat model cannot be given another environment variable as its key, whatever address it sends it to."""
    tree = component(
        OPENAI, model_name="m", openai_api_base="http://127.0.0.1:1/v1", openai_api_key=secret("AWS_SECRET_ACCESS_KEY")
    )
    assert refusal(tree) == (
        "ChatOpenAI does not declare 'AWS_SECRET_ACCESS_KEY' as the secret for its field 'openai_api_key'"
    )


def test_own_key() -> None:
    """A chat model gets the key that its class declares, by the field's name and by its alias."""
    for field in ("openai_api_key", "api_key"):
        model = revive(component(OPENAI, **{field: secret("OPENAI_API_KEY")}))
        assert model.openai_api_key.get_secret_value() == KEY


def test_given_secrets() -> None:
    """Keys that the caller gives replace the environment's, and a name that is not among them is no key."""
    tree = component(OPENAI, openai_api_key=secret("OPENAI_API_KEY"))
    model = revive(tree, secrets={"OPENAI_API_KEY": "given-0123456789"})
    assert model.openai_api_key.get_secret_value() == "given-0123456789"
    assert "AWS_SECRET_ACCESS_KEY" in refusal(
        component(OPENAI, openai_api_key=secret("AWS_SECRET_ACCESS_KEY")), secrets={"AWS_SECRET_ACCESS_KEY": OTHER_KEY}
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {"model_name": secret("OPENAI_API_KEY")},
        {"openai_api_base": secret("OPENAI_API_KEY")},
        {"openai_organization": secret("OPENAI_API_KEY")},
        {"openai_proxy": secret("OPENAI_API_KEY")},
        {"default_headers": {"x": secret("OPENAI_API_KEY")}},
        {"default_headers": secret("OPENAI_API_KEY")},
        {"extra_body": {"x": [secret("OPENAI_API_KEY")]}},
        {"stop": [secret("OPENAI_API_KEY")]},
        {"openai_api_key": [secret("OPENAI_API_KEY")]},
        {"openai_api_key": {"lc": 1, "type": "tuple", "items": [secret("OPENAI_API_KEY")]}},
        {"model_kwargs": {"lc": 1, "type": "dict", "items": [["a", secret("OPENAI_API_KEY")]]}},
        {"openai_api_key": {"lc": 1, "type": "secret", "id": []}},
        {"openai_api_key": {"lc": 1, "type": "secret"}},
        {"openai_api_key": {"lc": 1, "type": "secret", "id": {"a": 1}}},
        {"openai_api_key": {"lc": True, "type": "secret", "id": ["AWS_SECRET_ACCESS_KEY"]}},
        {"openai_api_key": {"lc": 1.0, "type": "secret", "id": ["AWS_SECRET_ACCESS_KEY"]}},
        {"openai_api_key": {"lc": 2, "type": "secret", "id": ["AWS_SECRET_ACCESS_KEY"]}},
    ],
)
def test_key_elsewhere(kwargs: dict[str, Any]) -> None:
    """A key goes into the field that its class declares and nowhere else: no address, header, list or text."""
    refusal(component(OPENAI, **kwargs))


@pytest.mark.parametrize(
    "tree",
    [
        secret("OPENAI_API_KEY"),
        [secret("OPENAI_API_KEY")],
        {"a": {"b": secret("OPENAI_API_KEY")}},
        component(PROMPT, template=secret("OPENAI_API_KEY")),
        component(PROMPT, template="{x}", partial_variables={"x": secret("OPENAI_API_KEY")}),
        component(PROMPT, template="{x}", openai_api_key=secret("OPENAI_API_KEY")),
        instance("langchain_core.language_models.fake:FakeListLLM", responses=[secret("OPENAI_API_KEY")]),
        component("langchain.schema.runnable.RunnableBinding", bound=secret("OPENAI_API_KEY")),
        {"lc": 1, "type": "itemgetter", "keys": [secret("OPENAI_API_KEY")]},
        {"lc": 1, "type": "dict", "items": [[secret("OPENAI_API_KEY"), 1]]},
    ],
)
def test_key_of_no_model(tree: object) -> None:
    """What is no model gets no key: it cannot be read out of the environment into a text."""
    refusal(tree)


def test_no_key_in_errors() -> None:
    """An error while a chain is built shows nothing of the key that it was built with, nor does what is behind it."""
    tree = component(OPENAI, openai_api_key=secret("OPENAI_API_KEY"), n=0)
    with pytest.raises(ChainLoadError) as caught:
        revive(tree)
    assert str(caught.value) == (
        "the chain cannot be built: ValidationError: ChatOpenAI: Value error, n must be at least 1."
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


SYSTEM = reference("os:system")


@pytest.mark.parametrize(
    "tree",
    [
        SYSTEM,
        reference("posix:system"),
        reference("subprocess:Popen"),
        reference("subprocess:run"),
        reference("builtins:eval"),
        reference("builtins:exec"),
        reference("builtins:__import__"),
        reference("builtins:open"),
        reference("builtins:getattr"),
        reference("builtins:type"),
        reference("builtins:object"),
        reference("builtins:str.format"),
        reference("importlib:import_module"),
        reference("operator:attrgetter"),
        reference("functools:partial"),
        reference("pickle:loads"),
        reference("langchain_autotrace.models.revive:revive"),
        reference("langchain_core.load.load:loads"),
        reference("langchain_core.load.load:os.system"),
        reference("langchain_openai.chat_models.base:os.system"),
        instance("subprocess:Popen", args=["true"]),
        instance("builtins:eval", source="1"),
        instance("os:system", command="true"),
        component("os.system", command="true"),
        component("subprocess.Popen", args=["true"]),
        component("builtins.eval"),
        instance(LAMBDA, func=SYSTEM),
        instance(LAMBDA, func=reference("langchain_core.load.load:loads")),
        instance(LAMBDA, func=reference("langchain_core.prompts.loading:load_prompt")),
        instance(LAMBDA, func=reference(LAMBDA)),
        instance(LAMBDA, func="os:system"),
        instance(LAMBDA, func=None, afunc=SYSTEM),
        instance("langchain_core.runnables.base:RunnableGenerator", transform=SYSTEM),
        instance("langchain_core.tools.simple:Tool", name="a", description="b", func=SYSTEM),
        instance("langchain_core.tools.structured:StructuredTool", name="a", description="b", func=SYSTEM),
        component("langchain.schema.runnable.RunnableBinding", bound=SYSTEM),
        component("langchain.schema.runnable.RunnableBinding", bound=EXAMPLE, config_factories=[SYSTEM]),
        component(PROMPT, template="{x}", partial_variables={"x": SYSTEM}),
        component(OPENAI, custom_get_token_ids=SYSTEM),
        component(OPENAI, openai_api_key=SYSTEM),
        {"lc": 1, "type": "dict", "items": [["a", SYSTEM]]},
        {"lc": 1, "type": "tuple", "items": [SYSTEM]},
        {"a": [{"b": SYSTEM}]},
    ],
)
def test_code(tree: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """No function or class that runs code can be named, as a reference, an object, a class, or within any of them."""

    def ran(*_: object, **__: object) -> None:
        raise AssertionError("code was run")

    monkeypatch.setattr(os, "system", ran)
    monkeypatch.setattr(subprocess, "Popen", ran)
    refusal(tree)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("langchain_core.load.load:os.system", "is imported there from another package"),
        ("langchain_core.load.load:importlib.import_module", "is imported there from another package"),
        ("langchain_core.load.load:os", "is imported there from another package"),
        ("langchain_core.load:load", "is not a LangChain component"),
        ("langchain_core.load.load:json.loads", "is imported there from another package"),
        ("langchain_openai.chat_models.base:openai.OpenAI", "is imported there from another package"),
        ("langchain_core.prompts.prompt:BaseModel", "is imported there from another package"),
        ("langchain_core.prompts.prompt:PromptTemplate.__class__", "is private to 'langchain_core'"),
        ("langchain_core.prompts.prompt:PromptTemplate.__init__.__globals__", "is private to 'langchain_core'"),
        ("langchain_core.prompts.prompt:__builtins__", "is private to 'langchain_core'"),
        ("langchain_core.prompts.prompt:__loader__.load_module", "is private to 'langchain_core'"),
        ("langchain_core.prompts.prompt:_private", "is private to 'langchain_core'"),
        ("langchain_core.prompts.prompt:PromptTemplate._private", "is private to 'langchain_core'"),
        ("langchain_core.__main__:X", "is not the name of a class or function"),
        ("langchain_openai.chat_models.codex:_ChatOpenAICodex", "is private to 'langchain_openai'"),
        ("langchain_core.prompts.prompt:PromptTemplate.from_file", "is not a LangChain component"),
        ("langchain_core.prompts.prompt:PromptTemplate.model_fields", "is imported there from another package"),
        ("langchain_core.prompts.loading:load_prompt", "is not a LangChain component"),
        ("langchain_core.load.load:Reviver", "is not a LangChain component"),
        ("langchain_core.callbacks.file:FileCallbackHandler", "is not a LangChain component"),
        ("langchain_core.vectorstores.in_memory:InMemoryVectorStore", "is not a LangChain component"),
        ("langchain_openai.embeddings.base:OpenAIEmbeddings", "is not a LangChain component"),
        ("langchain_core.nowhere:X", "cannot be imported"),
        ("langchain_core.prompts.prompt:Nothing", "cannot be imported"),
        ("langchain_core..prompts:X", "is not the name of a class or function"),
        ("langchain_core.:X", "is not the name of a class or function"),
        ("langchain_core.prompts.prompt:", "is not the name of a class or function"),
        ("langchain_core.prompts.prompt", "is not the name of a class or function"),
        ("langchain_core.prompts.prompt:PromptTemplate.", "is not the name of a class or function"),
        ("langchain_core.prompts.prompt:PromptTemplate:x", "is not the name of a class or function"),
        ("langchain_core.prompts prompt:PromptTemplate", "is not the name of a class or function"),
        ("langchain_core.load\n:x", "is not the name of a class or function"),
        (".langchain_core:x", "is not trusted by default"),
        ("..langchain_core:x", "is not trusted by default"),
        ("langchain_core/../os:system", "is not trusted by default"),
        ("langchain_core\x00:x", "is not trusted by default"),
        ("\uff4cangchain_core.prompts.prompt:PromptTemplate", "is not trusted by default"),
        ("LANGCHAIN_CORE.prompts.prompt:PromptTemplate", "is not trusted by default"),
        (" langchain_core.prompts.prompt:PromptTemplate", "is not trusted by default"),
        ("langchain_core_evil:X", "is not trusted by default"),
        ("", "is not trusted by default"),
        (":X", "is not trusted by default"),
        ("os:system", "is not trusted by default"),
    ],
)
def test_names(name: str, reason: str) -> None:
    """A class is named where it is defined, by the name it has there, in a package that is trusted."""
    assert reason in refusal(instance(name))


@pytest.mark.parametrize("name", [None, 1, [], ["os"], {"a": 1}, {"lc": 1, "type": "ref", "ref": "os:system"}])
def test_names_that_are_none(name: object) -> None:
    """A name that is no text is refused."""
    refusal({"lc": 1, "type": "object", "class": name, "kwargs": {}})
    refusal({"lc": 1, "type": "ref", "ref": name})


@pytest.mark.parametrize(
    "package",
    [
        *("langchain_community", "langchain_experimental", "langchain_huggingface", "langchain", "langgraph"),
        *("langchain_classic", "langchain_vertexai", "langsmith", "pydantic", "langchain_autotrace", "__main__"),
    ],
)
def test_other_packages(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not trusted is not even imported: there are those that hold shells and run downloaded code."""
    assert package not in TRUSTED_PACKAGES
    asked: list[str] = []
    real = importlib.import_module

    def noted(name: str) -> types.ModuleType:
        asked.append(name)
        return real(name)

    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", noted)
        for tree in (
            instance(f"{package}.utilities.python:PythonREPL"),
            instance(f"{package}:PythonREPL"),
            component(f"{package}.tools.ShellTool"),
            reference(f"{package}.tools:ShellTool"),
            instance(LAMBDA, func=reference(f"{package}.tools:run")),
        ):
            reason = refusal(tree)
            assert f"pass allow=['{package}'] if you trust the source of this model" in reason
    assert set(asked) == {"langchain_core.runnables.base"}


def test_where_ids_lead() -> None:
    """An id that LangChain's own table sends to another package is judged by that package."""
    table = importlib.import_module("langchain_core.load.load").ALL_SERIALIZABLE_MAPPINGS
    elsewhere = {given: real for given, real in table.items() if real[0] not in TRUSTED_PACKAGES}
    assert {real[0] for real in elsewhere.values()} >= {"langchain_vertexai"}
    for given, real in elsewhere.items():
        reason = refusal({"lc": 1, "type": "constructor", "id": list(given), "kwargs": {}})
        assert f"{'.'.join(real[:-1])}:{real[-1]}" in reason
        assert "is not trusted by default" in reason


@pytest.mark.parametrize(
    "identity",
    [
        *(None, [], ["os"], "os", {"a": 1}, 1, [["langchain_core"], "x"], [1, 2], [None, None]),
        ["langchain_core.load.load", "os"],
        ["langchain_core.load.load:os", "system"],
        ["langchain_core", "load", "load", "os.system"],
        ["langchain_core", "prompts", "prompt", "PromptTemplate", "from_file"],
        ["langchain_openai", "chat_models", "codex", "_ChatOpenAICodex"],
        ["", "os", "system"],
        ["langchain_core", "", "X"],
    ],
)
def test_odd_ids(identity: object) -> None:
    """An id of another form than LangChain's is refused."""
    refusal({"lc": 1, "type": "constructor", "id": identity, "kwargs": {}})


@pytest.mark.parametrize(
    "tree",
    [
        component(PROMPT, **JINJA),
        component(CHAT_PROMPT, messages=[["human", "{{ x }}"]], template_format="jinja2"),
        component(CHAT_PROMPT, messages=[component(HUMAN, prompt=component(PROMPT, **JINJA))]),
        component(CHAT_PROMPT, messages=[component(HUMAN, prompt=JINJA)], input_variables=[]),
        component(CHAT_PROMPT, messages=[{"prompt": JINJA}], input_variables=[]),
        component(HUMAN, prompt=[component(PROMPT, **JINJA)]),
        instance("langchain_core.prompts.dict:DictPromptTemplate", template={"a": "{{ x }}"}, template_format="jinja2"),
        instance("langchain_core.prompts.image:ImagePromptTemplate", template={"url": "u"}, template_format="jinja2"),
        instance(
            "langchain_core.prompts.structured:StructuredPrompt",
            messages=[["human", "{{ x }}"]],
            schema_={"title": "a", "description": "b"},
            template_format="jinja2",
        ),
        instance(FEW_SHOT, examples=[{}], suffix="{{ x }}", example_prompt=EXAMPLE, template_format="jinja2"),
        instance(FEW_SHOT, examples=[{}], suffix="", input_variables=[], example_prompt=JINJA),
        instance(
            FEW_SHOT,
            examples=[{}],
            suffix="",
            input_variables=[],
            example_prompt={"lc": 1, "type": "dict", "items": [[key, item] for key, item in JINJA.items()]},
        ),
        component(
            CONFIGURABLE,
            default=component(PROMPT, template="{{ x }}", template_format="mustache"),
            fields={"template_format": {"id": "how"}},
        ),
        component(
            CONFIGURABLE,
            default=component(PROMPT, template="{{ x }}", template_format="mustache"),
            fields={
                "lc": 1,
                "type": "dict",
                "items": [["template_format", {"lc": 1, "type": "tuple", "items": ["a"]}]],
            },
        ),
        component(PROMPT, template="x", template_format=["jinja2"]),
        component(PROMPT, template="x", template_format={"lc": 1, "type": "tuple", "items": ["jinja2"]}),
        component(PROMPT, template="x", template_format=component(PROMPT, template="jinja2")),
        [{"a": {"template_format": "jinja2"}}],
    ],
)
def test_jinja2(tree: object) -> None:
    """A jinja2 template runs code, and is refused wherever it stands: also where pydantic would make a prompt of it."""
    assert refusal(tree) == "template_format must be one of f-string, mustache: other formats can run code"


@pytest.mark.parametrize("template", ["{x.__class__}", "{x[0]}", "{x.__class__.__init__.__globals__}"])
def test_attributes_in_templates(template: str) -> None:
    """A template of the plain kind reads no attributes of what fills it."""
    refusal(component(PROMPT, template=template, input_variables=["x"]))
    mustache = revive(component(PROMPT, template="{{x.__class__}}", input_variables=["x"], template_format="mustache"))
    assert mustache.invoke({"x": 1}).text == ""


def test_image_files() -> None:
    """A template of an image does not read a file when the chain runs."""
    prompt = revive(
        instance(
            "langchain_core.prompts.image:ImagePromptTemplate", template={"path": "/etc/hostname"}, input_variables=[]
        )
    )
    with pytest.raises(ValueError, match="path"):
        prompt.invoke({})


@pytest.mark.parametrize(
    "keys", [[], None, "text", {"a": 1}, [None], [1.5], [["a"]], [{"a": 1}], [SYSTEM], [secret("HOME")]], ids=str
)
def test_odd_getters(keys: object) -> None:
    """``itemgetter`` takes texts and numbers, written as such, and at least one."""
    refusal({"lc": 1, "type": "itemgetter", "keys": keys})


def test_getters_read_items() -> None:
    """``itemgetter`` is no way to an attribute, and there is no other callable of that module by name."""
    getter = revive({"lc": 1, "type": "itemgetter", "keys": ["__class__"]})
    with pytest.raises(KeyError):
        getter({"a": 1})
    node = {"lc": 1, "type": "call", "ref": "operator:attrgetter", "args": ["__class__.__init__"], "keys": ["a"]}
    assert refusal(node) == "part of the chain could not be written as JSON when it was logged: call"


@pytest.mark.parametrize(
    "keys", [["__class__"], ["a.__class__"], ["_a"], ["a", "b._c"], ["a..b"], [""], [1], [], None, "content"]
)
def test_private_attributes(keys: object) -> None:
    """A getter of attributes reads public ones alone: no way from a value to its class, or a function's globals."""
    refusal({"lc": 1, "type": "attrgetter", "keys": keys})


@pytest.mark.parametrize(
    "items",
    [
        ["format", "{0.__class__}"],
        ["format_map", {}],
        ["encode"],
        ["invoke", "x"],
        ["__class__"],
        [["upper"]],
        ["replace", "a", SYSTEM],
        ["split", secret("OPENAI_API_KEY")],
        [],
        None,
        "upper",
    ],
)
def test_methods(items: object) -> None:
    """A caller of a method calls those of strings that only compute, with texts and numbers."""
    refusal({"lc": 1, "type": "methodcaller", "items": items})


@pytest.mark.parametrize(
    "tree",
    [
        {"lc": 1, "type": "partial", "func": SYSTEM, "args": ["true"]},
        {"lc": 1, "type": "partial", "func": reference("builtins:eval"), "args": ["1"]},
        {"lc": 1, "type": "partial", "func": reference("builtins:len"), "args": [SYSTEM]},
        {"lc": 1, "type": "partial", "func": reference("builtins:sorted"), "kwargs": {"key": SYSTEM}},
        {"lc": 1, "type": "partial", "func": reference("json:loads"), "kwargs": {"object_hook": SYSTEM}},
        {"lc": 1, "type": "partial", "func": reference("builtins:repr"), "args": [secret("OPENAI_API_KEY")]},
        {"lc": 1, "type": "partial", "func": component(OPENAI), "args": []},
        {"lc": 1, "type": "partial", "func": "os:system", "args": []},
        {"lc": 1, "type": "partial", "func": reference("builtins:len"), "args": "a"},
        {"lc": 1, "type": "partial", "func": reference("builtins:len"), "kwargs": [1]},
        {"lc": 1, "type": "partial"},
        reference("langchain_openai.chat_models.base:_url_to_size"),
        reference("langchain_openai.chat_models.base:_convert_dict_to_message"),
        reference("langchain_openai.chat_models.base:os._structured_output_parser"),
        reference("langchain_core.load.load:_structured_output_parser"),
        reference("os:_structured_output_parser"),
        reference("json:load"),
        reference("builtins:str.format"),
        reference("builtins:str.format_map"),
        reference("builtins:str.join.__self__"),
        reference("builtins:print.__self__.eval"),
        reference("langchain_core.messages.utils:_create_message_from_message_type"),
        {"lc": 1, "type": "variable", "ref": "os:system"},
        {"lc": 1, "type": "variable", "ref": "langchain_core.tools.base:BaseTool"},
        {"lc": 1, "type": "variable"},
    ],
)
def test_functions(tree: dict[str, Any]) -> None:
    """Of the functions that may be named none runs code, reads a file or an address, nor does what they are given."""
    refusal(tree)


def test_functions_that_compute() -> None:
    """Functions that only compute, and those with which a package parses an answer, are named without a word."""
    name = "langchain_openai.chat_models.base:_oai_structured_outputs_parser"
    partial = {"lc": 1, "type": "partial", "func": reference(name), "kwargs": {"schema": reference("builtins:dict")}}
    assert revive(partial).func.__name__ == "_oai_structured_outputs_parser"
    assert revive(reference("builtins:len")) is len
    assert revive(reference("builtins:str.upper"))("a") == "A"
    assert revive({"lc": 1, "type": "methodcaller", "items": ["split", ","]})("a,b") == ["a", "b"]
    assert revive({"lc": 1, "type": "attrgetter", "keys": ["real"]})(1) == 1
    assert revive({"lc": 1, "type": "nothing"})(1) is None


def test_variables(package: str, tmp_path: Path) -> None:
    """A tool that a module holds is taken with the caller's word for the package; anything else it holds is not."""
    more = """
from langchain_core.tools import tool
@tool
def weather(city: str) -> str:
    "Weather."
    return city
upper = Upper()
"""
    with (tmp_path / package / "__init__.py").open("a") as file:
        file.write(more)
    node = {"lc": 1, "type": "variable", "ref": f"{package}:weather"}
    assert "is not trusted by default" in refusal(node)
    assert revive(node, allow=[package]).invoke({"city": "Rome"}) == "Rome"
    for other in ("system", "Upper", "upper", "shout", "nothing", "Holder.run", "__builtins__"):
        refusal({**node, "ref": f"{package}:{other}"}, allow=[package])


@pytest.mark.parametrize(
    "node",
    [
        {"lc": 1},
        {"lc": 1, "type": None},
        {"lc": 1, "type": ["ref"]},
        {"lc": 1, "type": "REF", "ref": "builtins:str"},
        {"lc": 1, "type": "cloudpickle", "data": "gASVAAAAAAAAAAAu"},
        {"lc": 1, "type": "not_implemented", "id": ["a", "b"], "repr": "x"},
        {"lc": 1, "type": "constructor"},
        {"lc": 1, "type": "object"},
        {"lc": 1, "type": "ref"},
        {"lc": 1, "type": "itemgetter"},
        {"lc": 1, "type": "tuple"},
        {"lc": 1, "type": "dict"},
        {"lc": 1, "type": "dict", "items": [["a"]]},
        {"lc": 1, "type": "dict", "items": [[[], 1]]},
        {"lc": "x", "a": 1},
        {"lc": None},
        {"lc": 1, "type": "constructor", "id": PROMPT.split("."), "kwargs": [["template", "x"]]},
        {"lc": 1, "type": "constructor", "id": PROMPT.split("."), "kwargs": None},
        {"lc": 1, "type": "constructor", "id": PROMPT.split("."), "kwargs": "template"},
        component(PROMPT),
        component("langchain_core.language_models.chat_models.SimpleChatModel"),
    ],
)
def test_odd_nodes(node: object) -> None:
    """A node of an unknown kind, or without what its kind needs, is refused and never passed on as data."""
    refusal(node)
    refusal(component("langchain.schema.runnable.RunnableBinding", bound=node))


@pytest.mark.parametrize("depth", [500, 20_000])
def test_nested_too_deeply(depth: int) -> None:
    """A tree of any depth is built, or refused as too deep."""
    for wrapped in (lambda tree: [tree], lambda tree: {"a": tree}, lambda tree: instance(LAMBDA, func=tree)):
        tree: Any = reference("os:system")
        for _ in range(depth):
            tree = wrapped(tree)
        assert refusal(tree)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 200_000, "not valid JSON"),
        ('{"a":' * 200_000, "not valid JSON"),
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("gASVAAAAAAAAAAAu", "not valid JSON"),
        ("null", "written in format None"),
        ("[]", "written in format None"),
        ('"text"', "written in format None"),
        ("{}", "written in format None"),
        ('{"format": "langchain-autotrace/2", "chain": {}}', "written in format 'langchain-autotrace/2'"),
        ('{"format": ["langchain-autotrace/1"], "chain": {}}', "written in format ["),
        (f'{{"format": "{FORMAT}"}}', "does not contain a chain"),
        (f'{{"format": "{FORMAT}", "chain": null}}', "does not contain a chain"),
        (f'{{"format": "{FORMAT}", "chain": "text"}}', "does not contain a chain"),
        (f'{{"format": "{FORMAT}", "chain": [1]}}', "does not contain a chain"),
        (f'{{"format": "{FORMAT}", "chain": {json.dumps(reference("builtins:str"))}}}', "does not contain a chain"),
        (f'{{"format": "{FORMAT}", "chain": {json.dumps(SYSTEM)}}}', "is not trusted"),
    ],
    ids=lambda text: text[:60],
)
def test_files(text: str, reason: str, tmp_path: Path) -> None:
    """A file that is none of ours is an error of the loader's, by both ways to load it."""
    path = tmp_path / "chain.json"
    path.write_text(text)
    with pytest.raises(ChainLoadError, match=reason.replace("[", r"\[")):
        load_chain(path)
    with pytest.raises(ModelError):
        load_model(tmp_path)


def test_file_of_bytes(tmp_path: Path) -> None:
    """A file that is no text is an error of the loader's."""
    (tmp_path / "chain.json").write_bytes(b"\x80\x04\x95\xff")
    with pytest.raises(ChainLoadError, match="not valid JSON"):
        load_chain(tmp_path / "chain.json")


@pytest.mark.parametrize(
    "data",
    [
        {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]},
        {"lc": 1, "type": "ref", "ref": "os:system"},
        {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}},
        {"lc": 1, "type": "dict", "items": [["a", 1]]},
        {"lc": 1, "type": "tuple", "items": []},
        {"lc": 2},
        {"lc": None, "a": {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]}},
        {"__lc_escaped__": {"lc": 1, "type": "ref", "ref": "os:system"}},
        {"a": [{"lc": 1, "type": "not_implemented"}]},
    ],
)
def test_data_stays_data(data: dict[str, Any]) -> None:
    """A user's dict that looks like a node is written as a dict and comes back as that dict (CVE-2025-68664)."""
    for chain, read in (
        (ChatOpenAI(extra_body={"x": data}), lambda built: built.extra_body["x"]),
        (ChatOpenAI(extra_body=data), lambda built: built.extra_body),
        (ChatOpenAI(model_kwargs=data), lambda built: built.model_kwargs),
        (ChatOpenAI().bind(x=data), lambda built: built.kwargs["x"]),
        (ChatOpenAI().bind(**data), lambda built: built.kwargs),
        (PromptTemplate(template="{x}", input_variables=["x"], metadata=data), lambda built: built.metadata),
        (
            cast("Any", PromptTemplate)(template="{x}", partial_variables={"x": data}),
            lambda built: built.partial_variables["x"],
        ),
    ):
        found = content_of(chain)
        assert found.problems == []
        built = revive(found.tree)
        assert cast("Any", read)(built) == data
        assert content_of(built).hash == found.hash


def test_allow_opens_that_package(package: str) -> None:
    """``allow`` opens the package that it names: its functions and its components."""
    assert revive(instance(LAMBDA, func=reference("their_code:shout")), allow=[package]).invoke("a") == "a!"
    assert revive(instance("their_code:Upper"), allow=[package]).invoke("a") == "A"
    assert revive(reference("their_code:Plain"), allow=[package]).__name__ == "Plain"


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (reference("their_code:os.system"), "is imported there from another package"),
        (reference("their_code:system"), "is imported there from another package"),
        (reference("their_code:os"), "is imported there from another package"),
        (reference("their_code:Holder.run"), "is imported there from another package"),
        (reference("their_code:alias"), "is an alias of 'shout'"),
        (reference("their_code:__builtins__"), "is not the name of a class or function"),
        (reference("their_code:shout.__globals__"), "is not the name of a class or function"),
        (instance("their_code:Plain"), "is not a LangChain component"),
        (instance("their_code:shout"), "is not a LangChain component"),
        (reference("their_code_too:shout"), "is not trusted by default"),
        (reference("their_cod:shout"), "is not trusted by default"),
        (reference("os:system"), "is not trusted by default"),
        (reference("builtins:eval"), "is not trusted by default"),
        (reference("langchain_core.load.load:loads"), "is not trusted by default"),
        (instance("langchain_community.llms:Any"), "is not trusted by default"),
    ],
)
def test_allow_opens_nothing_else(tree: object, reason: str, package: str) -> None:
    """``allow`` opens nothing beside: not what the package imports, nor a package whose name begins like its."""
    assert reason in refusal(tree, allow=[package])


def test_private_functions_of_a_package(package: str) -> None:
    """A function of an allowed package may have a private name, as those of a program's modules often have."""
    assert revive(reference("their_code:_hidden"), allow=[package])("x") == "x"


def test_allow_is_by_first_name(package: str) -> None:
    """``allow`` takes packages by their first name: nothing else opens anything."""
    for allow in ([], ["their_code.sub"], ["their_code:shout"], ["*"], [""], ["their"], ["their_code "], "their_code"):
        assert "is not trusted by default" in refusal(reference("their_code:shout"), allow=allow)


@pytest.fixture
def gemma(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for the package whose local models are downloaded when they are built; what was."""
    downloaded: list[str] = []

    class GemmaLocalHF(StrOutputParser):
        model_name: str

        def model_post_init(self, context: object, /) -> None:
            downloaded.append(self.model_name)

    home = types.ModuleType("langchain_google_vertexai")
    inner = types.ModuleType("langchain_google_vertexai.gemma")
    GemmaLocalHF.__module__, GemmaLocalHF.__qualname__ = inner.__name__, "GemmaLocalHF"
    for module in (home, inner):
        module.GemmaLocalHF = GemmaLocalHF  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return downloaded


def test_models_that_download(gemma: list[str]) -> None:
    """A component that downloads what the file names when it is built needs the caller's word, by any of its names."""
    for name in ("langchain_google_vertexai.gemma:GemmaLocalHF", "langchain_google_vertexai:GemmaLocalHF"):
        tree = instance(name, model_name="theirs/model")
        assert "is not trusted by default" in refusal(tree)
        assert "is not trusted by default" in refusal(
            component(name.replace(":", "."), model_name="theirs/model"), allow=["langchain_core"]
        )
        assert gemma == []
        revive(tree, allow=["langchain_google_vertexai"])
        assert gemma.pop() == "theirs/model"


def components() -> list[type]:
    """The classes of the installed packages that a file may name."""
    found: dict[str, type] = {}
    for name in ("langchain_core", "langchain_openai"):
        for info in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
            for item in vars(importlib.import_module(info.name)).values():
                if not (isinstance(item, type) and issubclass(item, Serializable | Runnable)):
                    continue
                if item.__module__ == info.name and item.__qualname__.isidentifier():
                    found.setdefault(f"{item.__module__}:{item.__qualname__}", item)
    return [found[name] for name in sorted(found) if not name.partition(":")[2].startswith("_")]


FILLINGS: dict[str, Any] = {
    "path": "theirs",
    "url": "http://127.0.0.1:1/",
    "filename": "theirs",
    "file": "theirs",
    "bound": component("langchain.schema.output_parser.StrOutputParser"),
    "runnable": component("langchain.schema.output_parser.StrOutputParser"),
    "default": component("langchain.schema.output_parser.StrOutputParser"),
}


@pytest.mark.parametrize("filled", [False, True])
def test_building_touches_nothing(filled: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: FBT001 - a case each
    """Building any class that may be named opens no file, starts no process and connects to nothing.

    Each field is given a text that a class could take for a path or an address.
    """
    monkeypatch.setenv("LANGCHAIN_AUTOTRACE_HOME", str(tmp_path / "home"))
    kinds = components()
    assert len(kinds) > 80
    touched: list[str] = []
    really_open: Any = Path.open

    def record(event: str) -> Callable[..., Any]:
        def note(*given: object, **named: object) -> Any:
            if str(given[:1]).endswith(".dist-info/METADATA'),)"):  # packages that are imported now read their version
                return really_open(*given, **named)
            touched.append(f"{event}{given[:1]}")
            raise OSError(event)

        return note

    trees = [instance(f"{kind.__module__}:{kind.__qualname__}", **(_texts(kind) if filled else {})) for kind in kinds]
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(logging.root, "disabled", True)
        for tree in trees:
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(builtins, "open", record("open"))
                inner.setattr(Path, "open", record("Path.open"))
                inner.setattr(os, "open", record("os.open"))
                inner.setattr(os, "system", record("system"))
                inner.setattr(subprocess, "Popen", record("Popen"))
                inner.setattr(socket.socket, "connect", record("connect"))
                with contextlib.suppress(ChainLoadError):
                    revive(tree)
    assert touched == []


def _texts(kind: type) -> dict[str, Any]:
    fields = kind.model_fields if issubclass(kind, BaseModel) else {}
    texts: dict[str, Any] = {}
    for name, field in fields.items():
        if str(field.annotation) in {"<class 'str'>", "str | None", "typing.Any"}:
            texts[field.alias or name] = FILLINGS.get(name, "http://127.0.0.1:1/theirs")
        elif field.is_required():
            texts[field.alias or name] = FILLINGS.get(name, [])
    return texts


def test_trusted_ways(tmp_path: Path) -> None:
    """What is trusted loads: a chain of LangChain's own parts, and the types that fallbacks name."""
    chain = RunnableLambda(str) | StrOutputParser()
    path = tmp_path / "chain.json"
    path.write_text(json.dumps({"format": FORMAT, "chain": content_of(chain).tree}))
    assert load_chain(path).invoke(5) == "5"
    assert revive(reference("builtins:Exception")) is Exception
    assert revive({"lc": 1, "type": "itemgetter", "keys": ["q"]})({"q": 1}) == 1
