"""Messages of AWS's event streams as JSON, and back to the byte."""

from __future__ import annotations

import binascii
import json
import struct
from typing import Any, Final

_PRELUDE: Final = struct.Struct(">II")
_CHECKSUM: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_TEXT: Final = 7
"""Type of a header whose value is a text, the only one that model APIs send."""
_LEAST: Final = _PRELUDE.size + 2 * _CHECKSUM.size

Message = dict[str, Any]
"""``headers`` (dict of texts) and ``payload`` (JSON text) of one message."""


def decoded(raw: bytes) -> list[Message] | None:
    """Return the messages of an event stream; None for bytes that are none, or not written as :func:`encoded` does."""
    messages: list[Message] = []
    at = 0
    try:
        while at < len(raw):
            total, headers = _PRELUDE.unpack_from(raw, at)
            if total < _LEAST + headers or at + total > len(raw):
                return None
            start = at + _PRELUDE.size + _CHECKSUM.size
            payload = raw[start + headers : at + total - _CHECKSUM.size].decode()
            messages.append({"headers": _headers(raw[start : start + headers]), "payload": payload})
            at += total
        return messages if messages and encoded(messages) == raw else None
    except (ValueError, IndexError, struct.error):
        return None


def _headers(raw: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(raw):
        name_end = at + 1 + raw[at]
        if raw[name_end] != _TEXT:
            raise ValueError
        (length,) = _LENGTH.unpack_from(raw, name_end + 1)
        value_at = name_end + 1 + _LENGTH.size
        found[raw[at + 1 : name_end].decode()] = raw[value_at : value_at + length].decode()
        at = value_at + length
    return found


def encoded(messages: list[Message]) -> bytes:
    """Return the bytes of messages."""
    return b"".join(map(_frame, messages))


def _frame(message: Message) -> bytes:
    headers = b"".join(_header(name, value) for name, value in message["headers"].items())
    payload = message["payload"].encode()
    prelude = _PRELUDE.pack(_LEAST + len(headers) + len(payload), len(headers))
    made = prelude + _CHECKSUM.pack(binascii.crc32(prelude)) + headers + payload
    return bytes(made + _CHECKSUM.pack(binascii.crc32(made)))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes([len(key)]) + key + bytes([_TEXT]) + _LENGTH.pack(len(text)) + text


def frame(kind: str, payload: object) -> bytes:
    """Return one message as Bedrock sends it: an event with a JSON payload."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encoded([{"headers": headers, "payload": json.dumps(payload)}])
