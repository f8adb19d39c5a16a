"""Chains as people write them: how many come back from what the journal holds of them, with the same answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from langchain_autotrace.capture.careful import CarefulWriter
from langchain_autotrace.models import rebuild
from langchain_autotrace.models.encode import Content, content_of
from langchain_autotrace.models.revive import revive
from langchain_autotrace.records import ModelSeen
from langchain_autotrace.settings import Settings
from tests.local_http import QuietHandler, serving
from tests.models.corpus import CASES
from tests.models.test_faults import seen
from tests.models.trees import KEY

DESCRIBED: Final = {
    "partial lambda": "first.partial_variables.a",
    "branch with lambdas": "branches[0][0].func",
    "bound method": "last.func",
    "lambda": "first.func",
    "lambda in a dict": "first.steps__.topic.func",
    "assigned lambda": "mapper.steps__.n.func",
    "function of the program": "first.func",
    "class of the program": "first.kwargs.response_format",
    "address in a prompt with its password": "first.messages[0].prompt.template",
    "vector store": "first.steps__.context.vectorstore",
    "graph": "the chain itself",
    "agent": "the chain itself",
}
"""Chains that only code can build -> the part that stands in the way."""
ANSWER: Final = {
    "setup": "why",
    "punchline": "because",
    "name": "Ann",
    "age": 3,
    "city": "Rome",
    "user": "a",
    "password": "b",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a model that answers as it is asked to: with a call of the first tool, JSON, or a text."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.0"

        def do_POST(self) -> None:  # noqa: N802 - the base class's name
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(answered(request)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as address:
        yield f"{address}/v1"


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """What OpenAI would answer."""
    message: dict[str, Any] = {"role": "assistant", "content": str(request["messages"])}
    if "tools" in request:
        function = request["tools"][0]["function"]
        arguments = {key: ANSWER[key] for key in function["parameters"]["properties"]}
        call = {"name": function["name"], "arguments": json.dumps(arguments)}
        message = {**message, "content": "", "tool_calls": [{"id": "call", "type": "function", "function": call}]}
    elif "response_format" in request:
        message["content"] = json.dumps({key: ANSWER[key] for key in ("setup", "punchline", "name", "age")})
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": request["model"]}
    return {**whole, "choices": [choice], "usage": usage}


def journaled(content: Content) -> Any:
    """What the journal holds of a chain."""
    form = {
        "chain": content.tree,
        "problems": [list(problem) for problem in content.problems],
        "packages": content.packages,
        "secrets": content.secrets,
    }
    record = ModelSeen("0" * 32, content.hash, seen().form | form)  # type: ignore[arg-type]
    return CarefulWriter(Settings(tracking_uri="sqlite://")).model(record).form


def plain(value: Any) -> Any:
    """A value without what differs from call to call."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    shown = value.model_dump(exclude={"id"}) if hasattr(value, "model_dump") else value
    return [type(value).__name__, json.loads(json.dumps(shown, default=str))]


@pytest.mark.parametrize("name", CASES)
def test_comes_back(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain comes back with the same answer, from what the journal holds, or says which part stands in the way."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    chain = CASES[name].build(url)
    form = journaled(content := content_of(chain))
    reason, _ = rebuild._checked({**form, "hash": content.hash})
    if name in DESCRIBED:
        assert str(reason).partition(" (")[0] == DESCRIBED[name]
        return
    assert reason is None
    given = CASES[name].given
    again = revive(form["chain"], allow=content.packages, secrets={"OPENAI_API_KEY": KEY})
    assert plain(again.invoke(given)) == plain(chain.invoke(given))


def test_how_many() -> None:
    """Of the chains that people write, those that only code can build are few."""
    assert (len(CASES), len(CASES) - len(DESCRIBED)) == (87, 75)
