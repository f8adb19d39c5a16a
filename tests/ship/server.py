"""An HTTP server that plays MLflow's tracking server, as far as the sink sees it."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.local_http import QuietHandler, serving

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

HEALTH = "/health"
EXPERIMENTS = "/api/2.0/mlflow/experiments/get"
TRACES = "/api/3.0/mlflow/traces"
SPANS = "/v1/traces"
VERSION = "/version"


class Answer(NamedTuple):
    """What the server says to a request."""

    status: int
    body: str
    kind: str = "application/json"


class FakeServer:
    """Keeps what it was given, and fails as told."""

    def __init__(self, artifacts: str) -> None:
        """Traces are told to have their artifacts at ``artifacts``."""
        self.artifacts = artifacts
        self.url = ""
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        """For each path, what to answer next instead of the usual."""
        self.version = "3.17.2"
        self.rows: dict[str, dict[str, Any]] = {}
        self.spans: list[tuple[str, str]] = []
        """Experiment and name of each span."""
        self.asked: list[str] = []
        self.takes_gzip = True

    def answer(self, path: str, body: bytes, headers: Any) -> Answer:
        """Do what MLflow's server does."""
        self.asked.append(path)
        if self.answers[path]:
            return self.answers[path].pop(0)
        if path == HEALTH:
            return Answer(200, "OK", "text/plain")
        if path == VERSION:
            return Answer(200, self.version, "text/plain")
        if path == EXPERIMENTS:
            found = {"experiment_id": "0", "name": "Default", "lifecycle_stage": "active"}
            return Answer(200, json.dumps({"experiment": found}))
        return self._spans(body, headers) if path == SPANS else self._row(path, body)

    def _spans(self, body: bytes, headers: Any) -> Answer:
        """Store spans."""
        if headers["Content-Encoding"] == "gzip":
            if not self.takes_gzip:
                return Answer(400, '{"detail":"Invalid OpenTelemetry protobuf format"}')
            body = gzip.decompress(body)
        resources = ExportTraceServiceRequest.FromString(body).resource_spans
        spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
        self.spans += [(headers["x-mlflow-experiment-id"], span.name) for span in spans]
        return Answer(200, "", "application/x-protobuf")

    def _row(self, path: str, body: bytes) -> Answer:
        """Store a trace's row, or return a stored one."""
        if not body:
            found = self.rows.get(path.rpartition("/")[2])
            missing = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such trace"})
            return Answer(404, missing) if found is None else Answer(200, json.dumps({"trace": {"trace_info": found}}))
        row = json.loads(body)["trace"]["trace_info"]
        row["tags"]["mlflow.artifactLocation"] = f"{self.artifacts}/{row['trace_id']}"
        self.rows[row["trace_id"]] = row
        return Answer(200, json.dumps({"trace": {"trace_info": row}}))


@contextmanager
def running(server: FakeServer, tls: ssl.SSLContext | None = None) -> Iterator[FakeServer]:
    """Answer requests in the block."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 - the base class's name
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            # A proxy is asked for whole addresses.
            answer = server.answer(urlsplit(self.path).path, body, self.headers)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body.encode())))
            self.end_headers()
            self.wfile.write(answer.body.encode())

        do_POST = do_GET  # noqa: N815 - the base class's name

    with serving(Handler, tls) as address:
        server.url = address
        yield server
