"""Records as lines."""

from __future__ import annotations

import dataclasses
import re
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.records import (
    Flush,
    ModelSeen,
    ProcessInfo,
    Record,
    SpanEnd,
    SpanEvent,
    SpanStart,
    TraceFile,
    TraceUpdate,
)
from tests.journal.support import INFO

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers(0, 2**63 - 1)
ids = st.text("0123456789abcdef", min_size=16, max_size=32)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
boxes = st.none() | st.lists(values, min_size=1, max_size=1)
"""A value in a list, or None."""
objects = st.dictionaries(texts, values)
pairs = st.dictionaries(texts, texts)
contexts = st.fixed_dictionaries(
    {"experiment": st.none() | texts, "experiment_id": st.none() | texts, "tags": pairs, "metadata": pairs}
)
starts = st.builds(
    SpanStart,
    *(ids, ids, st.none() | ids, times, texts, st.none() | texts, st.none() | texts, st.none() | st.lists(texts)),
    *(st.none() | contexts, boxes, objects),
)
records: st.SearchStrategy[Record] = st.one_of(
    starts,
    st.builds(SpanEvent, ids, ids, times, texts, objects),
    st.builds(SpanEnd, ids, ids, times, boxes, objects),
    st.builds(TraceFile, ids, texts, texts),
    st.builds(TraceUpdate, ids, objects),
    st.builds(ModelSeen, ids, texts, objects),
    st.builds(Flush, st.integers(1, 2**31)),
    st.builds(ProcessInfo, times, texts, times, texts, texts, texts, texts),
)


@given(record=records)
def test_any_record(record: Record) -> None:
    """A record is one line without NUL bytes, and the line is the record again."""
    line = codec.encode(record)

    assert codec.decode(line) == record
    assert line.index(b"\n") == len(line) - 1
    assert b"\x00" not in line


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            SpanStart("a", "b", None, 1, "chain", None, None, ["t"], None, [{"x": 1}], {"class": "C"}),
            b'["start","a","b",null,1,"chain",null,null,["t"],null,[{"x":1}],{"class":"C"}]\n',
        ),
        (SpanEvent("a", "b", 1, "n", {"k": None}), b'["event","a","b",1,"n",{"k":null}]\n'),
        (SpanEnd("a", "b", 2, ["é"], {}), '["end","a","b",2,["é"],{}]\n'.encode()),
        (TraceFile("a", "f", "cGl4"), b'["file","a","f","cGl4"]\n'),
        (TraceUpdate("a", {"tags": {}}), b'["trace","a",{"tags":{}}]\n'),
        (Flush(3), b'{"kind":"flush","number":3}\n'),
        (
            ProcessInfo(7, "host", 1, "ada", "p.py", "/work", "0.1.0"),
            (
                b'{"kind":"process","version":2,"pid":7,"host":"host","started_ns":1,"user":"ada","source":"p.py",'
                b'"folder":"/work","package":"0.1.0"}\n'
            ),
        ),
    ],
)
def test_line_of_a_record(record: Record, line: bytes) -> None:
    """The record of a trace is an array, its kind and then its fields; other records are objects."""
    assert codec.encode(record) == line
    assert codec.decode(line) == record


@dataclasses.dataclass
class Pair:
    left: int = 1


@pytest.mark.parametrize("value", [object(), Pair(), {1, 2}, b"bytes"])
def test_value_that_json_does_not_have(value: object) -> None:
    """A record with a value that JSON does not have is refused, and not written as something else."""
    with pytest.raises(TypeError):
        codec.encode(SpanEnd("a", "b", 2, [value], {}))


TRACE = UUID("0198c0de-1111-7222-8333-444444444444")
CHILD = UUID("0198c0de-5555-4666-9777-888888888888")
TRACE_ID, ROOT_ID, CHILD_ID = "0198c0de111172228333444444444444", "8333444444444444", "9777888888888888"
A_FORM: Any = {"name": "n"}


