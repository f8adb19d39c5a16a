"""Tells secrets in the texts of a chain from placeholders, which prompts are full of.

A trace is better scrubbed once too often; a chain of which too much was removed is lost. So what stands where a secret
would stand is looked at: ``{"password": "string"}`` and ``postgres://user:pass@host`` are not secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from langchain_autotrace.redaction import REDACTED, is_secret_name, scrub_text, without_credentials

_WORDS: Final = frozenset(
    {
        *("any", "array", "bool", "boolean", "bytes", "date", "float", "int", "integer", "null", "number", "object"),
        *("str", "string", "text", "value", "pass", "user", "username", "xxx"),
    }
)
_MINE: Final = re.compile(r"(?:your|my|the|a|an|some)(?:$|[^a-z].*)", re.IGNORECASE | re.DOTALL)
_XS: Final = re.compile(r"x{3,}", re.IGNORECASE)
_LETTERS: Final = re.compile(r"[A-Za-z]+")
_MAX_PLACEHOLDER: Final = 120
_QUOTED: Final = re.compile(
    r"(?P<mark>[:=]\s*)(?P<quote>\\?[\"'])(?P<value>(?:(?!(?P=quote))[^\\\r\n]){1,120})(?P=quote)"
)
_ADDRESS: Final = re.compile(r"(?P<scheme>://)(?P<user>[^\s/:@\"']*)(?::(?P<password>[^\s/@\"']*))?@")
_KEY: Final = re.compile(r"\b(?:sk|pk|hf|ghp)[-_](?:your|my|xxx)[A-Za-z_-]*(?![A-Za-z0-9_-])", re.IGNORECASE)


def clean_text(text: str) -> str:
    """Return a text of a chain with its secrets replaced; placeholders such as ``{api_key}`` are kept."""
    masked = _KEY.sub("key", _ADDRESS.sub(_masked_address, _QUOTED.sub(_masked_value, text)))
    if scrub_text(without_credentials(masked)) == masked:
        return text
    return scrub_text(without_credentials(text))


def secret_lines(text: str) -> Iterator[int]:
    """Yield the numbers of the lines of a program that contain what looks like a secret, counted from 1."""
    lines = text.splitlines()
    found = [number for number, line in enumerate(lines, 1) if clean_text(line) != line]
    if not found and clean_text(text) != text:  # a key of many lines
        found = [next((number for number, line in enumerate(lines, 1) if "-----BEGIN" in line), 1)]
    yield from found


def is_placeholder(value: str) -> bool:
    """Return whether a text stands for a value: a type, a name, ``<key>``, "the user's password"."""
    value = value.strip()
    if not value or len(value) > _MAX_PLACEHOLDER or any(map(str.isdigit, value)):
        return False
    words = [word.lower() for word in _LETTERS.findall(value)]
    if not words:
        return not any(map(str.isalpha, value))  # dots, stars
    if value[0] in "<[{" and value[-1] in ">]}":
        return True
    if len(words) == 1 or not any(map(str.isspace, value)):
        return all(_is_word(word) for word in words) or bool(_MINE.fullmatch(value) and len(words) > 1)
    return words[0] in _WORDS or (_MINE.match(value) is not None and any(map(_is_word, words)))


def _is_word(word: str) -> bool:
    return word in _WORDS or _XS.fullmatch(word) is not None or (word in _SECRET_WORDS)


_SECRET_WORDS: Final = frozenset(
    {"api", "apikey", "access", "credential", "credentials", "db", "key", "passphrase", "passwd", "password"}
    | {"pwd", "secret", "secrets", "token", "auth", "id", "client", "openai", "database"}
)


def _masked_value(found: re.Match[str]) -> str:
    return f'{found["mark"]}""' if is_placeholder(found["value"]) else found[0]


def _masked_address(found: re.Match[str]) -> str:
    parts = found["user"], found["password"]
    # A user's name is no secret beside a password; alone it may be a token.
    checked = parts[1] if parts[1] is not None else parts[0]
    return found["scheme"] if not checked or is_placeholder(checked) else found[0]


def scrub_tree(data: Any) -> Any:  # noqa: ANN401 - JSON data
    """Return the JSON of a chain with ``[REDACTED]`` in place of secrets; its names and placeholders are kept."""
    if isinstance(data, str):
        return clean_text(data)
    if isinstance(data, list):
        return [scrub_tree(item) for item in data]
    if isinstance(data, dict):
        return {clean_text(key): REDACTED if _is_secret(key, item) else scrub_tree(item) for key, item in data.items()}
    return data


def _is_secret(key: str, item: object) -> bool:
    return isinstance(item, str) and item != "" and is_secret_name(key) and not is_placeholder(item)
