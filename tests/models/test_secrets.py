"""Secrets are values: names and placeholders are kept, and of a text with a secret the path is said."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate, FewShotPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnablePick, RunnableSequence
from langchain_openai import ChatOpenAI

from langchain_autotrace.capture.careful import CarefulWriter
from langchain_autotrace.models.encode import content_of
from langchain_autotrace.placeholders import clean_text, secret_lines
from langchain_autotrace.records import ModelForm, ModelSeen
from langchain_autotrace.settings import Settings
from tests.models.test_faults import seen
from tests.models.trees import KEY

PASSWORD = "hunter2-Tr0ub4dor-9f8e7d"
SHAPED = "sk-proj-abcdefghijklmnopqrstuvwx0123456789"


@pytest.mark.parametrize(
    "text",
    [
        'Answer as {{"password": "string", "user": "string"}}',
        '{"api_key": "<your key>", "token": "..."}',
        "Connect to postgres://user:pass@host/db",
        "Connect to postgresql+psycopg2://{user}:{password}@{host}/db",
        "api_key='your-api-key'",
        '{"password": "the user\'s password"}',
        '{"secret": "string (at least 8 characters)"}'.replace("8", "eight"),
        "OPENAI_API_KEY=sk-your-openai-api-key-here",
        "What is the password of {user}?",
        "https://user@host/path",
    ],
)
def test_placeholders(text: str) -> None:
    """A text that shows where a secret stands, and what it is called, is kept as it is."""
    assert clean_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f'Answer as {{{{"password": "{PASSWORD}", "user": "string"}}}}',
        '{"password": "a correct horse battery"}',
        '{"password": "swordfish"}',
        f"Connect to postgres://user:{PASSWORD}@host/db",
        "redis://:swordfish@host/0",
        f"password: string, and the key is {SHAPED}",
        f'{{"password": "string", "token": "{PASSWORD}"}}',
        f"postgres://user:pass@host and postgres://user:{PASSWORD}@host",
        f"https://{PASSWORD}@host/path",
    ],
)
def test_secrets(text: str) -> None:
    """A secret beside a placeholder, or in a place where one would be, is removed."""
    clean = clean_text(text)
    assert clean != text
    assert [word in clean for word in ("Tr0ub4dor", "abcdefghijklmnop", "swordfish", "correct horse")] == [False] * 4


def test_secret_lines() -> None:
    """The lines of a program with secrets are named; reading one from the environment is none."""
    text = f'import os\nkey = os.environ["API_KEY"]\napi_key = "{SHAPED}"\npassword = get(password)\n'
    assert list(secret_lines(text)) == [3]
    assert list(secret_lines("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n")) == [1]


def form_of(chain: Any, **settings: Any) -> ModelForm:
    """What the journal holds of a chain."""
    content = content_of(chain)
    form: Any = seen().form | {"chain": content.tree, "problems": [list(one) for one in content.problems]}
    return CarefulWriter(Settings(tracking_uri="sqlite://", **settings)).model(ModelSeen("0", "1", form)).form


NAMES: dict[str, Any] = {
    "variables": lambda: PromptTemplate.from_template("{password} {user}"),
    "variables of messages": lambda: ChatPromptTemplate.from_messages([("human", "{api_key} {service}")]),
    "one variable": lambda: PromptTemplate.from_template("{token}"),
    "keys": lambda: RunnablePick(["token", "value"]),
    "parameters of a tool": lambda: ChatOpenAI(model="m").bind(
        tools=[{"type": "object", "properties": {"password": {"type": "string"}}, "required": ["password", "user"]}]
    ),
    "examples with placeholders": lambda: FewShotPromptTemplate(
        examples=[{"q": "sign in", "password": "<password>"}],
        example_prompt=PromptTemplate.from_template("{q} {password}"),
        suffix="{x}",
        input_variables=["x"],
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of which only names are those of secrets is written whole."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    content = content_of(NAMES[name]())
    form = form_of(NAMES[name]())
    assert (form["chain"], form["problems"], content.left_out) == (content.tree, [], [])


def test_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name and value of a header as a pair are a secret, whose place is said."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    form = form_of(ChatOpenAI(model="m", extra_body={"headers": [["X-Api-Key", PASSWORD], ("cookie", PASSWORD)]}))
    assert "Tr0ub4dor" not in str(form)
    assert [path for path, *_ in form["problems"]] == [".extra_body.headers[0][1]", ".extra_body.headers[1][1]"]


def test_examples() -> None:
    """A secret among a prompt's examples is a problem: the prompt needs all their values."""
    form = form_of(
        FewShotPromptTemplate(
            examples=[{"q": "a", "password": PASSWORD}],
            example_prompt=PromptTemplate.from_template("{q} {password}"),
            suffix="{x}",
            input_variables=["x"],
        )
    )
    assert "Tr0ub4dor" not in str(form)
    assert [path for path, *_ in form["problems"]] == [".examples[0].password"]


def test_patterns_and_hook() -> None:
    """What the user's patterns and hook change is changed in its place, whose path is said, and the rest is kept."""
    chain: Any = RunnableSequence(
        PromptTemplate.from_template("Ask Alice of {x}"), PromptTemplate.from_template("and {y}")
    )
    changed = "it looks like a secret, or was changed by redact_patterns or the redact hook"
    by_pattern = form_of(chain, redact_patterns=("Alice",))
    assert by_pattern["problems"] == [[".first.template", "str", changed]]
    assert by_pattern["chain"]["kwargs"]["first"]["kwargs"]["template"] == "Ask [REDACTED] of {x}"
    assert by_pattern["chain"]["kwargs"]["last"] == content_of(chain).tree["kwargs"]["last"]

    def hook(value: Any) -> Any:
        if isinstance(value, dict) and "kwargs" in value:
            value["kwargs"]["last"]["kwargs"]["template"] = "x"
        return value

    by_hook = form_of(chain, redact=hook)
    assert by_hook["problems"] == [[".last.template", "str", changed]]
    assert form_of(chain, redact=lambda _: "nothing")["chain"] == {
        "lc": 1,
        "type": "not_implemented",
        "id": ["[REDACTED]"],
    }
