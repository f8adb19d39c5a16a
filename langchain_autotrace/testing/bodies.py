"""Bodies of requests and answers as fields of a YAML file, and back to the byte.

A body takes the first of these forms that gives its very bytes again: ``json`` (a structure), ``sse`` (a list of
events), ``ndjson`` (a list of values), ``aws`` (a list of messages), ``body`` (text), ``base64``.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from langchain_autotrace.testing import event_stream

STYLES: Final[dict[str, dict[str, Any]]] = {
    "compact": {"separators": (",", ":"), "ensure_ascii": False},  # httpx and openai
    "spaced": {"ensure_ascii": False},
    "compact-ascii": {"separators": (",", ":")},
    "spaced-ascii": {},  # json.dumps
    "indented": {"indent": 2, "ensure_ascii": False},
    "indented-ascii": {"indent": 2},
}
"""Ways to write JSON, by the name that a file has for them."""
_NEWLINE: Final = "+newline"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SSE_FIELDS: Final = frozenset({"data", "event", "id", "retry"})
_FEWEST_LINES: Final = 2

Fields = dict[str, Any]


class OneLine(dict[str, Any]):
    """A value that a file has on one line: an event of a stream."""


def fields_of(body: Any) -> Fields:  # noqa: ANN401 - as HTTP clients give it
    """Return a body (bytes, text, JSON data or None) as fields of a file."""
    if body is None or body in ("", b""):
        return {} if body is None else {"body": ""}
    if isinstance(body, bytes | bytearray):
        raw = bytes(body)
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            return _aws_fields(raw) or _base64_fields(raw)
    if not isinstance(body, str):  # vcrpy keeps aiohttp's `json=` as data
        return {"data": body}
    if "\x00" in body:  # the bytes of an event stream may be valid UTF-8
        return _aws_fields(body.encode("utf-8", "surrogatepass")) or {"body": body}
    return _json_fields(body) or _sse_fields(body) or _ndjson_fields(body) or {"body": body}


def body_of(fields: Fields) -> Any:  # noqa: ANN401 - as fields_of takes it
    """Return the body that :func:`fields_of` was given; text may come back for bytes, and data for data."""
    if "json" in fields:
        return json_text(fields["json"], fields.get("json_style", "compact"))
    if "sse" in fields:
        return _sse_text(fields)
    if "ndjson" in fields:
        return "".join(json_text(value, fields["json_style"]) + "\n" for value in fields["ndjson"])
    if "aws" in fields:
        return _aws_bytes(fields)
    if "base64" in fields:
        return base64.b64decode(fields["base64"])
    return fields["data"] if "data" in fields else fields.get("body")


def json_text(value: object, style: str = "compact") -> str:
    """Return a value as JSON, in one of the :data:`STYLES`, with ``+newline`` after its name for one at the end."""
    name, _, newline = style.partition("+")
    return json.dumps(value, **STYLES[name]) + ("\n" if newline else "")


def parsed_json(text: str) -> tuple[Any, str] | None:
    """Return value and style of a JSON object or array; None for other texts, and for one that no style writes so."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    end = _NEWLINE if text.endswith("\n") else ""
    try:
        value = json.loads(text)
        if _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
            return None
        found = next((style + end for style in STYLES if json_text(value, style + end) == text), None)
    except (ValueError, RecursionError):
        return None
    return None if found is None else (value, found)


def _json_fields(text: str) -> Fields | None:
    found = parsed_json(text)
    if found is None:
        return None
    value, style = found
    return {"json": value} if style == "compact" else {"json_style": style, "json": value}


def _sse_fields(text: str) -> Fields | None:
    if not re.match(r"(data|event|id|retry)?:", text):
        return None
    line_end = "\r\n" if "\r\n" in text else "\n"
    blocks = text.split(line_end * 2)
    if blocks.pop():
        return None
    lines = [line.partition(": ") for line in text.split(line_end) if line.startswith("data: ")]
    styles = {found[1] for _, _, value in lines if (found := parsed_json(value))}
    style = next(iter(styles)) if len(styles) == 1 else "compact"
    events = [_event(block.split(line_end), style) for block in blocks]
    if None in events:
        return None
    fields: Fields = {"json_style": style} if style != "compact" and styles else {}
    fields |= {"newline": "crlf"} if line_end != "\n" else {}
    fields["sse"] = events
    return fields if _sse_text(fields) == text else None


def _event(lines: list[str], style: str) -> Any:  # noqa: ANN401 - an event in short, or whole
    event: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name in event or not name:
            return None
        found = parsed_json(value) if name == "data" else None
        event[name] = found[0] if found and found[1] == style else value
    return _one_line(event["data"] if list(event) == ["data"] else event)


def _one_line(value: Any) -> Any:  # noqa: ANN401 - JSON data
    return OneLine(value) if isinstance(value, dict) else value


def _sse_text(fields: Fields) -> str:
    line_end = "\r\n" if fields.get("newline") else "\n"
    style = fields.get("json_style", "compact")
    parts: list[str] = []
    for event in fields["sse"]:
        is_whole = isinstance(event, dict) and "data" in event and event.keys() <= _SSE_FIELDS
        for name, value in event.items() if is_whole else (("data", event),):
            parts.append(f"{name}: {value if isinstance(value, str) else json_text(value, style)}{line_end}")
        parts.append(line_end)
    return "".join(parts)


def _ndjson_fields(text: str) -> Fields | None:
    lines = text.split("\n")
    if len(lines) <= _FEWEST_LINES or lines.pop():
        return None
    found = [one for line in lines if (one := parsed_json(line))]
    if len(found) != len(lines) or len({style for _, style in found}) != 1:
        return None
    return {"json_style": found[0][1], "ndjson": [_one_line(value) for value, _ in found]}


def _aws_fields(raw: bytes) -> Fields | None:
    messages = event_stream.decoded(raw)
    if messages is None:
        return None
    found = [parsed_json(message["payload"]) for message in messages]
    styles = {one[1] for one in found if one is not None}
    style = next(iter(styles)) if len(styles) == 1 else "compact"
    shown = [
        OneLine({**message, "payload": one[0] if one is not None and one[1] == style else message["payload"]})
        for message, one in zip(messages, found, strict=True)
    ]
    return {"json_style": style, "aws": shown}


def _aws_bytes(fields: Fields) -> bytes:
    style = fields["json_style"]
    return event_stream.encoded(
        [
            {**one, "payload": one["payload"] if isinstance(one["payload"], str) else json_text(one["payload"], style)}
            for one in fields["aws"]
        ]
    )


def _base64_fields(raw: bytes) -> Fields:
    return {"base64": base64.encodebytes(raw).decode()}
