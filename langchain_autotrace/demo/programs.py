"""The programs of the demo: a streamed chain, retrieval, and an agent with tools.

They set no base URL, so they call api.openai.com, or the server that `OPENAI_BASE_URL` names.
Within `langchain_autotrace.demo.run.replayed` they get answers from a recording instead.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_autotrace.demo import demo_extra

with demo_extra():
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

__all__ = ["PROGRAMS", "joke_chain", "rag_chain", "weather_agent"]

_MODEL = "gpt-4o-mini"
_DIMENSIONS = 8

_FACTS = [
    "A trace is the record of one run of a program, from its input to its answer.",
    "A span is one step of a trace: it has a name, a start, an end, inputs, and outputs.",
    "Every span but the first names its parent, and so the spans of a trace form a tree.",
    "The time to the first token is what a reader waits before a streamed answer begins.",
    "Token usage belongs to the spans that called a model; adding up parents as well would count it twice.",
]

_REPORTS = {
    "Lisbon": "Lisbon: 24 degrees Celsius, clear sky",
    "Oslo": "Oslo: 9 degrees Celsius, light rain",
}

_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def joke_chain() -> str:
    """Stream a joke about tracing and return it whole."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You tell short, clean jokes."), ("human", "Tell me a joke about {topic}.")]
    )
    chain = prompt | _model(stream_usage=True) | StrOutputParser()
    return "".join(chain.stream({"topic": "distributed tracing"}))


def rag_chain() -> str:
    """Answer a question from the two nearest of five facts about tracing."""
    retriever = InMemoryVectorStore.from_texts(_FACTS, _embeddings()).as_retriever(search_kwargs={"k": 2})
    prompt = ChatPromptTemplate.from_template(
        "Answer in one sentence, from the facts alone.\n\nFacts:\n{facts}\n\nQuestion: {question}"
    )
    chain: Runnable[str, str] = (
        {"facts": retriever | _as_lines, "question": RunnablePassthrough()} | prompt | _model() | StrOutputParser()
    )
    return chain.invoke("How do the spans of a trace belong together?")


def weather_agent() -> str:
    """Let an agent compare the weather of two cities with its tools, and return its final answer."""
    agent = create_agent(
        _model(),
        tools=[weather, calculator],
        system_prompt="You answer questions about the weather. Use the tools for every fact and every sum.",
    )
    question = "How much warmer is it in Lisbon than in Oslo right now?"
    answer: dict[str, Any] = agent.invoke({"messages": [{"role": "user", "content": question}]})
    return str(answer["messages"][-1].content)


PROGRAMS: dict[str, Callable[[], str]] = {
    "joke_chain": joke_chain,
    "rag_chain": rag_chain,
    "weather_agent": weather_agent,
}


@tool
def weather(city: str) -> str:
    """Report the weather in a city right now."""
    return _REPORTS.get(city, f"{city}: no report")


@tool
def calculator(left: float, operation: Literal["+", "-", "*", "/"], right: float) -> float:
    """Calculate one operation on two numbers."""
    return _OPERATIONS[operation](left, right)


def _model(**settings: Any) -> ChatOpenAI:  # noqa: ANN401 - any setting of the class
    # The recordings are of this API, whichever one a version of the client calls by default.
    return ChatOpenAI(model=_MODEL, use_responses_api=False, **settings)


def _embeddings() -> OpenAIEmbeddings:
    # Checking the context length tokenizes the text, and tiktoken would download its vocabulary.
    # "float" keeps the vectors of a recording readable; the client's default is base64.
    return OpenAIEmbeddings(
        model="text-embedding-3-small",
        dimensions=_DIMENSIONS,
        check_embedding_ctx_length=False,
        model_kwargs={"encoding_format": "float"},
    )


def _as_lines(documents: Sequence[Document]) -> str:
    return "\n".join(f"- {document.page_content}" for document in documents)
