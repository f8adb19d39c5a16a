"""Searches what is about to be written for secrets; says where they are, never what they are."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_plus

from vcr.request import Request
from vcr.util import read_body

from langchain_autotrace.errors import SecretsFound
from langchain_autotrace.redaction import REDACTED, secret_kinds, shapes_of
from langchain_autotrace.testing.bodies import fields_of
from langchain_autotrace.testing.scrubbing import REDACTED as IN_URI

_VARIABLE: Final = re.compile(r"(?:.*_)?(?:API_?KEY|TOKEN|SECRET|(?:SECRET_)?ACCESS_KEY|PASSWORD)", re.IGNORECASE)
_SHORTEST: Final = 8
"""Length of a variable's value from which on it is taken for a secret."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_ORGANIZATION: Final = re.compile(r"(?<![\w-])(?:org|proj)[-_][A-Za-z0-9]{16,}")
_STREAMS: Final = ("sse", "ndjson", "aws")
_SHOWN: Final = 20
_ADVICE: Final = (
    "Keep them out of what is sent, or remove them with vcr_config's before_record_request and before_record_response. "
    "What is no secret can be allowed by cassette_allow in pytest's ini file."
)

Pairs = Iterable[tuple[Request, dict[str, Any]]]


class SecretScan:
    """Knows the secrets of the environment as it was during a test, and finds them and others.

    Attributes:
        allowed: regular expressions of texts that look like secrets and are none.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self.allowed = [re.compile(one) for one in allowed]
        self._known: dict[str, str] = {}

    def note_environment(self) -> None:
        """Remember the environment's secrets: when a cassette is written, a fixture may have taken them back."""
        for name, value in os.environ.items():
            if len(value) >= _SHORTEST and _VARIABLE.fullmatch(name) and value not in self._known:
                self._known |= dict.fromkeys((value, quote(value, safe=""), json.dumps(value)[1:-1]), name)

    def refuse(self, pairs: Pairs) -> None:
        """Raise if requests or answers hold a secret.

        Raises:
            SecretsFound: the message names each place.
        """
        self.note_environment()
        found = self.places(pairs)
        if found:
            shown = [f"  {one}" for one in found[:_SHOWN]]
            more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
            msg = "\n".join(
                [
                    "The cassette was not written, since it would hold secrets:",
                    *shown,
                    *more,
                    _ADVICE,
                ]
            )
            raise SecretsFound(msg)

    def places(self, pairs: Pairs) -> list[str]:
        """Return place and kind of each secret: ``recording 1, request.json.messages[0].content: Google key``."""
        found: dict[str, None] = {}
        for number, (request, response) in enumerate(pairs, 1):
            for place, value in _parts(request, response):
                for path, text in _texts(value, place):
                    found |= {f"recording {number}, {path}: {kind}": None for kind in self.kinds(text)}
        return list(found)

    def refuse_text(self, name: str, text: str) -> None:
        """Raise if the text of a file holds a secret, by its shape or as the value of a variable.

        Raises:
            SecretsFound: the message names each line.
        """
        lines = enumerate(text.splitlines(), 1)
        found = [f"{name}, line {number}: {kind}" for number, line in lines for kind in self.kinds(line, shapes_of)]
        if found:
            msg = "The cassette was not written, since it would hold secrets:\n  " + "\n  ".join(found[:_SHOWN])
            raise SecretsFound(msg)

    def kinds(self, text: str, kinds_of: Callable[[str], list[str]] = secret_kinds) -> list[str]:
        """Return the kinds of secrets in a text: those that ``kinds_of`` finds, and values of variables."""
        for pattern in self.allowed:
            text = pattern.sub("", text)
        text = text.replace(REDACTED, "***").replace(IN_URI, "***")
        found: list[str] = []
        for form in _forms(text):
            found += [f"the value of ${name}" for secret, name in self._known.items() if secret in form]
            found += kinds_of(form)
            found += ["organization or project id"] if _ORGANIZATION.search(form) else []
        return list(dict.fromkeys(found))


def _forms(text: str) -> Iterator[str]:
    """Yield a text, and what it says when it is decoded."""
    yield text
    if "%" in text:
        yield unquote(text)
    if "=" in text and ("+" in text or "%" in text):
        yield unquote_plus(text)
    for found in _BASE64.findall(text):
        try:
            yield base64.b64decode(
                found + "=" * (-len(found) % 4), altchars=b"-_" if re.search("[-_]", found) else None
            ).decode()
        except ValueError:
            continue


def _parts(request: Request, response: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "request.uri", request.uri
    yield "request.headers", dict(request.headers)
    yield "request", fields_of(read_body(request))
    yield "response.status", response["status"]
    yield "response.headers", response["headers"]
    yield "response", fields_of(response.get("body", {}).get("string"))


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON data, and bytes
    """Yield each text of a value with its path; of a stream also what its events say together."""
    if isinstance(value, bytes):
        yield path, value.decode("latin-1")
    elif isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, str(key)
            yield from _texts(item, f"{path}.{key}")
            if key == "base64" and isinstance(item, str):
                yield path, base64.b64decode(item).decode("latin-1")
            if key in _STREAMS and isinstance(item, list):
                yield from _joined(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _texts(item, f"{path}[{at}]")
    elif value is not None:
        yield path, json.dumps(value)


def _joined(events: list[Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield what the events of a stream say in one field, one after another: a secret may be cut in pieces."""
    pieces: dict[str, list[str]] = {}
    for event in events:
        for place, text in _texts(event, ""):
            pieces.setdefault(place, []).append(text)
    yield from ((f"{path}[*]{place}", "".join(texts)) for place, texts in pieces.items() if len(texts) > 1)
