"""What the recorder makes of runs, line by line."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
import pytest

from langchain_autotrace.capture import recorder as recorder_module
from langchain_autotrace.capture.compiled import PURE_VARIABLE
from langchain_autotrace.capture.handler import CallbackHandler
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.capture.status import ending
from langchain_autotrace.journal import codec
from langchain_autotrace.settings import resolve
from langchain_autotrace.span import SpanEnd, SpanStart, TraceContext

SECRET = "sk-proj-" + "Ab1" * 12


class Kept:
    """A journal in memory; every third line has to be written with care."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.lines: list[bytes] = []

    def put(self, line: bytes) -> None:
        """Keep the line, or refuse."""
        if len(self.lines) % 3 == 2:
            raise ValueError
        self.lines.append(line)

    def write(self, line: bytes) -> bool:
        """Keep the line."""
        self.lines.append(line)
        return True


@pytest.fixture(autouse=True, params=["compiled", "python"])
def _maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test with both keepers of lines."""
    monkeypatch.setenv(PURE_VARIABLE, "1" if request.param == "python" else "")


def make_recorder(**given: Any) -> tuple[Recorder, list[bytes]]:
    """A recorder, and its lines."""
    journal = Kept()
    settings = resolve(tracking_uri="sqlite:///x.db", **given)
    return Recorder(settings, codec, journal, clock=lambda: 7), journal.lines


def test_records_of_a_run() -> None:
    """A run becomes a start and an end with its ids, times, values and attributes."""
    recorder, lines = make_recorder(experiment="e", extra_tags={"k": "v"})
    run_id = uuid4()
    recorder.start(run_id, None, "n", "CHAIN", {"x": 1}, {"a": "b"})
    recorder.end(run_id, None, attributes={"c": "d"})
    start, end = (codec.decode(line) for line in lines)
    assert isinstance(start, SpanStart)
    assert isinstance(end, SpanEnd)
    expected = b'{"a":"b","langchain.run_id":"%s"}' % str(run_id).encode()
    context = TraceContext("e", None, {"k": "v"}, {})
    assert start == SpanStart(start.trace_id, start.span_id, None, "n", "CHAIN", 7, b'{"x":1}', expected, context)
    assert end == SpanEnd(start.trace_id, start.span_id, 7, "OK", "", None, b"null", b'{"c":"d"}')
    assert (len(start.trace_id), len(start.span_id)) == (32, 16)
    assert (recorder.finished, recorder.open_runs) == (1, 0)


@dataclass
class Note:
    """An object of the user's."""

    text: str


def test_objects_are_not_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only Python can write needs no sealer, which takes longer; a secret needs it."""
    recorder, lines = make_recorder()
    sealed: list[object] = []
    seal = recorder._sealer.line

    def noted(record: Any) -> bytes:
        sealed.append(record)
        return seal(record)

    monkeypatch.setattr(recorder._sealer, "line", noted)
    for text in ("plain", SECRET):
        run_id = uuid4()
        recorder.start(run_id, None, "n", "CHAIN", Note(text), {})
        recorder.end(run_id, [Note(text)])
        assert len(sealed) == (0 if text == "plain" else 2)
    start, end = (codec.decode(line) for line in lines[:2])
    assert isinstance(start, SpanStart)
    assert isinstance(end, SpanEnd)
    assert (start.inputs, end.outputs) == (b'{"text":"plain"}', b'[{"text":"plain"}]')
    assert SECRET.encode() not in b"".join(lines)


def test_open_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that never end are forgotten from the oldest on, and counted; their late end does no harm."""
    monkeypatch.setattr(recorder_module, "_MAX_OPEN", 100)
    recorder, _ = make_recorder()
    runs = [uuid4() for _ in range(150)]
    for run in runs:
        recorder.start(run, None, "n", "CHAIN", 1, {})
    assert (recorder.open_runs, recorder.evicted) == (100, 50)
    for run in runs:
        recorder.end(run, 1)
    assert (recorder.open_runs, recorder.finished) == (0, 100)


