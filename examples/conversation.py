"""Session and user of a trace: from LangGraph's thread id, a run's metadata, or the code around it."""

from typing import Annotated, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

import langchain_autotrace


class State(TypedDict):
    """What was said."""

    said: Annotated[list[str], lambda old, new: old + new]


def answer(state: State) -> State:
    """Say it again."""
    return {"said": [f"You said: {state['said'][-1]}"]}


graph = StateGraph(State)
graph.add_node("answer", answer)
graph.add_edge(START, "answer")
bot = graph.compile(checkpointer=InMemorySaver(), name="bot")

langchain_autotrace.autolog(extra_tags={"app": "bot"})
config: RunnableConfig = {"configurable": {"thread_id": "thread-1"}}
with langchain_autotrace.context(user_id="ada", tags={"channel": "web"}):
    bot.invoke({"said": ["hello"]}, config)
    bot.invoke({"said": ["again"]}, config)
assert langchain_autotrace.flush().ok
