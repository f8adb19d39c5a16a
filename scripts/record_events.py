"""Record the event files that the tests of `trace/` start from: `python -m scripts.record_events`.

Each program below runs with tracing on, and its journal becomes `tests/trace/events/<program>.jsonl`, a line for each
event, as capture has written it. Nothing that differs from one recording to the next stays in a file: ids are numbered
in the order in which they come, events are ten milliseconds apart, and the process has neutral names. So recording
twice gives the same bytes.

The spans beside them, `<program>.spans.json`, are what a person expects of the program, and are not written here. When
a change of LangChain or of capture changes an event file, correct them by hand.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

import langchain_autotrace
from langchain_autotrace.control import shutdown
from langchain_autotrace.environment import environment

ROOT = Path(__file__).resolve().parents[1]
EVENTS = ROOT / "tests" / "trace" / "events"

BEGIN_NS = 1_767_225_600_000_000_000
STEP_NS = 10_000_000
PROCESS = {"pid": 7, "host": "host", "started_ns": BEGIN_NS, "user": "ada", "source": "program.py", "folder": "/work"}
# Run ids, LangGraph's task ids, and its ids of interrupts.
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
# A frame of a stack: of this file, with its line's number; of any other file, with all of its lines.
OWN_FRAME = re.compile(rf'File "{re.escape(__file__)}", line \d+')
OTHER_FRAME = re.compile(r'  File "(?!program\.py").*\n(?:    .*\n)*')
MARKERS = re.compile(r"    [ ~^]+\n")

Json = dict[str, Any]
TOPIC = {"topic": "cats"}


class Model(BaseChatModel):
    """A chat model that gives its answers one after the other, or one after the other in words, with their usage."""

    answers: list[AIMessage]
    name_of_model: str = "small-2026"

    @property
    def _llm_type(self) -> str:
        return "scripted-chat"

    @property
    def _identifying_params(self) -> Json:
        return {"model": "small", "temperature": 0.5}

    def bind_tools(self, tools: Any, **_: Any) -> Any:  # noqa: ANN401 - LangChain's signature
        """Offer tools in OpenAI's form."""
        return self.bind(tools=[_offered(one) for one in tools])

    def _generate(self, *_: Any, **__: Any) -> ChatResult:  # noqa: ANN401 - LangChain's signature
        message = self.answers.pop(0)
        message.response_metadata = {"model_name": self.name_of_model, "finish_reason": "stop"}
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:  # noqa: ANN401 - LangChain's signature
        message = self.answers.pop(0)
        metadata = {"model_name": self.name_of_model}
        for word in re.findall(r"\S+\s*", str(message.content)):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word, response_metadata=metadata))
        last = AIMessageChunk(
            content="", usage_metadata=message.usage_metadata, response_metadata={"finish_reason": "stop"}
        )
        yield ChatGenerationChunk(message=last)


def _offered(one: Any) -> Json:  # noqa: ANN401 - a tool
    function = {
        "name": one.name,
        "description": one.description,
        "parameters": one.tool_call_schema.model_json_schema(),
    }
    return {"type": "function", "function": function}


def answer(text: str, **more: Any) -> AIMessage:  # noqa: ANN401 - fields of a message
    """Return a model's answer, with usage."""
    return AIMessage(text, usage_metadata={"input_tokens": 12, "output_tokens": 4, "total_tokens": 16}, **more)


def chain() -> Runnable[Any, str]:
    """Return prompt, model and parser."""
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Tell me about {topic}.")])
    return prompt | Model(answers=[answer("Cats sleep a lot.")]) | StrOutputParser()


def a_chain() -> None:
    """Invoke prompt, model and parser, with tags and metadata."""
    config: RunnableConfig = {"tags": ["blue"], "metadata": {"session_id": "s-1", "user_id": "u-1", "release": 3}}
    chain().invoke(TOPIC, config)


def a_stream() -> None:
    """Read the stream of prompt, model and parser."""
    list(chain().stream(TOPIC))


def a_closed_stream() -> None:
    """Read two chunks of the stream, and close it."""
    stream: Any = chain().stream(TOPIC)
    next(stream)
    next(stream)
    stream.close()


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def an_agent() -> None:
    """Ask an agent that calls a tool."""
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "call-1"}
    model = Model(answers=[answer("", tool_calls=[call]), answer("It is 3.")])
    create_agent(model, [add], name="calculator").invoke({"messages": [HumanMessage("1 + 2?")]})


class Facts(BaseRetriever):
    """Knows one fact."""

    def _get_relevant_documents(self, *_: Any, **__: Any) -> list[Document]:  # noqa: ANN401 - LangChain's signature
        return [Document("Cats sleep 16 hours a day.", metadata={"source": "cats.md"}, id="d1")]


def a_retriever() -> None:
    """Look something up, and count what is found."""
    (Facts() | RunnableLambda(len).with_config(run_name="count")).invoke("cats")


class State(TypedDict):
    """State of a graph."""

    draft: str


