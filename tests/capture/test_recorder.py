"""What handlers and recorder write of runs, line by line."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any
from uuid import UUID, uuid1, uuid4

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.utils.uuid import uuid7

from langchain_autotrace.capture import recorder as recorder_module
from langchain_autotrace.capture import runs as runs_module
from langchain_autotrace.capture.handler import CallbackHandler
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.ids import trace_id
from langchain_autotrace.journal import codec
from langchain_autotrace.records import Record, SpanEnd, SpanStart, TraceContext
from langchain_autotrace.settings import resolve

SECRET = "sk-proj-" + "Ab1" * 12


class Kept:
    """A journal in memory; every third line has to be written to a new segment."""

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

    def records(self) -> list[Record]:
        """The records of the lines."""
        return [codec.decode(line) for line in self.lines]

    def starts(self) -> list[SpanStart]:
        """The starts among them."""
        return [record for record in self.records() if isinstance(record, SpanStart)]


def make_recorder(**given: Any) -> tuple[Recorder, Kept]:
    """A recorder whose clock stands, and its journal."""
    journal = Kept()
    settings = resolve(tracking_uri="sqlite:///x.db", **given)
    # An object of its own each time, as the time is: int() of one text makes no two of one.
    return Recorder(settings, codec.encode, journal, clock=lambda: int("1000000")), journal


def start(
    handler: CallbackHandler, run_id: Any, parent: Any = None, *, inputs: Any = 1, name: str = "n", **more: Any
) -> None:
    """A chain starts, with a list of tags of its own, as LangChain's managers have them."""
    handler.on_chain_start(None, inputs, run_id=run_id, parent_run_id=parent, name=name, tags=[], metadata={}, **more)


def test_a_run_is_a_start_and_an_end() -> None:
    """A run becomes a start and an end with its ids, times, values and what else LangChain said."""
    recorder, journal = make_recorder(experiment="e", extra_tags={"k": "v"})
    handler, run_id = CallbackHandler(recorder), uuid7()

    handler.on_chain_start(
        {"name": "unused"}, {"x": 1}, run_id=run_id, name="n", tags=["t"], metadata={"m": 2}, run_type="parser"
    )
    handler.on_chain_end(None, run_id=run_id)

    context: TraceContext = {"experiment": "e", "experiment_id": None, "tags": {"k": "v"}, "metadata": {}}
    digits = run_id.hex
    assert journal.records() == [
        SpanStart(
            digits, digits[16:], None, 1_000_000, "chain", "n", str(run_id), ["t"], context, [{"x": 1}],
            {"metadata": {"m": 2}, "run_type": "parser"},
        ),
        SpanEnd(digits, digits[16:], 1_000_000, [None], {}),
    ]  # fmt: skip
    assert (recorder.finished, handler.runs) == (1, {})
    assert trace_id(run_id) == trace_id(str(run_id)) == f"tr-{digits}"


def test_a_run_without_a_name_says_its_class() -> None:
    """A run that was given no name says the name of its class, or the last part of its path."""
    recorder, journal = make_recorder()
    handler = CallbackHandler(recorder)
    given: list[Any] = [{"name": "A", "id": ["x", "B"]}, {"id": ["x", "B"]}, {"id": []}, {}, None]
    for serialized in given:
        handler.on_chat_model_start(serialized, [[HumanMessage("hi")]], run_id=uuid7())

    assert [(one.name, one.details.get("class")) for one in journal.starts()] == [
        (None, "A"), (None, "B"), (None, None), (None, None), (None, None)
    ]  # fmt: skip


def test_what_a_stream_says_with_its_end() -> None:
    """A stream's inputs, the number of its chunks and the time of the first come with the end."""
    recorder, journal = make_recorder()
    handler, run_id, model = CallbackHandler(recorder), uuid7(), uuid7()
    start(handler, run_id, inputs={"input": ""}, defers_inputs=True)
    handler.on_llm_start({}, ["hi"], run_id=model, parent_run_id=run_id, tags=[])
    for chunk in ("a", [{"type": "text", "text": "b"}], ""):
        handler.on_llm_new_token(chunk, run_id=model)
    handler.on_llm_end({"generations": []}, run_id=model)  # type: ignore[arg-type] # whatever it is
    handler.on_chain_end("ab", run_id=run_id, inputs="all")

    outer, _, inner_end, outer_end = journal.records()
    assert isinstance(outer, SpanStart)
    assert isinstance(inner_end, SpanEnd)
    assert isinstance(outer_end, SpanEnd)
    assert outer.inputs is None
    assert inner_end.details["chunks"] == 3
    assert inner_end.details["first_chunk_ns"] > 10**18
    assert (outer_end.outputs, outer_end.details) == (["ab"], {"inputs": ["all"]})


