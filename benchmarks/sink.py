"""A local HTTP endpoint that accepts what the peers send and counts the spans in it. Standard library only.

The first segment of a path is the sender's tag. Bodies are kept as they come and are read only when
`GET /TAG/counted` asks, after the clock has stopped, so that counting takes no time from what is measured.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTED = "counted"
_RUN_PART = re.compile(rb'name="(?:post|patch)\.([0-9a-f-]{36})"')
_LANGSMITH_INFO = {
    "version": "0.16.20",
    "instance_flags": {"zstd_compression_enabled": True},
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
    },
}
"""What LangSmith's client asks for first: a server on which the client may use its compressed batches."""


@dataclass(frozen=True, slots=True)
class Body:
    """One request as it came."""

    path: str
    encoding: str
    content: bytes


@dataclass(slots=True)
class Account:
    """What one sender has sent."""

    unread: list[Body] = field(default_factory=list)
    requests: int = 0
    wire_bytes: int = 0
    spans: int = 0
    """Spans of OTLP requests."""
    runs: set[bytes] = field(default_factory=set)
    """Ids of LangSmith runs: a run may come in two parts."""


class Ledger:
    """The accounts of all senders."""

    def __init__(self) -> None:
        """Start with no sender."""
        self._accounts: dict[str, Account] = defaultdict(Account)
        self._lock = threading.Lock()

    def keep(self, tag: str, body: Body) -> None:
        """Put a request on its sender's account, unread."""
        with self._lock:
            self._accounts[tag].unread.append(body)

    def count(self, tag: str) -> dict[str, int]:
        """Read what is unread and return the totals: requests, wire_bytes, spans."""
        with self._lock:
            account = self._accounts[tag]
            unread, account.unread = account.unread, []
            for body in unread:
                _enter(account, body)
            return {
                "requests": account.requests,
                "wire_bytes": account.wire_bytes,
                "spans": account.spans + len(account.runs),
            }


def _enter(account: Account, body: Body) -> None:
    account.requests += 1
    account.wire_bytes += len(body.content)
    content = _decompressed(body)
    if body.path.endswith("/v1/traces"):
        account.spans += count_otlp_spans(content)
    elif body.path.endswith("/runs/multipart"):
        account.runs.update(_RUN_PART.findall(content))


def _decompressed(body: Body) -> bytes:
    if body.encoding == "gzip":
        return gzip.decompress(body.content)
    if body.encoding == "zstd":
        import zstandard  # comes with langsmith, the only sender that uses it

        return zstandard.ZstdDecompressor().decompressobj().decompress(body.content)
    return body.content


def count_otlp_spans(request: bytes) -> int:
    """Count the spans of an OTLP trace request in protobuf: resource spans (1), scope spans (2), spans (2)."""
    return sum(
        number == 2  # noqa: PLR2004
        for resource in _nested(memoryview(request), 1)
        for scope in _nested(resource, 2)
        for number, _ in _messages(scope)
    )


def _nested(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (content for number, content in _messages(message) if number == wanted)


def _messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the length-delimited fields of a protobuf message; skip the others by their wire type."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(message, at)
                yield key >> 3, message[at : at + size]
                at += size
            case 5:
                at += 4
            case other:
                unknown = f"wire type {other} at byte {at}: not a protobuf trace request"
                raise ValueError(unknown)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return value, at
        shift += 7


class _Handler(BaseHTTPRequestHandler):
    """Answers everything with 200, and two questions with something to read."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # headers and body leave in one packet: two would wait for each other's acknowledgement
    ledger: ClassVar[Ledger] = Ledger()

    def do_GET(self) -> None:
        """Answer the counts, LangSmith's question about the server, or an empty object."""
        tag, _, rest = self.path.strip("/").partition("/")
        if rest == COUNTED:
            self._answer(self.ledger.count(tag))
        elif rest == "info":
            self._answer(_LANGSMITH_INFO)
        else:
            self._answer({})

    def do_POST(self) -> None:
        """Keep the body and answer success."""
        tag, _, rest = self.path.strip("/").partition("/")
        self.ledger.keep(tag, Body(f"/{rest}", self.headers.get("Content-Encoding", ""), self._content()))
        if rest.endswith("v1/traces"):
            self._send(b"", "application/x-protobuf")
        else:
            self._answer({})

    def do_PATCH(self) -> None:
        """Take it as a POST."""
        self.do_POST()

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Say nothing: the counts are the log."""


def main() -> None:
    """Serve on a free port of the loopback address until terminated; the port is the first line of the output."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