def line_of(*form: object) -> bytes:
    """A line as capture writes it, with run ids in place of the ids that are made of them."""
    return orjson.dumps(form, option=codec.OPTIONS)


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (
            line_of("start", TRACE, TRACE, None, 1, "chain", "n", None, None, None, None, {}),
            SpanStart(TRACE_ID, ROOT_ID, None, 1, "chain", "n", str(TRACE), None, None, None, {}),
        ),
        (
            line_of("start", TRACE, CHILD, TRACE, 1, "llm", None, None, ["t"], None, [1], {}),
            SpanStart(TRACE_ID, CHILD_ID, ROOT_ID, 1, "llm", None, str(CHILD), ["t"], None, [1], {}),
        ),
        # A run whose id was used before: its span's is made of another.
        (
            line_of("start", TRACE, CHILD, TRACE, 1, "llm", None, TRACE, None, None, None, {}),
            SpanStart(TRACE_ID, CHILD_ID, ROOT_ID, 1, "llm", None, str(TRACE), None, None, None, {}),
        ),
        # A run below a span of MLflow's, in that span's trace.
        (
            line_of("start", "a" * 32, CHILD, "b" * 16, 1, "tool", "n", None, None, None, None, {}),
            SpanStart("a" * 32, CHILD_ID, "b" * 16, 1, "tool", "n", str(CHILD), None, None, None, {}),
        ),
        # A span of MLflow's in a run's trace.
        (
            line_of("start", TRACE, "b" * 16, ROOT_ID, 1, "span", "n", None, None, None, None, {}),
            SpanStart(TRACE_ID, "b" * 16, ROOT_ID, 1, "span", "n", None, None, None, None, {}),
        ),
        (line_of("event", TRACE, CHILD, 1, "n", {}), SpanEvent(TRACE_ID, CHILD_ID, 1, "n", {})),
        (line_of("end", TRACE, CHILD, 2, [None], {}), SpanEnd(TRACE_ID, CHILD_ID, 2, [None], {})),
        (line_of("end", "a" * 32, CHILD, 2, None, {}), SpanEnd("a" * 32, CHILD_ID, 2, None, {})),
        (line_of("file", TRACE, "f", ""), TraceFile(TRACE_ID, "f", "")),
        (line_of("trace", TRACE, {"name": "n"}), TraceUpdate(TRACE_ID, {"name": "n"})),
        (line_of("model", TRACE, "h", A_FORM), ModelSeen(TRACE_ID, "h", A_FORM)),
    ],
)
def test_run_ids_in_a_line(line: bytes, record: Record) -> None:
    """A line may have run ids in place of the ids of trace, span and parent, which are made of them when it is read."""
    assert codec.decode(line) == record


@given(root=st.uuids(), child=st.uuids(), time_ns=times, details=objects)
def test_any_run_ids(root: UUID, child: UUID, time_ns: int, details: dict[str, Any]) -> None:
    """Whatever the run ids, the records of a run name the same span, its children name it as their parent."""
    own = codec.decode(line_of("start", root, root, None, time_ns, "chain", None, None, None, None, None, {}))
    below = codec.decode(line_of("start", root, child, root, time_ns, "chain", None, None, None, None, None, {}))
    ended = codec.decode(line_of("end", root, root, time_ns, None, details))

    assert isinstance(own, SpanStart)
    assert isinstance(below, SpanStart)
    assert ended == SpanEnd(root.hex, own.span_id, time_ns, None, details)
    assert (own.trace_id, own.run_id, below.run_id) == (root.hex, str(root), str(child))
    assert below.parent_id == own.span_id
    assert re.fullmatch("[0-9a-f]{16}", own.span_id)
    assert codec.decode(codec.encode(below)) == below


def test_run_ids_that_are_not_random() -> None:
    """Run ids that a program has counted up make different spans, though one half of them is the same."""
    low, high = UUID(int=1), UUID(int=1 + 2**64)
    lines = [line_of("end", low, run_id, 1, None, {}) for run_id in (low, high)]
    found = {record.span_id for record in map(codec.decode, lines) if isinstance(record, SpanEnd)}

    assert len(found) == 2