def test_a_stream_that_is_closed_says_what_was_streamed() -> None:
    """A stream that ends while its model goes on, and a model whose stream is closed, say what there was until then."""
    recorder, journal = make_recorder()
    handler, run_id, model = CallbackHandler(recorder), uuid7(), uuid7()
    start(handler, run_id, defers_inputs=True)
    handler.on_llm_start({}, ["hi"], run_id=model, parent_run_id=run_id, tags=[])
    handler.on_llm_new_token("a", run_id=model)
    handler.on_chain_end("", run_id=run_id, inputs="all")
    handler.on_llm_new_token("b", run_id=model)
    handler.on_llm_error(GeneratorExit(), run_id=model)

    outer_end, inner_end = journal.records()[2:]
    assert isinstance(outer_end, SpanEnd)
    assert isinstance(inner_end, SpanEnd)
    assert outer_end.details["streamed"] == ["a"]
    assert inner_end.details["streamed"] == ["a", "b"]
    assert inner_end.details["error"] == {"classes": ["GeneratorExit", "BaseException"], "message": ""}


def test_open_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that never end are forgotten from the oldest on, and counted; their late end does no harm."""
    monkeypatch.setattr(recorder_module, "_MAX_OPEN", 100)
    recorder, _ = make_recorder()
    handler = CallbackHandler(recorder)
    run_ids = [uuid7() for _ in range(150)]
    for run_id in run_ids:
        start(handler, run_id)
    assert (len(handler.runs), recorder.evicted) == (100, 50)
    for run_id in run_ids:
        handler.on_chain_end(1, run_id=run_id)
    assert (handler.runs, recorder.finished) == ({}, 100)


def test_nothing_is_kept_of_runs_that_ended() -> None:
    """After any number of runs nothing of them is remembered."""
    recorder, journal = make_recorder()
    for _ in range(2_000):
        handler, root, child = CallbackHandler(recorder), uuid7(), uuid7()
        start(handler, root)
        start(handler, child, root)
        handler.on_chain_end(1, run_id=child)
        handler.on_chain_end(1, run_id=root)
        assert handler.runs == {}
        journal.lines.clear()


@pytest.mark.parametrize("room", range(980, 1_001))
def test_a_secret_at_the_cut(room: int) -> None:
    """A text that is cut in the midst of a secret keeps no half of it, by which nobody would know a secret."""
    recorder, journal = make_recorder(max_value_bytes=4_000)
    handler, run_id = CallbackHandler(recorder), uuid7()
    long = "n" * (room - 1) + " " + SECRET + " " + "n" * 5_000

    metadata = {"session_id": long[room - 230 :], "user_id": long}
    handler.on_chain_start(None, 1, run_id=run_id, name=long, tags=[long], metadata=metadata)
    handler.on_chain_error(ValueError(long), run_id=run_id)

    written = b"".join(journal.lines)
    assert SECRET[:9].encode() not in written
    assert b"n" * 900 in written


def test_run_ids_that_are_no_uuids() -> None:
    """LangChain does not stop a run's id from being a text; the tree is right all the same."""
    recorder, journal = make_recorder()
    handler = CallbackHandler(recorder)
    ids: Any = ["root", "step"]
    start(handler, ids[0])
    start(handler, ids[1], ids[0])
    start(handler, uuid7(), ids[1])
    for run_id in reversed(ids):
        handler.on_chain_end(1, run_id=run_id)

    starts = journal.starts()
    assert [one.parent_id for one in starts] == [None, starts[0].span_id, starts[1].span_id]
    assert [one.run_id for one in starts[:2]] == ids
    assert len({one.trace_id for one in starts}) == 1
    assert (recorder.finished, len(handler.runs)) == (1, 1)


def test_a_run_id_used_again_later() -> None:
    """The first trace of a run id has the id that is made of it; those that come later have ids of their own."""
    recorder, journal = make_recorder()
    run_id = uuid4()
    for _ in range(3):
        handler = CallbackHandler(recorder)
        start(handler, run_id)
        handler.on_chain_end(1, run_id=run_id)

    starts = journal.starts()
    assert starts[0].trace_id == run_id.hex
    assert len({one.trace_id for one in starts}) == len({one.span_id for one in starts}) == 3
    assert [one.run_id for one in starts] == [str(run_id)] * 3
    assert recorder.finished == 3


