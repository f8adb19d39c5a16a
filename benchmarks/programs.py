"""The programs that are traced: LangChain as people write it, with models that answer at once from memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.runnables import Runnable, RunnableConfig

    Run = Callable[[RunnableConfig], object]
    AsyncRun = Callable[[RunnableConfig], Awaitable[object]]

QUESTION = (
    "Our nightly job copies about 40,000 orders from the shop's database into the warehouse. Since the upgrade on "
    "Tuesday it stops after roughly an hour with a lock timeout on the table of order lines, always at a different "
    "order. Nothing else writes to the warehouse at that hour as far as we know. How would you find out which "
    "session holds the lock, and what would you change in the job so that one stuck row cannot stop the whole copy?"
)
ANSWER = (
    "Log the blocking session at the moment of the timeout: query the lock view for the waiting transaction and join "
    "it to the session table, then keep the statement and the host. In the job, commit every few hundred orders "
    "instead of once, retry a failed batch with a short delay, and set aside the rows that fail three times."
)
LONG = 6_000
"""Characters of a long text."""
LONG_QUESTION = 8_000
"""Characters of a question to the agent that makes spans of up to 17 kB."""
TOKENS = tuple(f"token{number:04d} " for number in range(2000))
STREAMED = "".join(TOKENS)
"""The text of the stream: plain characters, so that it looks the same however often it is escaped."""


class AnswerChatModel(FakeListChatModel):
    """The fake list model, natively asynchronous as a provider's client is: no thread for each call."""

    async def _agenerate(
        self,
        messages: list[BaseMessage],  # noqa: ARG002
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_kwargs: Any,
    ) -> ChatResult:
        """Answer after one turn of the event loop, so that concurrent runs interleave."""
        await asyncio.sleep(0)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=self.responses[0]))])


class TokensChatModel(BaseChatModel):
    """Streams `TOKENS`, one chunk each, as fast as they are read."""

    @property
    def _llm_type(self) -> str:
        return "benchmark-tokens"

    def _generate(
        self,
        messages: list[BaseMessage],  # noqa: ARG002
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_kwargs: Any,
    ) -> ChatResult:
        """Give the whole text at once."""
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=STREAMED))])

    def _stream(
        self,
        messages: list[BaseMessage],  # noqa: ARG002
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: CallbackManagerForLLMRun | None = None,
        **_kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """Yield one chunk a token and tell the callbacks of it, as providers' models do."""
        for token in TOKENS:
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=token))
            if run_manager:
                run_manager.on_llm_new_token(token, chunk=chunk)
            yield chunk


class ScriptedChatModel(BaseChatModel):
    """Asks for a tool until two tools have answered, then answers. Keeps no state: it reads the messages."""

    @property
    def _llm_type(self) -> str:
        return "benchmark-script"

    def bind_tools(self, tools: Sequence[Any], **_kwargs: Any) -> Runnable[Any, AIMessage]:  # noqa: ARG002
        """Accept any tools: the script knows their names."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_kwargs: Any,
    ) -> ChatResult:
        """Say the next line of the script."""
        step = sum(isinstance(message, ToolMessage) for message in messages)
        return ChatResult(generations=[ChatGeneration(message=_SCRIPT[step].model_copy())])


def _call(name: str, number: int) -> AIMessage:
    return AIMessage(content="", tool_calls=[ToolCall(name=name, args={"table": "order_lines"}, id=f"call_{number}")])


_SCRIPT = (_call("find_lock", 1), _call("count_rows", 2), AIMessage(content=ANSWER))


@tool
def find_lock(table: str) -> str:
    """Name the session that holds the lock on a table."""
    return f"Session 4711 of host batch-2 holds the lock on {table} since 02:14."


@tool
def count_rows(table: str) -> str:
    """Count the rows of a table."""
    return f"{table} has 183,402 rows."


def _behind_prompt(model: BaseChatModel) -> Runnable[Any, str]:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You help operators of a data warehouse. Be brief and concrete."), ("human", "{question}")]
    )
    return prompt | model | StrOutputParser()


def chain(length: int = 0) -> Run:
    """Build the three-step chain; one run is one `invoke`, four spans. Texts may be made `length` characters long."""
    question, answer = (text * (1 + length // len(text)) if length else text for text in (QUESTION, ANSWER))
    steps = _behind_prompt(FakeListChatModel(responses=[answer]))
    return lambda config: steps.invoke({"question": question}, config)


def span() -> Run:
    """Decorate a function; one run is one call, one span of MLflow's."""
    import mlflow

    @mlflow.trace
    def answer(question: str) -> str:
        return ANSWER if question else ""

    return lambda _config: answer(QUESTION)


def chain_span() -> Run:
    """Build the chain with a decorated function as its last step; one run is six spans."""
    import mlflow

    @mlflow.trace
    def shorten(text: str) -> str:
        return text[:80]

    steps = _behind_prompt(FakeListChatModel(responses=[ANSWER])) | RunnableLambda(shorten, name="shorten")
    return lambda config: steps.invoke({"question": QUESTION}, config)


def async_chain() -> AsyncRun:
    """Build the same chain over the natively asynchronous model; one run is one `ainvoke`."""
    steps = _behind_prompt(AnswerChatModel(responses=[ANSWER]))
    return lambda config: steps.ainvoke({"question": QUESTION}, config)


def stream() -> Run:
    """Build the streaming chain; one run reads all 2,000 chunks."""
    steps = _behind_prompt(TokensChatModel())

    def run(config: RunnableConfig) -> int:
        return sum(1 for _ in steps.stream({"question": QUESTION}, config))

    return run


def agent(length: int = 0) -> Run:
    """Build the agent; one run is two tool calls and an answer. The question may be made `length` characters long."""
    from langchain.agents import create_agent

    question = QUESTION * (1 + length // len(QUESTION)) if length else QUESTION
    graph = create_agent(ScriptedChatModel(), [find_lock, count_rows])
    return lambda config: graph.invoke({"messages": [HumanMessage(question)]}, config)