def an_interrupt() -> None:
    """Run a graph whose second node asks a person."""
    graph = StateGraph(State)
    graph.add_node("write", lambda _: {"draft": "Cats sleep."})
    graph.add_node("review", lambda state: {"draft": interrupt({"publish?": state["draft"]})})
    graph.add_edge(START, "write")
    graph.add_edge("write", "review")
    graph.add_edge("review", END)
    review = graph.compile(checkpointer=InMemorySaver(), name="review graph")
    review.invoke({"draft": ""}, {"configurable": {"thread_id": "t-1"}})


class NoRowError(Exception):
    """There is no such row."""


def look_up(topic: Json) -> str:
    """Raise, with a cause."""
    rows: dict[str, str] = {}
    try:
        return rows[topic["topic"]]
    except KeyError as error:
        raise NoRowError("no row of cats") from error


def a_failure() -> None:
    """Run a step that raises."""
    steps = RunnableLambda(look_up) | RunnableLambda(str.upper)
    try:
        steps.invoke(TOPIC)
    except NoRowError:
        return
    raise AssertionError("the step did not raise")


def a_secretive_program() -> None:
    """Invoke a chain whose model is offered a tool."""
    config: RunnableConfig = {"tags": ["blue"], "metadata": {"session_id": "s-1", "plan": "a secret plan"}}
    model = Model(answers=[answer("A secret answer.")]).bind_tools([add])
    (ChatPromptTemplate.from_template("A secret about {topic}.") | model | StrOutputParser()).invoke(TOPIC, config)


PROGRAMS: dict[str, tuple[Callable[[], None], Json]] = {
    "chain": (a_chain, {}),
    "stream": (a_stream, {}),
    "closed_stream": (a_closed_stream, {}),
    "closed_stream_no_content": (a_closed_stream, {"capture_content": False}),
    "agent": (an_agent, {}),
    "retriever": (a_retriever, {}),
    "interrupt": (an_interrupt, {}),
    "failure": (a_failure, {}),
    "no_content": (a_secretive_program, {"capture_content": False}),
    "all_redacted": (a_secretive_program, {"redact": lambda _: "[hidden]"}),
}
"""The programs, and the settings that they run with."""


def main() -> None:
    """Record every program, and remove the files of programs that are gone."""
    for name, (program, settings) in PROGRAMS.items():
        path = EVENTS / f"{name}.jsonl"
        path.write_text("".join(f"{line}\n" for line in settled(recorded(program, settings))))
        print(f"recorded {path.relative_to(ROOT)}")
    for path in sorted(EVENTS.glob("*.jsonl")):
        if path.stem not in PROGRAMS:
            path.unlink()
            print(f"removed {path.relative_to(ROOT)}")


def recorded(program: Callable[[], None], settings: Json) -> list[str]:
    """Run a program with tracing on, and return the lines of its journal."""
    unset = ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")
    with tempfile.TemporaryDirectory() as home:
        with environment({"LANGCHAIN_AUTOTRACE_HOME": home, **dict.fromkeys(unset)}):
            langchain_autotrace.autolog(
                tracking_uri=f"sqlite:///{home}/mlflow.db",
                shipper="external",
                exit_timeout=0,
                silent=True,
                **settings,
            )
            try:
                program()
            finally:
                shutdown()
        segments = sorted(Path(home).glob("*/*.jsonl"))
        return [line for path in segments for line in path.read_text().rstrip("\0").splitlines()]


def settled(lines: list[str]) -> list[str]:
    """Replace what differs from one recording to the next, and where the program was recorded."""
    ids: dict[str, str] = {}
    starts: dict[str, int] = {}
    found = []
    for number, line in enumerate(lines):
        record = json.loads(ID.sub(partial(_numbered, ids), line))
        found.append(json.dumps(_settled(record, number, starts), ensure_ascii=False, separators=(",", ":")))
    return found


def _numbered(ids: dict[str, str], match: re.Match[str]) -> str:
    """Return the number of an id, in its own form: as a UUID of version 7, or as 32 digits."""
    number = f"{len(ids) + 1:012d}"
    form = f"00000000-0000-7000-8000-{number}" if "-" in match[0] else f"{number:0>32}"
    return ids.setdefault(match[0], form)


def _settled(record: Any, number: int, starts: dict[str, int]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(record, dict):
        return {**record, **PROCESS, "package": "0.1.0"}
    position = 4 if record[0] == "start" else 3
    span_id, time_ns, details = record[2], BEGIN_NS + number * STEP_NS, record[-1]
    starts.setdefault(span_id, time_ns)
    record[position] = time_ns
    if "first_chunk_ns" in details:
        details["first_chunk_ns"] = starts[span_id] + STEP_NS // 2
    if "stack" in details.get("error", {}):
        stack = OWN_FRAME.sub('File "program.py", line 1', details["error"]["stack"])
        details["error"]["stack"] = MARKERS.sub("", OTHER_FRAME.sub("", stack))
    return record


if __name__ == "__main__":
    main()