def test_a_run_id_used_at_the_same_time() -> None:
    """Runs of one id that are open at the same time, each with its own handler, keep their steps and ends apart."""
    recorder, journal = make_recorder()
    run_id = uuid7()
    handlers = [CallbackHandler(recorder) for _ in range(3)]
    for number, handler in enumerate(handlers):
        start(handler, run_id, name=f"root {number}")
    for number, handler in enumerate(handlers):
        start(handler, step := uuid7(), run_id, name=f"step {number}")
        handler.on_chain_end(number, run_id=step)
    for number, handler in enumerate(reversed(handlers)):
        handler.on_chain_end(2 - number, run_id=run_id)

    starts = {one.name: one for one in journal.starts()}
    ends = {one.span_id: one.outputs for one in journal.records() if isinstance(one, SpanEnd)}
    for number in range(3):
        root, step_start = starts[f"root {number}"], starts[f"step {number}"]
        assert (step_start.trace_id, step_start.parent_id) == (root.trace_id, root.span_id)
        assert ends[root.span_id] == ends[step_start.span_id] == [number]
    assert len({starts[f"root {number}"].trace_id for number in range(3)}) == 3


def test_a_run_id_used_at_the_same_time_by_one_handler() -> None:
    """A handler that is passed by hand to runs of one id at the same time loses none of them."""
    recorder, journal = make_recorder()
    handler, run_id = CallbackHandler(recorder), uuid7()
    for _ in range(3):
        start(handler, run_id)
    for number in range(3):
        handler.on_chain_end(number, run_id=run_id)

    ends = [one for one in journal.records() if isinstance(one, SpanEnd)]
    assert len({one.trace_id for one in journal.starts()}) == 3
    assert Counter(one.trace_id for one in ends) == Counter(one.trace_id for one in journal.starts())
    assert (recorder.finished, handler.runs) == (3, {})


@pytest.mark.parametrize("make", [uuid1, uuid4, uuid7, lambda: UUID(int=5), lambda: UUID(int=0)])
def test_a_step_that_uses_its_id_again(make: Any) -> None:
    """Steps of a trace that use one id again, of any kind of UUID, are spans of their own."""
    recorder, journal = make_recorder()
    handler, root = CallbackHandler(recorder), make()
    start(handler, root)
    for run_id in (make(), repeated := make(), repeated, root):
        start(handler, run_id, root)
        handler.on_chain_end(1, run_id=run_id)
    handler.on_chain_end(1, run_id=root)

    starts = journal.starts()
    assert len({one.span_id for one in starts}) == 5
    assert {one.trace_id for one in starts} == {starts[0].trace_id}
    assert [one.parent_id for one in starts[1:4]] == [starts[0].span_id] * 3
    assert all(int(one.span_id, 16) and int(one.trace_id, 16) for one in starts)


def test_many_run_ids_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many of the last run ids are remembered, and a repetition among them is seen."""
    monkeypatch.setattr(runs_module, "_REMEMBERED", 10)
    recorder, journal = make_recorder()
    run_ids = [uuid7() for _ in range(100)]
    for run_id in (*run_ids, run_ids[-1], run_ids[-10]):
        handler = CallbackHandler(recorder)
        start(handler, run_id)
        handler.on_chain_end(1, run_id=run_id)

    assert len({one.trace_id for one in journal.starts()}) == 102
    assert len(recorder._ids._recent) + len(recorder._ids._older) <= 22


def test_two_handlers_in_the_list_of_a_run() -> None:
    """An event that comes once for each of two equal handlers is written once."""
    recorder, journal = make_recorder()
    handler, run_id, tags = CallbackHandler(recorder), uuid7(), ["t"]
    for _ in range(2):
        handler.on_llm_start({}, ["hi"], run_id=run_id, tags=tags)
    for token in "ab":
        for _ in range(2):
            handler.on_llm_new_token(token, run_id=run_id)
    for _ in range(2):
        handler.on_custom_event("e", 1, run_id=run_id)
    for _ in range(2):
        handler.on_llm_end({"generations": []}, run_id=run_id)  # type: ignore[arg-type] # whatever it is

    _, _, end = journal.records()
    assert isinstance(end, SpanEnd)
    assert end.details["chunks"] == 2


def test_twenty_threads_below_one_run() -> None:
    """Steps of a stream that start and end in threads at the same time are all written, and none is left open."""
    recorder, journal = make_recorder()
    handler, root = CallbackHandler(recorder), uuid7()
    start(handler, root, defers_inputs=True)
    barrier = threading.Barrier(20)

    def work() -> None:
        barrier.wait()
        for _ in range(200):
            step = uuid7()
            start(handler, step, root)
            handler.on_chain_end(1, run_id=step)

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.on_chain_end("all", run_id=root, inputs=1)

    end = journal.records()[-1]
    assert isinstance(end, SpanEnd)
    assert (end.details, len(journal.lines)) == ({"inputs": [1]}, 8_002)
    assert len({one.span_id for one in journal.starts()}) == 4_001
