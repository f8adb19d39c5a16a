"""Bodies come back to the byte from readable files, and no secret gets into one."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vcr.request import Request
from vcr.serialize import deserialize, serialize

from langchain_autotrace.errors import SecretsFound
from langchain_autotrace.testing import wiring
from langchain_autotrace.testing.bodies import STYLES, fields_of, json_text
from langchain_autotrace.testing.cassette_files import Persister, ReadableSerializer
from langchain_autotrace.testing.event_stream import encoded, frame

EXAMPLES: Final = int(os.environ.get("AUTOTRACE_EXAMPLES", "60"))
"""Examples of each property; 10,000 after a change of how files are written or searched."""
Json = Any
LETTERS = st.characters(codec="utf-8")
TEXTS = st.text(LETTERS, max_size=8)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(LETTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
STYLE_NAMES = st.sampled_from([*STYLES, *(f"{style}+newline" for style in STYLES)])


def _sse(values: list[Json], style: str) -> str:
    return "".join(f"data: {json.dumps(value, **STYLES[style])}\n\n" for value in values) + "data: [DONE]\n\n"


def _named_sse(events: list[tuple[str, str]]) -> str:
    return "".join(f"event: {name}\r\ndata: {data}\r\n\r\n" for name, data in events)


def _messages(values: list[Json], texts: list[str]) -> bytes:
    headers = {":event-type": "chunk", ":message-type": "event"}
    return b"".join(frame("chunk", value) for value in values) + encoded(
        [{"headers": headers, "payload": text} for text in texts]
    )


BODIES = st.one_of(
    st.text(),
    st.binary(),
    st.builds(json_text, OBJECTS | st.lists(VALUES, max_size=3), STYLE_NAMES),
    st.builds(_sse, st.lists(VALUES, max_size=4), st.sampled_from(list(STYLES))),
    st.builds(_named_sse, st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=5)), max_size=4)),
    st.builds(lambda values: "".join(json.dumps(one) + "\n" for one in values), st.lists(OBJECTS, max_size=4)),
    st.builds(_messages, st.lists(VALUES, max_size=3), st.lists(TEXTS, max_size=2)),
)


def raw(body: str | bytes) -> bytes:
    """The bytes of a body."""
    return body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body


def answer(body: bytes, **headers: str) -> dict[str, Any]:
    """An answer as vcrpy records it."""
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return {"status": {"code": 200, "message": "OK"}, "headers": named, "body": {"string": body}}


@settings(max_examples=EXAMPLES, deadline=None)
@given(BODIES, BODIES)
def test_a_round_trip(asked: str | bytes, answered: str | bytes) -> None:
    """Whatever is recorded, a file gives the very bytes again."""
    request = Request("POST", "https://api.example.com/v1?x=1", raw(asked), {"content-type": "application/json"})
    text = serialize({"requests": [request], "responses": [answer(raw(answered))]}, ReadableSerializer)
    (again,), (replayed,) = deserialize(text, ReadableSerializer)

    assert replayed["body"]["string"] == raw(answered)
    assert raw(again.body or b"") == raw(asked)


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ('{"a":1}', "json"),
        ('{"a": "\\u00e9"}\n', "json"),
        ('{"a":  1}', "body"),
        ('data: {"a":1}\n\ndata: [DONE]\n\n', "sse"),
        ("event: a\r\ndata: b\r\n\r\n", "sse"),
        ('{"a": 1}\n{"a": 2}\n', "ndjson"),
        (frame("chunk", {"text": "é"}) + frame("end", {}), "aws"),
        (frame("chunk", {"text": "é"})[:-1], "base64"),
        (b"\x89PNG\xff", "base64"),
        ("", "body"),
        ("plain", "body"),
    ],
)
def test_the_form_of_a_body(body: str | bytes, form: str) -> None:
    """A body is shown as what it is: data, events, lines, messages, text, or Base64."""
    assert form in fields_of(raw(body))


SECRETS = {"shape": "sk-proj-" + "Zz9" * 12, "variable": "correct horse+battery/staple"}
PLACES: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "header": lambda s, **_: {"headers": {"X-Custom-Auth": s}},
    "cookie": lambda s, **_: {"answer_headers": {"set_cookie": s}},
    "query key": lambda s, **_: {"uri": f"https://h/p?key={quote(s)}&q=1"},
    "query": lambda s, **_: {"uri": f"https://h/p?q={quote(s)}"},
    "path": lambda s, **_: {"uri": f"https://h/p/{quote(s)}/x"},
    "user": lambda s, **_: {"uri": f"https://me:{quote(s)}@h/p"},
    "fragment": lambda s, **_: {"uri": f"https://h/p#{quote(s)}"},
    "named field": lambda s, around, **_: {"body": json.dumps(around({"client_secret": s}))},
    "field": lambda s, around, **_: {"body": json.dumps(around({"text": f"look {s}!"}))},
    "name": lambda s, around, **_: {"body": json.dumps(around({s: 1}))},
    "json in json": lambda s, around, **_: {"answer": json.dumps({"arguments": json.dumps(around({"q": s}))})},
    "text": lambda s, **_: {"answer": f"it is {s}."},
    "odd json": lambda s, **_: {"answer": '{"a":  "' + s + '"}'},
    "form": lambda s, **_: {"body": f"a=b&c={quote(s)}"},
    "secret of a form": lambda s, **_: {"body": f"a=b&client_secret={quote(s)}"},
    "multipart": lambda s, **_: {"body": f'--B\r\ncontent-disposition: form-data; name="f"\r\n\r\n{s}\r\n--B--'},
    "event": lambda s, around, **_: {"answer": _sse([around({"delta": s})], "compact")},
    "pieces of events": lambda s, cut, **_: {"answer": _sse([{"delta": s[:cut]}, {"delta": s[cut:]}], "compact")},
    "pieces of lines": lambda s, cut, **_: {"answer": f"{json.dumps({'t': s[:cut]})}\n{json.dumps({'t': s[cut:]})}\n"},
    "message": lambda s, cut, **_: {"answer": frame("c", {"t": f"é{s[:cut]}"}) + frame("c", {"t": s[cut:]})},
    "base64": lambda s, **_: {"answer": json.dumps({"b64_json": base64.b64encode(f"..{s}..".encode()).decode()})},
    "binary": lambda s, **_: {"answer": b"\xff\xfe" + s.encode()},
    "kept header": lambda s, **_: {"answer_headers": {"retry_after": s}},
    "location": lambda s, **_: {"answer_headers": {"location": f"https://h/p?token={quote(s)}"}},
}


def _written(folder: Path, **made: Any) -> tuple[str, str | None]:
    """The message with which a cassette was refused, and its text; None if it was refused."""
    parts = wiring.kit()
    request = Request("POST", made.get("uri", "https://h/p"), raw(made.get("body", "{}")), made.get("headers", {}))
    response = answer(raw(made.get("answer", "ok")), **made.get("answer_headers", {}))
    pairs = [parts.scrubber.scrubbed(request, response)]
    try:
        parts.scan.refuse(pairs)
    except SecretsFound as refused:
        return str(refused), None
    path = folder / f"{random.getrandbits(40)}.yaml"
    content = {"requests": [pairs[0][0]], "responses": [pairs[0][1]]}
    Persister().save_cassette(path, content, ReadableSerializer)
    return "", path.read_text()


@settings(max_examples=EXAMPLES * 3, deadline=None)
@given(st.sampled_from(sorted(PLACES)), st.sampled_from(sorted(SECRETS)), VALUES, st.integers(0, 3), st.integers(4, 12))
def test_a_planted_secret(
    tmp_path_factory: pytest.TempPathFactory, place: str, kind: str, other: Json, depth: int, cut: int
) -> None:
    """A secret does not survive wherever it is, or the cassette is refused, with a message that does not have it."""

    def around(value: Json) -> Json:
        for _ in range(depth):
            value = {"a": [other, value]}
        return value

    secret = SECRETS[kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_TOKEN", SECRETS["variable"])
        message, text = _written(tmp_path_factory.getbasetemp(), **PLACES[place](secret, around=around, cut=cut))

    forms = (secret, quote(secret), base64.b64encode(f"..{secret}..".encode()).decode())
    assert not any(one in (text or "") for one in forms)
    assert not any(one in message for one in forms)


@pytest.mark.parametrize(
    "place", ["header", "cookie", "query key", "user", "named field", "secret of a form", "location"]
)
def test_a_known_place(tmp_path: Path, place: str) -> None:
    """A secret in a place where secrets are is removed, and the cassette is written."""
    made = PLACES[place](SECRETS["shape"], around=lambda value: [value])

    message, text = _written(tmp_path, **made)

    assert message == ""
    assert text is not None


def test_ids_of_accounts(tmp_path: Path) -> None:
    """Ids of organizations, accounts and projects are replaced, in addresses and in what an error says."""
    uri = "https://h/v1/projects/my-shop-1/x/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aprofile/y"
    error = '{"error": {"message": "Rate limit reached in organization org-Abcdefgh12345678Xyz"}}'
    _, text = _written(tmp_path, uri=uri, answer=error)

    assert text is not None
    assert [one for one in ("my-shop", "123456789012", "Abcdefgh") if one in text] == []


def test_a_harmless_cassette(tmp_path: Path) -> None:
    """Counts of tokens, log probabilities, schemas of tools and prose about passwords are written as they are."""
    tool = {
        "name": "login",
        "parameters": {"properties": {"password": {"type": "string"}, "api_key": {"type": "string"}}},
    }
    body = {"max_tokens": 5, "tools": [tool], "prompt": "How do I keep a password or an API key secret?"}
    reply = {"usage": {"total_tokens": 9}, "logprobs": [{"token": "Hello1234", "logprob": -0.1}]}
    _, text = _written(tmp_path, body=json.dumps(body), answer=json.dumps(reply))

    assert text is not None
    assert "REDACTED" not in text
