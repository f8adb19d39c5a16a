"""A chain's input and output in the form in which MLflow serves them: JSON, with messages as role and content."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.prompt_values import PromptValue, StringPromptValue
from pydantic import BaseModel

from langchain_autotrace.capture.redact import has_surrogates


class NoFormError(TypeError):
    """The value has no form in JSON that a model could be given again."""


def input_example(value: object) -> Any:
    """The input as an example that a model takes as it is.

    MLflow takes a list for a batch, so an input that is a list becomes a batch of one.

    Raises:
        NoFormError: it cannot be written.
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
    """Messages as an example.

    MLflow turns ``{"messages": [...]}`` into LangChain's messages. It drops tool calls then, and fails where content is
    no text; a list of a list goes to the model as it is, and chat models take that too.

    Args:
        messages: in OpenAI's form.
    """
    is_plain = all(
        one["role"] in _PLAIN_ROLES and isinstance(one["content"], str) and "tool_calls" not in one for one in messages
    )
    return {"messages": messages} if is_plain else [messages]


def output_form(value: object) -> Any:
    """The output as JSON.

    Raises:
        NoFormError: it cannot be written, or holds messages, which MLflow returns in a form of its own.
    """
    return json_form(value, messages=False)


def json_form(value: object, *, messages: bool = True) -> Any:  # noqa: PLR0911 - a case each
    """The value as JSON.

    Args:
        value: any value.
        messages: whether to write messages.

    Raises:
        NoFormError: it cannot be written.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return _atom(value)
    if isinstance(value, BaseMessage) and messages:
        return _message(value)
    if isinstance(value, Mapping):
        return {_atom(str(key)): json_form(item, messages=messages) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pair(item) if _is_message_pair(item) else json_form(item, messages=messages) for item in value]
    if isinstance(value, Document):
        return {"page_content": value.page_content, "metadata": json_form(value.metadata)}
    if isinstance(value, BaseModel) and not isinstance(value, BaseMessage):
        return json_form(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return json_form(fields, messages=messages)
    msg = f"{type(value).__name__} has no form in JSON"
    raise NoFormError(msg)


def _atom(value: str | float) -> str | int | float:
    if isinstance(value, str):
        text = str.__str__(value)
        if has_surrogates(text):
            raise NoFormError("JSON has no half of a surrogate pair")
        return text
    is_known = -(2**63) <= value < 2**63 if isinstance(value, int) else math.isfinite(value)
    if not is_known:
        raise NoFormError("JSON has no such number")
    return value


def _message(message: BaseMessage) -> Any:
    try:
        return json_form(convert_to_openai_messages(message))
    except NoFormError:
        raise
    except Exception as error:
        msg = f"{type(message).__name__}: {error}"
        raise NoFormError(msg) from error


def _is_message_pair(value: object) -> bool:
    """Whether it is a message as LangChain's users write them: ``("human", "Hello")``."""
    return isinstance(value, tuple) and [type(part) for part in value] == [str, str] and value[0] in _ROLES


def _pair(value: Any) -> dict[str, str]:
    return {"role": _ROLES[value[0]], "content": value[1]}


_ROLES: Final = {"ai": "assistant", "assistant": "assistant", "human": "user", "system": "system", "user": "user"}
_PLAIN_ROLES: Final = frozenset({"assistant", "system", "user"})
