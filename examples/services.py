"""Two services, one trace: a chain calls another service, whose chain joins the caller's trace.

Start the service with ``python services.py serve``; it prints its address. Then ``python services.py ask ADDRESS``.
Without arguments both are run, each in a process of its own.
"""

import json
import subprocess
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from mlflow.tracing import (
    get_tracing_context_headers_for_http_request,
    set_tracing_context_from_http_request_headers,
)

import langchain_autotrace

langchain_autotrace.autolog()

answer = ChatPromptTemplate.from_template("About {topic}") | RunnableLambda(lambda prompt: len(prompt.to_string()))
answer = answer.with_config(run_name="answer")


class Service(BaseHTTPRequestHandler):
    """Answers with a chain, in the trace of whoever asks."""

    def do_POST(self) -> None:
        topic = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with set_tracing_context_from_http_request_headers(dict(self.headers)):
            body = json.dumps(answer.invoke({"topic": topic})).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


def serve() -> None:
    """Answer one request."""
    server = HTTPServer(("127.0.0.1", 0), Service)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.handle_request()


def ask(address: str) -> None:
    """Ask the service within a chain of one's own."""

    @mlflow.trace
    def call(topic: str) -> int:
        headers = get_tracing_context_headers_for_http_request()
        request = urllib.request.Request(address, json.dumps(topic).encode(), headers)
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    print(RunnableLambda(call, name="ask").invoke("cats"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve()
    elif sys.argv[1:2] == ["ask"]:
        ask(sys.argv[2])
    else:
        service = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
        ask(service.stdout.readline().strip())
        service.wait()
