"""Values that other threads rewrite while they are traced never crash the process, and lose no event."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest

from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.journal.reader import JournalReader, Position
from langchain_autotrace.records import SpanEnd, SpanStart

SECONDS: Final = os.environ.get("AUTOTRACE_SAFETY_SECONDS", "3")
"""How long to try; 30 once before a release."""

PROGRAM: Final = """
    import dataclasses, enum, os, random, sys, threading, time
    import langchain_autotrace
    from langchain_core.documents import Document
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.runnables import RunnableLambda
    from pydantic import BaseModel, Field

    class Colour(enum.Enum):
        RED = "red" * 10
        BLUE = ["b", 1]

    class Model(BaseModel):
        text: str = "x"
        hidden: str = Field(default="HIDDEN", exclude=True)
        other: object = None

        def __getattr__(self, name):
            total = 0
            for number in range(100):
                total += number
            raise AttributeError(name)

    class Odd:
        def __getattr__(self, name):
            return sum(range(100))

    @dataclasses.dataclass
    class Point:
        x: object
        hidden: str = dataclasses.field(default="HIDDEN", repr=False)

    def anything():
        makers = (
            lambda: "y" * random.randrange(80), lambda: Colour.RED, lambda: Colour.BLUE, lambda: Model(),
            lambda: Model(other=[Colour.RED]), lambda: Point(Colour.BLUE), lambda: Odd(), lambda: random.random(),
            lambda: HumanMessage("hi"), lambda: AIMessage([{"type": "text", "text": "t"}] * random.randrange(4)),
            lambda: ToolMessage("t", tool_call_id="1", artifact=[Colour.RED]), lambda: Document("d"),
            lambda: {"a": [1]},
        )
        return random.choice(makers)()

    items = [anything() for _ in range(300)]
    message = AIMessage("x")
    state = {"items": items, "message": message, "model": Model(), "more": {}, "same": [items, items]}
    done = threading.Event()

    def rewrite():
        while not done.is_set():
            items[:] = [anything() for _ in range(random.randrange(300))]
            state["more"] = {str(number): [anything()] for number in range(random.randrange(30))}
            state["more"][str(random.random())] = anything()
            state["more"].clear()
            message.content = [anything() for _ in range(random.randrange(9))] if random.random() < 0.5 else "text"
            message.additional_kwargs = {"x": [anything()] * random.randrange(9)}
            message.additional_kwargs.clear()
            state["model"].other = [anything()]
            state["model"].__dict__["text"] = anything()

    langchain_autotrace.autolog(shipper="external", exit_timeout=0)
    chain = RunnableLambda(lambda value: value, name="same")
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=rewrite, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    end, runs = time.monotonic() + float(os.environ["SECONDS"]), 0
    while time.monotonic() < end or runs <= 10:
        chain.invoke(state)
        runs += 1
    done.set()
    for thread in threads:
        thread.join()
    print(runs, flush=True)
    from langchain_autotrace.control import shutdown; shutdown()
"""


@pytest.mark.parametrize("limit", ["1000000", "3000"])
def test_threads_that_rewrite_what_is_traced(limit: str, tmp_path: Path) -> None:
    """Lists, dicts, messages, enums and models that threads rewrite are traced without a crash and without a loss."""
    environment = {
        "LANGCHAIN_AUTOTRACE_HOME": str(tmp_path / "home"),
        "LANGCHAIN_AUTOTRACE_MAX_VALUE_BYTES": limit,
        "LANGCHAIN_AUTOTRACE_STRICT": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "SECONDS": SECONDS,
    }
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(PROGRAM)],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
    runs = int(done.stdout)
    assert runs > 10
    (folder,) = (DestinationFolder(path) for path in (tmp_path / "home").iterdir())
    (process,) = folder.processes()
    reader, starts, ends = JournalReader(folder, process, Position(1, 0)), 0, 0
    while records := reader.read(finished=True):
        for record in records:
            starts += isinstance(record, SpanStart) and record.inputs is not None
            ends += isinstance(record, SpanEnd) and record.outputs is not None
            assert "HIDDEN" not in str(record)
    assert (starts, ends, reader.torn) == (runs, runs, 0)
