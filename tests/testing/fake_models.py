"""A server that speaks enough of six model APIs to record from.

Every answer names the prompt and a number that grows with each request, so that a replayed answer is told from a new
one. Its headers hold what must not get into a cassette.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from langchain_autotrace.testing.event_stream import frame

SECRET_HEADERS: Final = {
    "set-cookie": "__cf_bm=COOKIE-SECRET-1; path=/; HttpOnly",
    "openai-organization": "org-SECRETORG123",
    "openai-project": "proj_SECRETPROJ123",
    "x-request-id": "req_0123456789",
    "cf-ray": "8aabbccdd-FRA",
}
Json = dict[str, Any]
Answer = Callable[[Request, Json, str], Response]

_counts: Final = itertools.count(1)
_asked: Final[Counter[str]] = Counter()


def seen() -> int:
    """Requests that the server has answered; asking counts as one."""
    return next(_counts)


def _prompt(data: Json) -> str:
    last = (data.get("messages") or data["contents"])[-1]
    content = last.get("content", last.get("parts", ""))
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _endpoint(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        data = await request.json()
        prompt = _prompt(data)
        _asked[prompt] += 1
        if "retry" in prompt and _asked[prompt] == 1:
            error = {"message": "slow down", "type": "rate_limit_error"}
            headers = {"retry-after": "0", "retry-after-ms": "10"}
            return JSONResponse({"type": "error", "error": error}, 429, headers=headers)
        if "jitter" in prompt:  # answers out of order
            await asyncio.sleep(0.01 * (5 - int(prompt[-1])))
        return answer(request, data, f"answer to {prompt} #{next(_counts)}")

    return endpoint


def _stream(chunks: Iterable[bytes], kind: str) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(0)

    return StreamingResponse(body(), media_type=kind, headers=SECRET_HEADERS)


def _events(events: Iterable[Json | str], *, named: bool = False) -> Response:
    def text(event: Json | str) -> str:
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        return f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n"

    return _stream((text(event).encode() for event in events), "text/event-stream")


def _json(request: Request, value: Json) -> Response:
    raw, headers = json.dumps(value).encode(), dict(SECRET_HEADERS)
    if "gzip" in request.headers.get("accept-encoding", ""):
        raw, headers["content-encoding"] = gzip.compress(raw), "gzip"
    return Response(raw, media_type="application/json", headers=headers)


def _words(text: str) -> list[str]:
    return [f"{word} " for word in text.split(" ")]


def openai(request: Request, data: Json, text: str) -> Response:
    """Chat completions; a call of the first tool, if there is one and the user spoke last."""
    base = {"id": f"chatcmpl-{next(_counts)}", "created": 1760000000, "model": data["model"]}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    if data.get("tools") and data["messages"][-1]["role"] == "user":
        function = {"name": data["tools"][0]["function"]["name"], "arguments": json.dumps({"city": "Oslo"})}
        call = {"id": f"call_{next(_counts)}", "type": "function", "index": 0, "function": function}
        message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    else:
        message, reason = {"role": "assistant", "content": text}, "stop"
    if not data.get("stream"):
        choices = [{"index": 0, "message": message, "finish_reason": reason}]
        return _json(request, {**base, "object": "chat.completion", "usage": usage, "choices": choices})
    deltas: list[Json] = [{"role": "assistant", "content": ""}, *({"content": word} for word in _words(text)), {}]
    base["object"] = "chat.completion.chunk"
    chunks: list[Json | str] = [{**base, "choices": [{"index": 0, "delta": one}]} for one in deltas]
    return _events([*chunks, {**base, "choices": [], "usage": usage}, "[DONE]"])


def anthropic(request: Request, data: Json, text: str) -> Response:
    """Messages."""
    base = {"id": f"msg_{next(_counts)}", "type": "message", "role": "assistant", "model": data["model"]}
    base |= {"content": [], "stop_reason": None, "stop_sequence": None}
    usage = {"input_tokens": 11, "output_tokens": 7}
    if not data.get("stream"):
        content = [{"type": "text", "text": text}]
        return _json(request, {**base, "content": content, "stop_reason": "end_turn", "usage": usage})
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
        for word in _words(text)
    ]
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[Json | str] = [
        {"type": "message_start", "message": {**base, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return _events(events, named=True)


def gemini(request: Request, data: Json, text: str) -> Response:
    """``generateContent``, and its stream."""
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}

    def chunk(part: str, **more: str) -> Json:
        candidate = {"content": {"role": "model", "parts": [{"text": part}]}, "index": 0, **more}
        return {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1", "usageMetadata": usage}

    if "streamGenerateContent" not in request.url.path:
        return _json(request, chunk(text, finishReason="STOP"))
    words = _words(text)
    return _events([*map(chunk, words[:-1]), chunk(words[-1], finishReason="STOP")])


def ollama(request: Request, data: Json, text: str) -> Response:
    """``/api/chat``: NDJSON."""

    def line(part: str, **more: Any) -> bytes:
        message = {"role": "assistant", "content": part}
        base = {"model": data["model"], "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False}
        return json.dumps({**base, **more}).encode() + b"\n"

    end = line("", done=True, done_reason="stop", prompt_eval_count=11, eval_count=7, total_duration=1)
    return _stream([*map(line, _words(text)), end], "application/x-ndjson")


def bedrock(request: Request, data: Json, text: str) -> Response:
    """``Converse``, and its stream of binary messages."""
    usage = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
    if request.url.path.endswith("/converse"):
        message = {"role": "assistant", "content": [{"text": text}]}
        answer = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
        return Response(json.dumps(answer), media_type="application/json", headers=SECRET_HEADERS)
    deltas = [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in _words(text)]
    messages: list[tuple[str, Json]] = [
        ("messageStart", {"role": "assistant"}),
        *deltas,
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    ]
    return _stream((frame(*message) for message in messages), "application/vnd.amazon.eventstream")


async def echo(request: Request) -> Response:
    """What was sent, and a number."""
    raw = await request.body()
    return _json(request, {"n": next(_counts), "got": raw.decode("utf-8", "replace")[:200]})


APP: Final = Starlette(
    routes=[
        Route("/v1/chat/completions", _endpoint(openai), methods=["POST"]),
        Route("/v1/messages", _endpoint(anthropic), methods=["POST"]),
        Route("/{version}/models/{model:path}", _endpoint(gemini), methods=["POST"]),
        Route("/api/chat", _endpoint(ollama), methods=["POST"]),
        Route("/model/{model:path}", _endpoint(bedrock), methods=["POST"]),
        Route("/echo", echo, methods=["GET", "POST"]),
    ]
)


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in a thread; yields its address."""
    server = uvicorn.Server(uvicorn.Config(APP, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
