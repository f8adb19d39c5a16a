"""What a request to the OpenAI API asks, told apart from how a version of a client writes it."""

import json
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

__all__ = ["Asked", "asked", "asks_the_same"]

_ROLES = {"developer": "system"}
"""Newer names of roles, and the ones that recordings have."""


class Asked(NamedTuple):
    """The part of a request's body that decides what the answer is, and in which form."""

    model: object
    is_streamed: bool
    """Whether the answer is to come as server-sent events."""
    messages: list[tuple[str, str]]
    """Role and text of the messages since the model's last answer, or of the texts to embed."""
    tools: list[str]
    """Names of the tools that the model may call."""


def asked(body: bytes | str) -> Asked:
    """Return what the JSON body of a request to chat completions, responses or embeddings asks."""
    content: Mapping[str, Any] = json.loads(body)
    messages = _items(content.get("messages", content.get("input")))
    last = list(takewhile(lambda one: not _is_answer(one), reversed(messages)))
    return Asked(
        model=content.get("model"),
        is_streamed=bool(content.get("stream")),
        messages=[(_role(one), _text(one)) for one in reversed(last)],
        tools=sorted(_name(tool) for tool in content.get("tools") or ()),
    )


def asks_the_same(request: Any, recorded: Any) -> None:  # noqa: ANN401 - vcrpy is not typed
    """Raise if two requests ask different things: a matcher of vcrpy."""
    new, old = asked(request.body), asked(recorded.body)
    if new != old:
        message = "\n".join(f"{name}: {new[i]!r}, recorded: {old[i]!r}" for i, name in enumerate(new._fields))
        raise AssertionError(message)


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_answer(message: object) -> bool:
    return isinstance(message, Mapping) and (
        message.get("role") == "assistant" or message.get("type") in {"function_call", "reasoning"}
    )


def _role(message: object) -> str:
    role = str(message.get("role") or message.get("type")) if isinstance(message, Mapping) else "user"
    return _ROLES.get(role, role)


def _text(message: object) -> str:
    """Return the text of a message, whether it is a string or a list of blocks."""
    if isinstance(message, Mapping):
        message = message.get("content", message.get("output"))
    return message if isinstance(message, str) else "".join(_texts(_items(message)))


def _texts(blocks: Iterable[object]) -> Iterable[str]:
    for block in blocks:
        text = block.get("text") if isinstance(block, Mapping) else None
        # Anything else, such as an image or a list of tokens, counts as a whole.
        yield text if isinstance(text, str) else json.dumps(block, sort_keys=True)


def _name(tool: Mapping[str, Any]) -> str:
    return str(tool.get("function", tool).get("name") or tool.get("type"))
