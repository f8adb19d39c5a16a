"""Secrets are taken out of values, and ordinary words stay."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_autotrace.capture import redact

# Put together here, so that no scanner takes them for real ones.
SHAPES = [
    "sk-" + "proj-" + "aB3" * 10,
    "sk-" + "ant-api03-" + "x" * 24,
    "sk_" + "live_" + "a1B2" * 6,
    "gh" + "p_" + "A1b2" * 9,
    "github" + "_pat_" + "A1b2" * 8,
    "glp" + "at-" + "a1B2c3" * 4,
    "xox" + "b-" + "1234567890-abcdef",
    "AK" + "IA" + "ABCD1234EFGH5678",
    "AI" + "za" + "a1B2c" * 7,
    "ya" + "29." + "a1B2c3" * 5,
    "hf" + "_" + "aBcD" * 8,
    "lsv2" + "_pt_" + "a1b2" * 8,
    "gs" + "k_" + "a1B2" * 8,
    "pp" + "lx-" + "a1B2" * 8,
    "np" + "m_" + "a1B2" * 9,
    "da" + "pi" + "0123456789abcdef" * 2,
    "ey" + "JhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "abc123",
    "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
]

UTF8 = st.characters(codec="utf-8")


def scrubbed(value: Any) -> Any:
    """The value as it would be written."""
    return orjson.loads(redact.scrub(orjson.dumps(value)))


@pytest.mark.parametrize("secret", SHAPES, ids=lambda secret: secret[:6])
def test_shapes(secret: str) -> None:
    """A secret is known by its shape wherever it stands."""
    for value in (secret, f"use {secret} please", {"text": [f"({secret})"]}, {secret: 1}, ["é", secret, "ü"]):
        assert secret not in orjson.dumps(scrubbed(value)).decode()
        assert "[REDACTED]" in orjson.dumps(scrubbed(value)).decode()


NAMES = (
    "api_key",
    "apikey",
    "api-key",
    "apiKey",
    "API_KEY",
    "openai_api_key",
    "OPENAI_API_KEY",
    "x-api-key",
    "X-Api-Key",
    "Authorization",
    "authorization",
    "password",
    "userPassword",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "client_secret",
    "clientSecret",
    "token",
    "access_token",
    "accessToken",
    "refresh_token",
    "hf_token",
    "private_key",
    "privateKey",
    "cookie",
    "Set-Cookie",
    "cookies",
    "credentials",
    "connection_string",
    "aws_secret_access_key",
    "AWS_ACCESS_KEY_ID",
    "azure_subscription_key",
    "account_key",
    "session_token",
)


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """A secret is known by the name of its key: in dicts, pairs, JSON in a text, a dict's repr, a query, a header."""
    assert scrubbed({name: "hunter2!x"}) == {name: "[REDACTED]"}
    assert scrubbed({"a": [{name: {"deep": "hunter2!x"}}]}) == {"a": [{name: "[REDACTED]"}]}
    assert scrubbed([[name, "hunter2!x"]]) == [[name, "[REDACTED]"]]
    for text in (
        orjson.dumps({name: "hunter2!x"}).decode(),
        repr({name: "hunter2!x"}),
        f"https://host/path?{name}=hunter2!x&page=2",
        f"{name}: hunter2!x",
    ):
        assert "hunter2" not in scrubbed(text)
        assert "hunter2" not in scrubbed({"nested": [text]})["nested"][0]


def test_other_places() -> None:
    """Bearer tokens, basic credentials and passwords of URLs are taken out of texts."""
    assert scrubbed("Authorization: Bearer abc123def456") == "Authorization: Bearer [REDACTED]"
    assert scrubbed("basic dXNlcjpwYXNzd29yZA==") == "basic [REDACTED]"
    assert scrubbed("postgresql://ada:hunter2@db:5432/x") == "postgresql://ada:[REDACTED]@db:5432/x"


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 100, "token_usage": {"prompt_tokens": 3}, "total_tokens": 5, "tokenizer": "bpe"},
        {"eos_token": "</s>", "next_token": "abc", "max_token": 7, "token": 12},
        {"keyboard": "qwerty", "monkey": "ape", "secretary": "Bob", "authorized": True, "passenger": "Ada"},
        {"password": None, "api_key": "", "secret": False},
        "The basic idea of a token is a word or a part of one, says the secretary of the cookie company.",
        "Set OPENAI_API_KEY in the environment and keep it.",
        "Bearer of good news; asia, risk-averse and task-oriented.",
        "https://example.com/a/b?page=2#top",
    ],
)
def test_ordinary_words(value: Any) -> None:
    """Words and counts that merely look like names of secrets stay as they are."""
    assert scrubbed(value) == value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(before=st.text(UTF8, max_size=30), after=st.text(UTF8, max_size=30), which=st.sampled_from(SHAPES))
def test_anything_around(before: str, after: str, which: str) -> None:
    """The sieve lets nothing pass that the scrubber would clean."""
    text = (
        orjson.dumps({"text": f"{before} {which} {after}"}, option=orjson.OPT_NON_STR_KEYS)
        if _valid(before + after)
        else b""
    )
    if text:
        assert redact.holds_secret(text.lower().decode())
        assert which not in orjson.loads(redact.scrub(text))["text"]


def _valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@settings(max_examples=200, deadline=None, derandomize=True)
@given(name=st.sampled_from(NAMES), secret=st.text(st.characters(categories=["L", "N"]), min_size=4, max_size=20))
def test_any_value_of_a_secret_key(name: str, secret: str) -> None:
    """What stands under a secret key is taken out, whatever it is."""
    assert scrubbed({name: secret}) == {name: "[REDACTED]"}


def test_the_hook() -> None:
    """The hook's result is kept; an exception or a result that is no JSON keeps nothing of the value."""
    assert redact.apply(lambda value: {"kept": value["a"]}, b'{"a":1,"b":2}') == (b'{"kept":1}', None)
    for hook in (lambda _: 1 / 0, lambda _: object()):
        text, error = redact.apply(hook, b'{"a":"SPOKEN"}')
        assert error is not None
        assert orjson.loads(text) == f"[REDACTED]: the redact hook raised {type(error).__name__}"
