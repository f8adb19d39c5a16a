"""The recorded programs replay without a network, match the body, and hold neither secrets nor binary bodies."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import pytest_socket
from click.testing import CliRunner
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from langchain_autotrace.demo import DemoNotInstalled, demo_extra
from langchain_autotrace.demo import programs as demo
from langchain_autotrace.demo.asked import asked
from langchain_autotrace.demo.run import CASSETTES as DEMO_CASSETTES
from langchain_autotrace.demo.run import PLACEHOLDER_KEY, replayed
from langchain_autotrace.errors import NoRecording
from langchain_autotrace.testing.cassette_commands import cassette
from langchain_autotrace.testing.cassette_files import read
from tests.cassettes_support import CASSETTES, replay
from tests.patience import PATIENCE
from tests.programs import PROGRAMS, Person, outcome

ALL = sorted([*CASSETTES.glob("*.yaml"), *DEMO_CASSETTES.glob("*.yaml")])
MINI = "gpt-4o-mini-2024-07-18"
SYSTEM = "You answer in one sentence."
REASONING = "o4-mini-2025-04-16"

ANSWERS: dict[str, Any] = {
    "chat": (
        "The sky is blue because air scatters the short waves of sunlight, the blue ones, "
        "far more than the long red ones."
    ),
    "chat_stream": "A rainbow is sunlight split into its colours by drops of water that bend and reflect it.",
    "chat_astream": "Thunder is the sound of air that lightning heats so fast that it expands as a shock wave.",
    "agent": "Order A-17 was delivered. Order B-42 was lost in transit, and I refunded its 59.00 EUR.",
    "structured_json_schema": Person(name="Ada Lovelace", born=1815),
    "structured_function_calling": Person(name="Alan Turing", born=1912),
    "rag": "Lisbon lies on the Tagus and Vienna on the Danube.",
    "rate_limited": "The moon is about 384,400 kilometres away on average.",
    "unauthorized": (
        "Error code: 401 - Incorrect API key provided. You can find your API key in the settings of your account."
    ),
    "responses": "There are 10 prime numbers below 30.",
    "responses_stream": "No: 91 is 7 times 13.",
    "batch": ["The capital of Portugal is Lisbon.", "The capital of Norway is Oslo."],
}

DEMO_ANSWERS = {
    "joke_chain": (
        "Why did the span break up with its parent?\n\n"
        "It needed space, but every time it moved out, the collector brought it home."
    ),
    "rag_chain": (
        "Each span is one step of the trace, and because every span but the first names its parent, "
        "together they form a tree."
    ),
    "weather_agent": (
        "Lisbon is 15 degrees warmer than Oslo right now: "
        "24 degrees Celsius under a clear sky, against 9 degrees and light rain."
    ),
}


@pytest.fixture
def closed_network() -> Iterator[None]:
    """Refuse every socket but those of the event loop with itself."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.mark.usefixtures("closed_network")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_with_the_network_closed(name: str) -> None:
    """Every program of the tests runs to its recorded outcome without a network."""
    with replay(name):
        result = outcome(name)

    assert _gist(result) == ANSWERS[name]


@pytest.mark.usefixtures("closed_network")
@pytest.mark.parametrize(("name", "program"), demo.PROGRAMS.items())
def test_a_demo_with_the_network_closed(name: str, program: Callable[[], str]) -> None:
    """Every program of the demo runs to its recorded answer without a network."""
    with replayed(name):
        assert program() == DEMO_ANSWERS[name]