@pytest.mark.parametrize("version", [0, 1, 3, "2", None])
def test_journal_of_another_version(version: object) -> None:
    """A journal of another format is refused with both versions named and what to do."""
    line = orjson.dumps({"kind": "process", "version": version, "something": "new"})

    with pytest.raises(JournalFormatError) as refused:
        codec.decode(line)

    assert str(refused.value) == (
        f"written in format {version!r}; this version reads format 2. Use the version that wrote it."
    )
    assert codec.is_of_other_version(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"kind":"unknown"}',
        b'{"kind":{}}',
        b'{"kind":"flush"}',
        b'{"kind":"process"}',
        b'{"kind":"process","version":2,"pid":7}',
        b'["unknown"]',
        b'[["end"]]',
        b"[5]",
        b'["end"]',
        b'["end","a","b",1,null]',
        b'["end","a","b",1,null,{},{}]',
        b'["end","00000000-0000-4000-8000-000000000000",null,1,null,{}]',
        b'["start","a","00000000-0000-4000-8000-000000000000","b",1,"k",null,null,null,null,null,{}]',
        codec.encode(INFO)[:40],
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_line_that_is_no_record(line: bytes) -> None:
    """What is no record is refused as such, and not taken for a record of another version."""
    with pytest.raises(JournalFormatError, match=r"^not a journal record \("):
        codec.decode(line)

    assert not codec.is_of_other_version(line)


NO_TEXT: list[object] = [5, None, ["a"]]
NO_TEXT_OR_NONE: list[object] = [5, ["a"]]
NO_NUMBER: list[object] = [1.5, True, "1", None]
NO_LIST_OR_NONE: list[object] = ["t", {}, 5]
NO_OBJECT_OR_NONE: list[object] = [[], "c"]
NO_OBJECT: list[object] = [None, [], "d"]
VALID: dict[str, tuple[list[object], list[list[object]]]] = {
    "start": (
        ["a", "b", None, 1, "k", None, None, None, None, None, {}],
        [
            *(NO_TEXT, NO_TEXT, NO_TEXT_OR_NONE, NO_NUMBER, NO_TEXT, NO_TEXT_OR_NONE, NO_TEXT_OR_NONE),
            *(NO_LIST_OR_NONE, NO_OBJECT_OR_NONE, NO_LIST_OR_NONE, NO_OBJECT),
        ],
    ),
    "event": (["a", "b", 1, "n", {}], [NO_TEXT, NO_TEXT, NO_NUMBER, NO_TEXT, NO_OBJECT]),
    "end": (["a", "b", 1, None, {}], [NO_TEXT, NO_TEXT, NO_NUMBER, NO_LIST_OR_NONE, NO_OBJECT]),
    "file": (["a", "f", "c"], [NO_TEXT, NO_TEXT, NO_TEXT]),
    "trace": (["a", {}], [NO_TEXT, NO_OBJECT]),
    "model": (["a", "h", {}], [NO_TEXT, NO_TEXT, NO_OBJECT]),
}
"""For each kind: the fields of a record, and values that each of them may not have."""


@pytest.mark.parametrize(
    "form",
    [
        [kind, *fields[:place], wrong, *fields[place + 1 :]]
        for kind, (fields, wrongs) in VALID.items()
        for place, some in enumerate(wrongs)
        for wrong in some
    ],
)
def test_field_of_the_wrong_type(form: list[object]) -> None:
    """A line with a field of a type that it never has is no record: what reads records need not ask again."""
    kind, (fields, _) = form[0], VALID[str(form[0])]
    codec.decode(orjson.dumps([kind, *fields]))

    with pytest.raises(JournalFormatError, match=r"^not a journal record \(TypeError: a field has the wrong type "):
        codec.decode(orjson.dumps(form))


@pytest.mark.parametrize(
    "form",
    [
        {"kind": "flush", "number": "1"},
        {"kind": "flush", "number": None},
        {"kind": "flush", "number": True},
        {"kind": "process", "version": 2, **INFO._asdict(), "pid": "seven"},
        {"kind": "process", "version": 2, **INFO._asdict(), "user": ["ada"]},
    ],
)
def test_field_of_the_wrong_type_in_an_object(form: dict[str, object]) -> None:
    """The same for the records that are objects."""
    with pytest.raises(JournalFormatError, match=r"^not a journal record \("):
        codec.decode(orjson.dumps(form))


@given(record=records, junk=st.binary(max_size=8), place=st.integers(0, 400))
def test_damaged_line(record: Record, junk: bytes, place: int) -> None:
    """Damage to a line gives a record or a refusal, and no other error."""
    line = codec.encode(record)
    damaged = line[:place] + junk + line[place + len(junk) :]

    try:
        codec.decode(damaged)
    except JournalFormatError:
        return
