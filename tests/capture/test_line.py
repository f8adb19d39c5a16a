"""The two keepers of lines: the one of C writes what the one of Python writes, or nothing."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import mmap
import os
import shutil
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
from hatchling.bridge.app import Application
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import ChatPromptValue

from langchain_autotrace.capture import line as line_module
from langchain_autotrace.capture.compiled import PURE_VARIABLE, map_writer
from langchain_autotrace.capture.line import LineKeeper, compiled_keeper, python_keeper
from langchain_autotrace.capture.redact import HINTS
from langchain_autotrace.journal import codec
from langchain_autotrace.journal.segment import MapWriter, Writer
from scripts import build_extension
from tests.capture.test_encode import ODD, Held, containers, ordinary

PROJECT = Path(__file__).parents[2]
CAN_COMPILE = bool(shutil.which("cc")) and sys.implementation.name == "cpython"
needs_compiler = pytest.mark.skipif(not CAN_COMPILE, reason="no compiler for CPython")
LIMIT = 100_000
SECRET = "sk-proj-" + "Ab1" * 12
Fields = tuple[object, ...]
LineMaker = Callable[[Fields], bytes | None]
"""A keeper, as the line that it keeps."""


def maker_of(keep: LineKeeper) -> LineMaker:
    """Gives what is kept; None for what is not."""

    def make(fields: Fields) -> bytes | None:
        kept: list[bytes] = []
        done = keep(fields, kept.append)
        assert (done, len(kept)) in ((True, 1), (False, 0), (None, 0))
        return kept[0] if kept else None

    return make


def pure_to(limit: int) -> LineMaker:
    """The keeper of Python, for lines of up to so many bytes."""
    return maker_of(python_keeper(codec, limit))


pure = pure_to(LIMIT)


def compiled_to(limit: int) -> LineMaker:
    """The keeper of C, for lines of up to so many bytes; where there is a compiler it has to be there."""
    keep = compiled_keeper(limit)
    if keep is None:
        is_wanted = CAN_COMPILE and not os.environ.get(PURE_VARIABLE)
        assert not is_wanted, "install the package once more: it was built without its compiled part"
        pytest.skip("no compiler for CPython, or not wanted")
    return maker_of(keep)


@pytest.fixture(scope="module")
def compiled() -> LineMaker:
    """The keeper of C, with the limit of the one of Python."""
    return compiled_to(LIMIT)


def start(value: object, **attributes: object) -> Fields:
    """The fields of a start."""
    return ("start", "t", "s", None, "n", "CHAIN", 7, (value,), attributes, None)


def end(value: object, before: tuple[object] | None = None) -> Fields:
    """The fields of an end."""
    return ("end", "t", "s", 7, "OK", "", before, (value,), {})


def same(compiled: LineMaker, fields: Fields, other: LineMaker = pure) -> bytes | None:
    """What both make of it, which says the same; None where the one of C leaves it to the one of Python."""
    made, expected = compiled(fields), other(fields)
    if made is not None:
        assert expected is not None
        assert made[-1:] == b"\n"
        assert b"\n" not in made[:-1]
        assert b"\0" not in made
        assert str(json.loads(made)) == str(json.loads(expected))  # as texts: 1 is not 1.0, and NaN is NaN
    return made


texts = st.one_of(
    *(st.text(max_size=30), st.text('\ud800\x00\x1f\x7f"\\é€😀\n', max_size=30), st.sampled_from(HINTS)),
    st.builds(lambda text, times: text * times, st.text(max_size=3), st.integers(0, 5000)),
)
messages = st.one_of(
    st.builds(AIMessage, texts, id=texts, name=st.none() | texts),
    st.builds(HumanMessage, st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2)),
    st.builds(lambda text, more: SystemMessage(text, additional_kwargs={"x": more}), texts, texts | st.integers()),
    *(st.builds(AIMessageChunk, texts), st.builds(lambda text: ToolMessage(text, tool_call_id="1"), texts)),
)
values = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.uuids(), texts, messages),
        st.builds(lambda text: StrOutputParser().invoke(AIMessage(text)), texts),
        st.builds(lambda held: ChatPromptValue(messages=held), st.lists(messages, max_size=3)),
        st.integers(0, len(ODD) - 1).map(lambda i: ODD[i]),
    ),
    containers,
    max_leaves=10,
)


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=300)
@given(values.map(Held), ordinary, st.sampled_from([LIMIT, 300]))
@example(Held(math.nan), -0.0, LIMIT)
@example(Held(AIMessage("", response_metadata={"a": ()})), [2**63, -(2**63), 2**64, 2**64 - 1], LIMIT)
def test_any_value(one: Held, other: object, limit: int) -> None:
    """Whatever a value is, both keepers write the same of it, or the one of C leaves it."""
    compiled, pure = compiled_to(limit), pure_to(limit)
    same(compiled, start(one.value, x=other), pure)
    same(compiled, end(one.value, (other,)), pure)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(ordinary)
def test_ordinary_value(compiled: LineMaker, value: Any) -> None:
    """Values of JSON's own types are not left to Python, where that would not write them either."""
    assert (same(compiled, start(value)) is None) == (pure(start(value)) is None)