@pytest.mark.parametrize(
    ("name", "model", "tokens"),
    [
        ("chat", MINI, (24, 26, 16, 0)),
        ("chat_stream", MINI, (23, 22, 0, 0)),
        ("agent", MINI, (663, 97, 320, 0)),
        ("responses", REASONING, (15, 84, 0, 64)),
        ("responses_stream", REASONING, (13, 85, 0, 64)),
    ],
)
def test_usage_of_a_recorded_answer(name: str, model: str, tokens: tuple[int, int, int, int]) -> None:
    """LangChain reads the input, output, cached, and reasoning tokens of a recording, streamed ones too."""
    with replay(name), get_usage_metadata_callback() as callback:
        outcome(name)

    asked, answered, cached, reasoned = tokens
    assert callback.usage_metadata == {
        model: {
            "input_tokens": asked,
            "output_tokens": answered,
            "total_tokens": asked + answered,
            "input_token_details": {"cache_read": cached},
            "output_token_details": {"reasoning": reasoned},
        }
    }


def test_a_request_whose_body_changed() -> None:
    """Another question is refused with the line of the prompt that changed, rather than answered as recorded."""
    with pytest.raises(NoRecording) as refused, replay("chat"):
        ChatOpenAI(model="gpt-4o-mini", temperature=0).invoke([("system", SYSTEM), ("human", "Why is grass green?")])

    message = str(refused.value)
    assert "nearest: recording 1 of 1" in message
    assert [line.strip() for line in message.splitlines() if line.startswith(("  -  ", "  +  "))] == [
        "-  - content: Why is the sky blue?",
        "+  - content: Why is grass green?",
    ]


TURN: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Is it warm?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "weather"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "24 degrees"},
    ],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
}
FIRST = TURN | {"messages": TURN["messages"][:2]}
TEXTS = {"model": "small", "input": ["a", "b"], "encoding_format": "float"}

ALIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "more parameters": (FIRST, FIRST | {"stream": False, "temperature": 1, "store": True, "metadata": {"a": "b"}}),
    "roles of another name": (
        FIRST,
        FIRST | {"messages": [TURN["messages"][0] | {"role": "developer"}, TURN["messages"][1]]},
    ),
    "content in blocks": (
        FIRST,
        FIRST
        | {"messages": [one | {"content": [{"type": "text", "text": one["content"]}]} for one in FIRST["messages"]]},
    ),
    "earlier turns told otherwise": (
        TURN,
        TURN
        | {"messages": [*FIRST["messages"], {"role": "assistant", "content": "", "name": "m"}, TURN["messages"][3]]},
    ),
    "tools described otherwise": (
        TURN,
        TURN | {"tools": [{"type": "function", "function": {"name": "weather", "strict": True, "description": "x"}}]},
    ),
    "tools of the responses API": (TURN, TURN | {"tools": [{"type": "function", "name": "weather"}]}),
    "texts to embed": (TEXTS, TEXTS | {"encoding_format": "base64", "user": "me"}),
    "one text of the responses API": (
        {"model": "o4", "input": "hi"},
        {"model": "o4", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]},
    ),
}

UNLIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another model": (FIRST, FIRST | {"model": "gpt-4o"}),
    "another prompt": (FIRST, FIRST | {"messages": [{"role": "system", "content": "Be long."}, TURN["messages"][1]]}),
    "another role": (FIRST, FIRST | {"messages": [TURN["messages"][0], TURN["messages"][1] | {"role": "tool"}]}),
    "a later turn": (FIRST, TURN),
    "another answer of a tool": (TURN, TURN | {"messages": [*TURN["messages"][:3], {"role": "tool", "content": "9"}]}),
    "no tools": (FIRST, {name: value for name, value in FIRST.items() if name != "tools"}),
    "streamed": (FIRST, FIRST | {"stream": True}),
    "an image": (
        FIRST,
        FIRST | {"messages": [TURN["messages"][0], {"role": "user", "content": [{"type": "image_url"}]}]},
    ),
    "fewer texts": (TEXTS, TEXTS | {"input": ["a"]}),
}


@pytest.mark.parametrize("how", ALIKE)
def test_a_body_of_another_version(how: str) -> None:
    """What another version of a client adds to a request, or writes in another form, asks the same."""
    one, other = ALIKE[how]
    assert asked(json.dumps(one)) == asked(json.dumps(other).encode())


