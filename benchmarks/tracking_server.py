"""Measures what it costs a shipper to deliver to a tracking server, beside the same through MLflow's client.

    python benchmarks/tracking_server.py [TRACES]

Needs the full mlflow (``pip install ".[full]"``), whose server it starts on SQLite in a temporary folder. The table has
the CPU of the shipper for each trace of 4 spans, from the journal to the answer of the server, imports apart, and how
many traces were stored in a second, which is what the server takes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS: Final = {"without MLflow's client": "open_sink(folder)", "MLflow's client": "_mlflow_sink(tracking_uri(folder))"}
WARMUP: Final = 20

FILL: Final = """
import sys, langchain_autotrace
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
langchain_autotrace.autolog(tracking_uri=sys.argv[1], shipper="external", exit_timeout=0)
chain = ChatPromptTemplate.from_template("{topic}") | FakeListChatModel(responses=["yes"]) | StrOutputParser()
for number in range(int(sys.argv[2])):
    chain.invoke({"topic": f"question {number}"})
"""

SHIP: Final = """
import sys, time
from langchain_autotrace.journal.folder import all_folders
from langchain_autotrace.ship.__main__ import _configure
from langchain_autotrace.ship.connect import _mlflow_sink, open_sink, tracking_uri
from langchain_autotrace.ship.shipper import Shipper
_configure()
(folder,) = all_folders()
shipper = Shipper(folder, {sink})
assert shipper.drain(timeout=600)
print("ready", flush=True)
sys.stdin.readline()
cpu, wall = time.process_time(), time.perf_counter()
assert shipper.drain(timeout=600)
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


def main(traces: int) -> None:
    """Print the table."""
    print("| shipper | CPU, ms a trace | traces a second |")
    print("|---|--:|--:|")
    for name, sink in WAYS.items():
        with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as uri:
            cpu, wall = _ship(Path(folder), uri, sink, traces)
        print(f"| {name} | {cpu / traces * 1_000:.2f} | {traces / wall:,.0f} |", flush=True)


def _ship(folder: Path, uri: str, sink: str, traces: int) -> tuple[float, float]:
    """Return CPU and wall time in seconds of delivering traces, after some that are not measured."""
    env = {**os.environ, "LANGCHAIN_AUTOTRACE_HOME": str(folder / "home")}
    fill = [sys.executable, "-c", FILL, uri]
    subprocess.run([*fill, str(WARMUP)], check=True, env=env)
    program = SHIP.replace("{sink}", sink)
    with subprocess.Popen(
        [sys.executable, "-c", program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shipper:
        assert shipper.stdin is not None
        assert shipper.stdout is not None
        assert shipper.stdout.readline() == "ready\n"
        subprocess.run([*fill, str(traces)], check=True, env=env)
        shipper.stdin.write("\n")
        shipper.stdin.flush()
        cpu, wall = map(float, shipper.stdout.readline().split())
    return cpu, wall


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Run a tracking server on the SQLite file of a folder; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _wait_for(address: str) -> None:
    for _ in range(1_200):
        try:
            with urllib.request.urlopen(address, timeout=10):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(address)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