def test_what_programs_trace(compiled: LineMaker) -> None:
    """Messages, prompts, answers of parsers and ids are written by C."""
    asked = [SystemMessage("Be brief."), HumanMessage([{"type": "text", "text": "é"}], name="Ann")]
    said = AIMessage(
        "ok",
        tool_calls=[{"name": "f", "args": {"x": 1.5}, "id": "1"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model_name": "m", "logprobs": None, "cached": True},
    )
    called = ToolMessage("3", tool_call_id="1", name="f", artifact={}, status="error")
    part = AIMessageChunk(content="o", tool_call_chunks=[{"name": "f", "args": "", "id": "1", "index": 0}])
    chat = [*asked, said, called, part]
    for value in (chat, {"chat": chat}, ChatPromptValue(messages=chat), uuid4(), ("a", ["b", ()])):
        assert same(compiled, start(value, **{"langchain.run_id": UUID(int=2**127 + 1)})) is not None
    assert same(compiled, end(StrOutputParser().invoke(said))) is not None


@needs_compiler
@pytest.mark.parametrize("before", range(33))
def test_escapes(built_line: ModuleType, before: int) -> None:
    """Each character comes back, wherever it stands in the bytes that are looked at together."""
    maker = hint_maker(built_line, [])
    for code in (*range(0x180), 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF):
        text = "x" * before + chr(code) * 2 + "y" * (33 - before)
        made = maker(start(text))
        assert made is not None
        assert json.loads(made)[7] == [text]
        assert same(maker, start({text: text})) is not None


@pytest.mark.parametrize("character", ["x", '"', "\x01", "é", "😀"])
def test_sizes(character: str) -> None:
    """Lines of all sizes are whole: the first 8 kB are made in one place, more in another."""
    compiled, pure = compiled_to(1 << 22), pure_to(1 << 22)
    for size in (*range(4000, 4200), *range(8050, 8250, 7), 20_000, 100_000):
        assert same(compiled, start([character * size, "after"]), pure) is not None


def test_limit() -> None:
    """A line of as many bytes as it may have is made, one of more is not."""
    for size in (10, 8100, 50_000):
        fields = start("\x01" * size)
        whole = same(compiled_to(sys.maxsize), fields, pure_to(sys.maxsize))
        assert whole is not None
        assert compiled_to(len(whole))(fields) == whole
        assert compiled_to(len(whole) - 1)(fields) is None
    assert compiled_to(0)(start("x")) is None


def test_nested(compiled: LineMaker) -> None:
    """What is too deep, in itself, or vast for what it shares is left to Python."""
    deep: list[object] = []
    for _ in range(60):
        deep = [deep]
    assert same(compiled, start(deep)) is not None
    for _ in range(10_000):
        deep = [deep]
    round_: list[object] = []
    round_.append({"round": round_})
    shared: list[object] = []
    for _ in range(60):
        shared = [shared, shared]
    for value in (deep, round_, shared):
        assert compiled(start(value)) is None


@pytest.fixture(scope="module")
def built_without_vectors(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module as it is built for processors whose vector instructions it does not know."""
    root = tmp_path_factory.mktemp("built")
    source = root / build_extension.SOURCE
    source.parent.mkdir(parents=True)
    shutil.copy(PROJECT / build_extension.SOURCE, source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFLAGS", "-DHAS_VECTORS=0")
        built = root / build_extension._compiled(root)
    spec = importlib.util.spec_from_file_location("_line", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["as built", "without vectors"])
def built_line(request: pytest.FixtureRequest) -> ModuleType:
    """The module as it is built here, and as it is built elsewhere."""
    if request.param == "without vectors":
        module: ModuleType = request.getfixturevalue("built_without_vectors")
        return module
    found: ModuleType = pytest.importorskip("langchain_autotrace.capture._line")
    return found


def hint_maker(line: ModuleType, asked: list[bytes], answer: Callable[[], bool] = bool) -> LineMaker:
    """A maker of C that notes what it asks of a line in which it found a hint."""

    def is_secret(line: bytes) -> bool:
        asked.append(line)
        return answer()

    return maker_of(line.keeper((), (), (), ChatPromptValue, str, UUID, HINTS, is_secret, LIMIT))


@needs_compiler
@pytest.mark.parametrize("hint", HINTS)
def test_hints(built_line: ModuleType, hint: str) -> None:
    """Each hint of a secret is found wherever it stands, in small letters and in capitals, and less of it is not."""
    asked: list[bytes] = []
    maker = hint_maker(built_line, asked)
    for before, after in itertools.product(range(20), (0, 1, 30)):
        for text in (hint, hint.upper(), hint.title()):
            asked.clear()
            made = maker(("." * before + text + "." * after,))
            assert asked == [made]
        asked.clear()
        assert maker(("." * before + hint[:-1] + "." * after,)) is not None
        assert asked == []


@needs_compiler
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.sampled_from([hint[:-1] for hint in HINTS] + list(HINTS)), st.text(max_size=4))))
def test_hints_are_the_same(built_line: ModuleType, parts: list[str]) -> None:
    """C finds a hint where Python does, and nowhere else."""
    asked: list[bytes] = []
    made = hint_maker(built_line, asked)(("".join(parts),))
    if made is not None:
        assert bool(asked) == any(hint.encode() in made.lower() for hint in HINTS)


@needs_compiler
def test_secret(built_line: ModuleType) -> None:
    """A line with a secret is not made; what the search raises is not swallowed, and makes no line either."""

    def interrupt() -> bool:
        raise KeyboardInterrupt

    assert hint_maker(built_line, [], lambda: True)(("a key",)) is None
    with pytest.raises(KeyboardInterrupt):
        hint_maker(built_line, [], interrupt)(("a key",))


def test_secrets(compiled: LineMaker) -> None:
    """Neither maker writes a line with a secret in it, and both write one that only talks of them."""
    for fields in (
        start(f"use {SECRET}"),
        start(AIMessage(SECRET)),
        start("x", api_key="1" * 20),
        end({"Token": "ab12"}),
    ):
        assert compiled(fields) is None
        assert pure(fields) is None
    assert same(compiled, start("the key to https://example.org is a token of patience")) is not None


@pytest.fixture(params=["python", "c"])
def keep(request: pytest.FixtureRequest) -> LineKeeper:
    """Each of the two keepers."""
    found = python_keeper(codec, LIMIT) if request.param == "python" else compiled_keeper(LIMIT)
    return found or pytest.skip("not compiled, or not wanted")


def test_why_not(keep: LineKeeper) -> None:
    """What is too long or secret is told from what is not known."""
    long, secret = "x" * LIMIT, SECRET
    assert [keep(start(value), print) for value in (long, [long[:99_000]] * 2, secret)] == [False, False, False]
    assert keep(start("\ud800"), print) is None


def test_no_room(keep: LineKeeper) -> None:
    """The line that was not taken is given back; what else goes wrong where it is put is not swallowed."""
    fields = start({"x": 1})

    def put(line: bytes) -> None:
        raise error

    error: Exception = ValueError("full")
    assert keep(fields, put) == pure(fields)
    error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        keep(fields, put)


@pytest.mark.parametrize("writer_class", [MapWriter, map_writer()], ids=["python", "c"])
def test_into_a_map(keep: LineKeeper, writer_class: Callable[[mmap.mmap], Writer] | None) -> None:
    """Lines stand in a map one behind the other, up to its last byte; then they are given back."""
    made = pure(start({"x": 1}))
    assert made is not None
    with mmap.mmap(-1, 2 * len(made) + 3) as target:
        writer = (writer_class or pytest.skip("not compiled, or not wanted"))(target)
        writer.put(b"abc")
        assert [keep(start({"x": 1}), writer.put) for _ in range(3)] == [True, True, made]
        assert target[:] == b"abc" + made + made
        writer.release()


@needs_compiler
def test_wrong_arguments() -> None:
    """What cannot be right is an error, no crash."""
    line = pytest.importorskip("langchain_autotrace.capture._line")
    keep: Any = line.keeper((), (), (), ChatPromptValue, str, UUID, HINTS, bool, LIMIT)
    several: Any = ((), ((),), ([], bytes), ((), bytes, 1), ((), 1), ((), None))
    for arguments in several:
        with pytest.raises(TypeError):
            keep(*arguments)
    hints: Any
    for hints in (("ab",), ("a" * 17,), ("abc",) * 97):
        with pytest.raises(ValueError, match="hints"):
            line.keeper((), (), (), ChatPromptValue, str, UUID, hints, bool, LIMIT)
    many = (AIMessage,) * 9
    for classes, others, limit in ((many, (), LIMIT), ((), many, LIMIT), ((), (), -1)):
        with pytest.raises(ValueError, match="classes of messages, or a limit"):
            line.keeper(classes, others, (), ChatPromptValue, str, UUID, HINTS, bool, limit)
    with pytest.raises(TypeError):
        line.keeper()


def test_nothing_is_kept(compiled: LineMaker) -> None:
    """A line, made or not, leaves no reference to what is in it."""
    items = [["a"], {"key": "b"}, AIMessage("c"), uuid4(), 1.5, 10**12, object()]
    held, short = [sys.getrefcount(item) for item in items], compiled_to(40)
    for item in items:
        for _ in range(100):
            compiled(start([item], a=item))
            short(start([item] * 50))
    del item
    assert [sys.getrefcount(item) for item in items] == held


def test_changed_by_another_thread() -> None:
    """Values that other threads change meanwhile do no harm."""
    compiled = compiled_to(1 << 24)
    chat: dict[str, Any] = {"messages": [AIMessage("x" * 50)] * 5}
    done = threading.Event()

    def change() -> None:
        number = 0
        while not done.is_set():
            number += 1
            chat["messages"].append(AIMessage(str(number)))
            chat[str(number % 50)] = [number]
            if number % 20 == 0:
                chat["messages"] = []

    other = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    other.start()
    try:
        made = [compiled(start(chat)) for _ in range(3000)]
    finally:
        done.set()
        other.join()
        sys.setswitchinterval(interval)
    assert all(one is not None and json.loads(one) for one in made)


def test_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the compiled part is missing, or is not wanted, Python makes the lines."""
    monkeypatch.setenv(PURE_VARIABLE, "1")
    assert (compiled_keeper(LIMIT), map_writer()) == (None, None)
    made = maker_of(line_module.line_keepers(codec, LIMIT)[0])(start({"x": 1}))
    assert made == b'["start","t","s",null,"n","CHAIN",7,[{"x":1}],{},null]\n'
    monkeypatch.delenv(PURE_VARIABLE)
    monkeypatch.setitem(sys.modules, "langchain_autotrace.capture._line", None)
    assert (compiled_keeper(LIMIT), map_writer()) == (None, None)


class Told(Application):
    """Remembers what it is to show."""

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self.warnings: list[str] = []

    def display_warning(self, message: str = "", **_style: Any) -> None:
        """Remember it."""
        self.warnings.append(message)


def build(root: Path) -> tuple[dict[str, Any], list[str]]:
    """What the build's hook says of the wheel, and warns of."""
    source = root / build_extension.SOURCE
    source.parent.mkdir(parents=True)
    shutil.copy(PROJECT / build_extension.SOURCE, source)
    told, data = Told(), {"artifacts": [], "pure_python": True}
    metadata: Any = None
    hook = build_extension.ExtensionHook(str(root), {}, None, metadata, str(root), "wheel", told)
    hook.initialize("standard", data)
    return data, told.warnings


@needs_compiler
def test_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is compiled beside its source, and the wheel says for which machines it is."""
    monkeypatch.delenv(build_extension.PURE_VARIABLE, raising=False)
    data, warnings = build(tmp_path)
    assert warnings == []
    assert (data["pure_python"], data["tag"][:11]) == (False, "cp311-abi3-")
    (built,) = data["artifacts"]
    assert (tmp_path / built.lstrip("/")).stat().st_size > 10_000
    assert [path.suffix for path in sorted(tmp_path.rglob("*.*"))] == [".so", ".c"]


def test_build_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler, or where it is not wanted, or could not work, the package is built as it is, and says so."""
    monkeypatch.delenv(build_extension.PURE_VARIABLE, raising=False)
    monkeypatch.setenv("CC", "false")
    data, warnings = build(tmp_path / "fails")
    assert (data["artifacts"], data["pure_python"], len(warnings)) == ([], True, 1)
    assert "capture takes longer" in warnings[0]
    monkeypatch.setenv(build_extension.PURE_VARIABLE, "1")
    assert "is set" in build(tmp_path / "pure")[1][0]
    monkeypatch.delenv(build_extension.PURE_VARIABLE)
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert "no global interpreter lock" in build(tmp_path / "free")[1][0]
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    assert "this is pypy" in build(tmp_path / "other")[1][0]
