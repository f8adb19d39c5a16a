"""An HTTP server that plays OpenAI's chat completions, and notes whose key it is asked with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WORDS = ["I ", "heard: "]
"""What every answer begins with; the last message follows."""

from tests.local_http import QuietHandler, serving


class ChatServer:
    """Answers with what the last message said."""

    def __init__(self) -> None:
        self.url = ""
        """What is to be a model's ``base_url``."""
        self.keys: list[str] = []
        """Authorization headers, in the order of the requests."""
        self.requests: list[dict[str, Any]] = []

    def words(self, request: dict[str, Any]) -> list[str]:
        """The answer in the pieces in which it is streamed."""
        return [*WORDS, str(request["messages"][-1]["content"]), f" ({len(request['messages'])})"]


@contextmanager
def chatting() -> Iterator[ChatServer]:
    """Answer requests in the block."""
    server = ChatServer()

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.0"

        def do_POST(self) -> None:  # noqa: N802 - the base class's name
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(request)
            server.keys.append(self.headers.get("Authorization", ""))
            is_stream = request.get("stream", False)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
            self.end_headers()
            if is_stream:
                for line in _events(request["model"], server.words(request)):
                    self.wfile.write(line.encode())
            else:
                self.wfile.write(json.dumps(_completion(request["model"], server.words(request))).encode())

    with serving(Handler) as address:
        server.url = f"{address}/v1"
        yield server


def _completion(model: str, words: list[str]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(words)}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 1 + len(words)},
    }


def _events(model: str, words: list[str]) -> Iterator[str]:
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in words), {}]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        yield f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"
