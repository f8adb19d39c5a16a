"""Records as lines."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.journal import codec
from langchain_autotrace.span import Flush, ProcessInfo, Record, SpanEnd, SpanEvent, SpanStart, TraceContext
from tests.journal.support import INFO

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers(0, 2**63 - 1)
ids = st.text("0123456789abcdef", min_size=16, max_size=32)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
documents = values.map(orjson.dumps)
objects = st.dictionaries(texts, values).map(orjson.dumps)
pairs = st.dictionaries(texts, texts)
contexts = st.builds(TraceContext, st.none() | texts, st.none() | texts, pairs, pairs)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        SpanStart, ids, ids, st.none() | ids, texts, texts, times, st.none() | documents, objects, st.none() | contexts
    ),
    st.builds(SpanEvent, ids, ids, texts, times, objects),
    st.builds(SpanEnd, ids, ids, times, texts, texts, st.none() | documents, st.none() | documents, objects),
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


def live(fields: tuple[object, ...]) -> bytes:
    """The line of values that are not JSON yet."""
    return codec.dumps(fields, None, codec.OPTIONS)


def test_values_that_are_not_json_yet() -> None:
    """Plain values that capture hands over become JSON in the same pass; the others are refused."""
    start = live((codec.START, "a", "b", None, "n", "CHAIN", 1, ({"when": [1, 2]},), {}, None))
    end = live((codec.END, "a", "b", 2, "OK", "", None, (["é"],), {"set": 3}))

    assert codec.decode(start) == SpanStart("a", "b", None, "n", "CHAIN", 1, b'{"when":[1,2]}', b"{}", None)
    assert codec.decode(end) == SpanEnd("a", "b", 2, "OK", "", None, '["é"]'.encode(), b'{"set":3}')
    with pytest.raises(TypeError):
        live((codec.END, "a", "b", 2, "OK", "", None, (object(),), {}))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_journal_of_another_version(version: object) -> None:
    """A journal of another format is refused with both versions named and what to do."""
    line = orjson.dumps({"kind": "process", "version": version, "something": "new"})

    with pytest.raises(JournalFormatError) as refused:
        codec.decode(line)

    assert str(refused.value) == (
        f"written in format {version!r}; this version reads format 1. Use the version that wrote it."
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
        b'{"kind":"process","version":1,"pid":7}',
        b'["unknown"]',
        b'[["end"]]',
        b'["end"]',
        b'["end","a","b","late","OK","",null,null,{}]',
        b'["end","a","b",true,"OK","",null,null,{}]',
        b'["end","a","b",1,"OK","",null,[],{}]',
        b'["end","a","b",1,"OK","",5,null,{}]',
        b'["end","a","b",1,"OK","",null,null,{},{}]',
        b'["start","a","b",null,"n","t",1,null,{},5]',
        codec.encode(INFO)[:40],
        b"\xff\xfe",
    ],
)
def test_a_line_that_is_no_record(line: bytes) -> None:
    """What is no record is refused as such, and not taken for a record of another version."""
    with pytest.raises(JournalFormatError, match=r"^not a journal record \("):
        codec.decode(line)

    assert not codec.is_of_other_version(line)


@given(record=records, junk=st.binary(max_size=8), place=st.integers(0, 400))
def test_a_damaged_line(record: Record, junk: bytes, place: int) -> None:
    """Damage to a line gives a record or a refusal, and no other error."""
    line = codec.encode(record)
    damaged = line[:place] + junk + line[place + len(junk) :]

    try:
        codec.decode(damaged)
    except JournalFormatError:
        return