@pytest.mark.parametrize("how", UNLIKE)
def test_a_body_that_asks_something_else(how: str) -> None:
    """Another model, message, tool, or form of the answer asks something else."""
    one, other = UNLIKE[how]
    assert asked(json.dumps(one)) != asked(json.dumps(other))


def test_a_demo_of_a_newer_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo runs whatever parameters a newer langchain-openai sends with its requests."""
    parameters = ChatOpenAI._default_params
    more = property(lambda self: {**parameters.fget(self), "store": True, "service_tier": "auto"})  # type: ignore[attr-defined]
    monkeypatch.setattr(ChatOpenAI, "_default_params", more)

    for name, program in demo.PROGRAMS.items():
        with replayed(name):
            assert program() == DEMO_ANSWERS[name]


def test_a_request_repeated() -> None:
    """A recorded interaction answers once, as the server did."""
    with pytest.raises(NoRecording, match="it was recorded 1 time, and is asked for once more"), replay("chat"):
        assert [outcome("chat"), outcome("chat")]


def test_environment_of_a_replay_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay puts a placeholder for the user's key and base URL, and puts both back after an error."""
    monkeypatch.setenv("OPENAI_API_KEY", "of the user")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    before = dict(os.environ)

    def fails() -> None:
        assert os.environ["OPENAI_API_KEY"] == PLACEHOLDER_KEY
        assert "OPENAI_BASE_URL" not in os.environ
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), replay("chat"):
        fails()
    assert dict(os.environ) == before


@pytest.mark.usefixtures("socket_enabled")
def test_a_request_to_another_host() -> None:
    """A tracking server of the same process is reached for real."""
    server = HTTPServer(("127.0.0.1", 0), _Tracking)
    server.timeout = PATIENCE
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        with replay("chat"):
            connection = HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"tracked"
            connection.close()
    finally:
        thread.join()
        server.server_close()


def test_a_cassette_that_is_missing() -> None:
    """The error names the folder's cassettes."""
    with (
        pytest.raises(FileNotFoundError, match=r"no cassette 'joke' in .*: joke_chain, rag_chain, weather_agent"),
        replayed("joke"),
    ):
        pass


def test_the_extra_that_is_missing() -> None:
    """A missing package of the extra is told with the command that installs it, any other as itself."""
    with pytest.raises(DemoNotInstalled, match=re.escape("pip install 'langchain-autotrace[demo]'")), demo_extra():
        raise ModuleNotFoundError(name="langchain_openai.chat_models")
    with pytest.raises(ModuleNotFoundError), demo_extra():
        raise ModuleNotFoundError(name="of_the_user")


def test_cassettes_and_programs() -> None:
    """Every cassette has its program, and every program its cassette."""
    assert {path.stem for path in CASSETTES.glob("*.yaml")} == set(PROGRAMS)
    assert {path.stem for path in DEMO_CASSETTES.glob("*.yaml")} == set(demo.PROGRAMS)


def test_clean_cassettes() -> None:
    """Every cassette is as the kit writes it, holds no secret, and no trace of the server it was recorded from."""
    done = CliRunner().invoke(cassette, ["verify", *map(str, ALL)])

    assert (done.output, done.exit_code) == ("", 0)
    for path in ALL:
        requests, _ = read(path)
        assert requests
        assert all(request.uri.startswith("https://api.openai.com/v1/") for request in requests)
        assert re.findall(r"\bsk-|authorization|cookie|127\.0\.0\.1|localhost", path.read_text(), re.IGNORECASE) == []
        assert re.findall(r"!!|base64:|^ +body:", path.read_text(), re.MULTILINE) == []


class _Tracking(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"tracked")

    def log_message(self, *_: object) -> None:
        """Keep the test's output to the test."""


def _gist(result: Any) -> Any:
    if isinstance(result, Exception):
        return str(result)
    if isinstance(result, dict):
        return _gist(result.get("answer") or result["messages"][-1])
    return result.text if isinstance(result, AIMessage) else result
