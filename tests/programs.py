"""The LangChain programs of the test suite, one a situation; `cassettes/<name>.yaml` holds the answers of each.

`make record` records them, `tests.cassettes_support.replay(name)` replays them.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import openai
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

__all__ = ["FAILING", "PROGRAMS", "Person", "outcome"]

_PROMPT = ChatPromptTemplate.from_messages([("system", "You answer in one sentence."), ("human", "{question}")])

_CITIES = [
    "Lisbon lies on the Tagus, close to the Atlantic coast.",
    "Oslo lies at the head of a fjord.",
    "Vienna lies on the Danube.",
    "Nairobi lies at about 1,800 metres above the sea.",
]

_ORDERS = {
    "A-17": "order A-17: 2 notebooks, 24 EUR, delivered",
    "B-42": "order B-42: 1 lamp, 59 EUR, lost in transit",
}


class Person(BaseModel):
    """A person that a text tells of."""

    name: str = Field(description="The full name")
    born: int = Field(description="The year of birth")


def chat() -> AIMessage:
    """Ask a model one question; the prompt's tokens are partly cached."""
    return _model().invoke([("system", "You answer in one sentence."), ("human", "Why is the sky blue?")])


def chat_stream() -> str:
    """Stream an answer, the usage on its last chunk."""
    return "".join(_streaming_chain().stream({"question": "What is a rainbow?"}))


def chat_astream() -> str:
    """Stream an answer in an event loop."""

    async def joined() -> str:
        return "".join([chunk async for chunk in _streaming_chain().astream({"question": "What is thunder?"})])

    return asyncio.run(joined())


def agent() -> dict[str, Any]:
    """Let an agent look two orders up at once, then refund one of them, then answer."""
    graph = create_agent(_model(), tools=[find_order, refund], system_prompt="You look after the orders of a shop.")
    question = "Where are my orders A-17 and B-42? Refund what got lost."
    answer: dict[str, Any] = graph.invoke({"messages": [{"role": "user", "content": question}]})
    return answer


def structured_json_schema() -> Person:
    """Read a person out of a text by a JSON schema, the default."""
    extractor = _model().with_structured_output(Person)
    return Person.model_validate(extractor.invoke("Ada Lovelace was born in London in 1815."))


def structured_function_calling() -> Person:
    """Read a person out of a text by a tool call that the model must make."""
    extractor = _model().with_structured_output(Person, method="function_calling")
    return Person.model_validate(extractor.invoke("Alan Turing was born in London in 1912."))


def rag() -> dict[str, Any]:
    """Answer from the two nearest texts and return them beside the answer."""
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small",
        dimensions=8,
        # tiktoken would download its vocabulary to count tokens.
        check_embedding_ctx_length=False,
        model_kwargs={"encoding_format": "float"},
    )
    retriever = InMemoryVectorStore.from_texts(_CITIES, embeddings).as_retriever(search_kwargs={"k": 2})
    answering = RunnablePassthrough.assign(question=_with_sources) | _PROMPT | _model() | StrOutputParser()
    chain = RunnableParallel(sources=retriever, question=RunnablePassthrough()).assign(answer=answering)
    answer: dict[str, Any] = chain.invoke("Which of these cities lie on a river?")
    return answer


def rate_limited() -> str:
    """Be refused with 429 once, and be answered at the second try of LangChain's own retry."""
    model = _model().with_retry(
        retry_if_exception_type=(openai.RateLimitError,), stop_after_attempt=2, wait_exponential_jitter=False
    )
    return (_PROMPT | model | StrOutputParser()).invoke({"question": "How far away is the moon?"})


def unauthorized() -> str:
    """Be refused with 401, which no retry mends: raises `openai.AuthenticationError`."""
    return _chain().invoke({"question": "Is this key valid?"})


def responses() -> AIMessage:
    """Ask a reasoning model through the Responses API."""
    return _reasoning_model().invoke("How many prime numbers are there below 30?")


def responses_stream() -> str:
    """Stream an answer of a reasoning model through the Responses API."""
    return "".join(chunk.text for chunk in _reasoning_model().stream("Is 91 a prime number?"))


def batch() -> list[str]:
    """Ask two questions at once, from two threads."""
    questions = ["What is the capital of Portugal?", "What is the capital of Norway?"]
    return _chain().batch([{"question": question} for question in questions])


PROGRAMS: dict[str, Callable[[], Any]] = {
    program.__name__: program
    for program in (
        chat,
        chat_stream,
        chat_astream,
        agent,
        structured_json_schema,
        structured_function_calling,
        rag,
        rate_limited,
        unauthorized,
        responses,
        responses_stream,
        batch,
    )
}
"""Every program by the name of its cassette."""

FAILING: dict[str, type[Exception]] = {"unauthorized": openai.AuthenticationError}
"""The programs that raise, and what."""


def outcome(name: str) -> Any:
    """Run a program and return its result, or the exception that `FAILING` announces."""
    try:
        return PROGRAMS[name]()
    except FAILING.get(name, ()) as error:
        return error


@tool
def find_order(number: str) -> str:
    """Find an order by its number."""
    return _ORDERS.get(number, f"order {number}: unknown")


@tool
def refund(number: str, amount: float) -> str:
    """Refund an amount in EUR for an order."""
    return f"refunded {amount:.2f} EUR for order {number}"


def _model(**options: Any) -> ChatOpenAI:
    # The client's own retries would hide a refusal from LangChain, and wait.
    return ChatOpenAI(model="gpt-4o-mini", temperature=0, max_retries=0, **options)


def _reasoning_model() -> ChatOpenAI:
    return ChatOpenAI(
        model="o4-mini", use_responses_api=True, reasoning={"effort": "low", "summary": "auto"}, max_retries=0
    )


def _chain() -> Runnable[dict[str, Any], str]:
    return _PROMPT | _model() | StrOutputParser()


def _streaming_chain() -> Runnable[dict[str, Any], str]:
    return _PROMPT | _model(stream_usage=True) | StrOutputParser()


def _with_sources(values: dict[str, Any]) -> str:
    return "\n".join([*(source.page_content for source in values["sources"]), values["question"]])
