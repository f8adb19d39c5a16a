"""Trees as ``chain.json`` holds them, and what the tests of models share."""

from __future__ import annotations

from typing import Any

from langchain_autotrace.models.encode import Content, content_of
from langchain_autotrace.models.revive import revive

KEY = "sk-not-a-real-key-0123456789abcdef"
"""What the environment holds as the key of OpenAI."""


def component(identity: str, /, **kwargs: Any) -> dict[str, Any]:
    """A node that names its class by LangChain's id, here joined by dots."""
    return {"lc": 1, "type": "constructor", "id": identity.split("."), "kwargs": kwargs}


def instance(name: str, /, **kwargs: Any) -> dict[str, Any]:
    """A node that names its class as ``module:Class``."""
    return {"lc": 1, "type": "object", "class": name, "kwargs": kwargs}


def reference(name: str) -> dict[str, Any]:
    """A node that is a class or function."""
    return {"lc": 1, "type": "ref", "ref": name}


def secret(name: str) -> dict[str, Any]:
    """A node that stands for an environment variable."""
    return {"lc": 1, "type": "secret", "id": [name]}


PROMPT = "langchain.prompts.prompt.PromptTemplate"
OPENAI = "langchain.chat_models.openai.ChatOpenAI"
LAMBDA = "langchain_core.runnables.base:RunnableLambda"


def again(chain: object) -> tuple[Any, Content]:
    """The chain built again from what was written of it, and what is written of that."""
    built = revive(content_of(chain).tree, secrets={"OPENAI_API_KEY": KEY})
    return built, content_of(built)
