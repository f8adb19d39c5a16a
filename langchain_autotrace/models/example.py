"""Converts a chain's input and output to the JSON that MLflow serves, with messages as role and content."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import math
import pathlib
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, RemoveMessage
from langchain_core.prompt_values import PromptValue, StringPromptValue
from pydantic import BaseModel

from langchain_autotrace.capture.convert import convert
from langchain_autotrace.redaction import has_surrogates
from langchain_autotrace.trace.chat import chat_message


class NoFormError(TypeError):
    """The value cannot be written as JSON that a model would accept as input."""


def input_example(value: object) -> Any:
    """Return a chain's input as an input example that can be passed to the model unchanged.

    MLflow takes a list for a batch, so an input that is a list becomes a batch of one.

    Raises:
        NoFormError: the input cannot be written as JSON.
    """
    if isinstance(value, StringPromptValue):
        return value.text
    if isinstance(value, PromptValue):
        value = value.to_messages()
    if isinstance(value, BaseMessage):
        value = [value]
    found = json_form(value)
    if not isinstance(value, list | tuple):
        return found
    is_chat = bool(value) and all(isinstance(item, BaseMessage) or _is_message_pair(item) for item in value)
    return chat_example(found) if is_chat else [found]


def chat_example(messages: list[Any]) -> Any:
    """Return messages as an input example: ``{"messages": [...]}``, or a list of a list.

    MLflow turns ``{"messages": [...]}`` into LangChain messages, but drops tool calls, and fails on content that is not
    a string. It passes a list of a list on unchanged, and chat models accept that too.

    Args:
        messages: in OpenAI's chat format.
    """
    is_plain = all(
        one["role"] in _PLAIN_ROLES and isinstance(one["content"], str) and "tool_calls" not in one for one in messages
    )
    return {"messages": messages} if is_plain else [messages]


def output_form(value: object) -> Any:
    """Return a chain's output as JSON.

    Raises:
        NoFormError: the output cannot be written, or contains messages, which MLflow returns in a format of its own.
    """
    return json_form(value, messages=False)


def json_form(value: object, *, messages: bool = True) -> Any:  # noqa: C901, PLR0911 - a case each
    """Return a value as JSON.

    Args:
        value: any value.
        messages: whether messages are allowed.

    Raises:
        NoFormError: the value cannot be written, or contains a message that is not allowed.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return _scalar(value)
    if isinstance(value, BaseMessage) and messages:
        return _message(value)
    if isinstance(value, Mapping):
        return {_scalar(str(key)): json_form(item, messages=messages) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pair(item) if _is_message_pair(item) else json_form(item, messages=messages) for item in value]
    if isinstance(value, _TEXTS):
        return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
    if isinstance(value, Enum):
        return json_form(value.value, messages=messages)
    if isinstance(value, Document):
        return {"page_content": value.page_content, "metadata": json_form(value.metadata)}
    if isinstance(value, BaseModel) and not isinstance(value, BaseMessage):
        return json_form(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return json_form(fields, messages=messages)
    msg = f"{type(value).__name__} cannot be written as JSON"
    raise NoFormError(msg)


_TEXTS: Final = (dt.date, dt.time, decimal.Decimal, pathlib.PurePath, uuid.UUID)
"""Types of values that JSON holds as text, as pydantic writes them."""


def _scalar(value: str | float) -> str | int | float:
    if isinstance(value, str):
        text = str.__str__(value)
        if has_surrogates(text):
            raise NoFormError("the string contains a lone surrogate, which JSON cannot represent")
        return text
    is_known = -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)
    if not is_known:
        raise NoFormError("JSON cannot represent this number")
    return value


def _message(message: BaseMessage) -> Any:
    form = json_form(convert(message))
    found = chat_message(form)
    if found is form or isinstance(message, RemoveMessage):
        msg = f"{type(message).__name__} cannot be written as a chat message"
        raise NoFormError(msg)
    if isinstance(found["content"], list):  # a model takes the block itself, which MLflow's UI cannot render
        found["content"] = [block.get("block", block) for block in found["content"] if isinstance(block, dict)]
    return found


def _is_message_pair(value: object) -> bool:
    """Return whether a value is a message in LangChain's tuple shorthand: ``("human", "Hello")``."""
    return isinstance(value, tuple) and [type(part) for part in value] == [str, str] and value[0] in _ROLES


def _pair(value: Any) -> dict[str, str]:
    return {"role": _ROLES[value[0]], "content": value[1]}


_ROLES: Final = {"ai": "assistant", "assistant": "assistant", "human": "user", "system": "system", "user": "user"}
_PLAIN_ROLES: Final = frozenset({"assistant", "system", "user"})