def test_nothing_is_kept_of_runs_that_ended() -> None:
    """After any number of runs nothing of them is remembered."""
    recorder, lines = make_recorder()
    for _ in range(2_000):
        root, child = uuid4(), uuid4()
        recorder.start(root, None, "r", "CHAIN", 1, {})
        recorder.start(child, root, "c", "CHAIN", 1, {})
        recorder.end(child, 1)
        recorder.end(root, 1)
        lines.clear()
    assert recorder.open_runs == 0


@pytest.mark.parametrize("room", range(980, 1_001))
def test_a_secret_at_the_cut(room: int) -> None:
    """A text that is cut in the midst of a secret keeps no half of it, by which nobody would know a secret."""
    recorder, lines = make_recorder(max_value_bytes=4_000)
    long = "n" * (room - 1) + " " + SECRET + " " + "n" * 5_000
    run_id = uuid4()
    recorder.start(run_id, None, long, "CHAIN", 1, {}, {"session_id": long[room - 230 :], "user_id": long})
    recorder.fail(run_id, ValueError(long), ending(ValueError(long)))
    written = b"".join(lines)
    assert SECRET[:9].encode() not in written
    assert b"n" * 900 in written


def test_keys_that_are_no_uuids() -> None:
    """LangChain does not stop a run's id from being a text; the tree is right all the same."""
    recorder, lines = make_recorder()
    ids: Any = ["root", "step"]
    recorder.start(ids[0], None, "root", "CHAIN", 1, {})
    recorder.start(ids[1], ids[0], "step", "CHAIN", 1, {})
    recorder.start(uuid4(), ids[1], "leaf", "CHAIN", 1, {})
    for run_id in reversed(ids):
        recorder.end(run_id, 1)
    starts = [record for record in map(codec.decode, lines) if isinstance(record, SpanStart)]
    assert [start.parent_id for start in starts] == [None, starts[0].span_id, starts[1].span_id]
    assert len({start.trace_id for start in starts}) == 1
    assert (recorder.finished, recorder.open_runs) == (1, 1)


def test_twenty_threads_below_one_run() -> None:
    """Steps of a stream that start and end in threads at the same time are none of them left open."""
    recorder, lines = make_recorder()
    root = uuid4()
    recorder.start(root, None, "stream", "CHAIN", None, {}, deferred=True)
    barrier = threading.Barrier(20)

    def work() -> None:
        barrier.wait()
        for _ in range(200):
            step = uuid4()
            recorder.start(step, root, "step", "CHAIN", 1, {})
            recorder.end(step, 1)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.end(root, "all", inputs=1, deferred=True)
    end = codec.decode(lines[-1])
    assert isinstance(end, SpanEnd)
    assert (end.attributes, len(lines)) == (b"{}", 8_002)


@pytest.mark.parametrize("name", ["tools", "functions", "toolConfig"])
def test_tools_among_parameters(name: str) -> None:
    """The tools that a model was offered stand in MLflow's form, and beside the other parameters no second time."""
    recorder, lines = make_recorder()
    offered = [{"name": "add", "description": "d", "parameters": {"type": "object"}}]
    bedrock = {
        "tools": [{"toolSpec": {"name": "add", "description": "d", "inputSchema": {"json": {"type": "object"}}}}]
    }
    params = {"temperature": 0.5, name: bedrock if name == "toolConfig" else offered}
    CallbackHandler(recorder).on_chat_model_start({}, [[]], run_id=uuid4(), invocation_params=params)
    start = codec.decode(lines[0])
    assert isinstance(start, SpanStart)
    attributes = orjson.loads(start.attributes)
    assert attributes["invocation_params"] == {"temperature": 0.5}
    assert attributes["mlflow.chat.tools"] == [{"type": "function", "function": offered[0]}]
