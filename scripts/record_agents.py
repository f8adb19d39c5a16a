"""Record the event files of agents whose packages the tests do not have: `python -m scripts.record_agents`.

It needs `pip install deepagents langchain-classic langgraph-supervisor langgraph-swarm`. Each program below runs as in
`scripts/record_events.py`; its journal becomes `tests/trace/agents/<program>.jsonl`. The trees that a person expects
of them are in `tests/trace/test_agents.py`.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepagents import create_deep_agent
from langchain_classic.agents import AgentExecutor, create_tool_calling_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langgraph.prebuilt import create_react_agent
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

from scripts.record_events import Json, Model, add, recorded, settled

AGENTS = Path(__file__).resolve().parents[1] / "tests" / "trace" / "agents"
QUESTION: Json = {"messages": [HumanMessage("1 + 2?", id="q")]}
TEXT = re.compile(r'"(description|content)":"((?:[^"\\]|\\.){60})(?:[^"\\]|\\.)*"')
"""A long text, of which deepagents' prompts have many."""


def model(*answers: AIMessage) -> Model:
    """Return a model that gives these answers."""
    return Model(answers=list(answers))


def calling(name: str, **args: Any) -> AIMessage:  # noqa: ANN401 - arguments of a tool
    """Return an answer that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call-{name}"}])


def math() -> Any:  # noqa: ANN401 - a graph
    """Return an agent that can add."""
    return create_react_agent(model(AIMessage("3")), [add], name="math")


def a_supervisor() -> None:
    """Ask a supervisor that hands over to an agent."""
    boss = model(calling("transfer_to_math"), AIMessage("It is 3."))
    create_supervisor([math()], model=boss, supervisor_name="boss").compile(name="team").invoke(QUESTION)


def a_supervisor_alone() -> None:
    """Ask a supervisor that answers itself."""
    create_supervisor([math()], model=model(AIMessage("3")), supervisor_name="boss").compile().invoke(QUESTION)


def a_swarm() -> None:
    """Ask a swarm, one agent of which hands over to the other."""
    to_bob = create_handoff_tool(agent_name="bob")
    alice = create_react_agent(model(calling("transfer_to_bob")), [to_bob], name="alice")
    bob = create_react_agent(model(AIMessage("3")), [add], name="bob")
    create_swarm([alice, bob], default_active_agent="alice").compile().invoke(QUESTION)


def a_deep_agent() -> None:
    """Ask a deep agent that asks another agent."""
    researcher: Any = {
        "name": "researcher",
        "description": "Researches.",
        "system_prompt": "Be brief.",
        "tools": [add],
        "model": model(calling("add", a=1, b=2), AIMessage("3")),
    }
    main = model(calling("task", description="Add.", subagent_type="researcher"), AIMessage("3"))
    create_deep_agent(main, tools=[add], subagents=[researcher]).invoke(QUESTION, {"run_name": "mine"})


def executor(*answers: AIMessage) -> AgentExecutor:
    """Return an agent of the older kind."""
    prompt = ChatPromptTemplate.from_messages([("human", "{input}"), ("placeholder", "{agent_scratchpad}")])
    agent: Any = create_tool_calling_agent(model(*answers), [add], prompt)
    return AgentExecutor(agent=agent, tools=[add], stream_runnable=False)


def an_executor() -> None:
    """Ask an executor with a name of its own, whose model calls a tool that does not exist."""
    executor(calling("sub", a=1, b=2), AIMessage("3")).invoke({"input": "1 - 2?"}, {"run_name": "mine"})


def an_executor_stream() -> None:
    """Read an executor's stream."""
    list(executor(calling("add", a=1, b=2), AIMessage("3")).stream({"input": "1 + 2?"}))


PROGRAMS: dict[str, Callable[[], None]] = {
    "supervisor": a_supervisor,
    "supervisor_alone": a_supervisor_alone,
    "swarm": a_swarm,
    "deep_agent": a_deep_agent,
    "executor": an_executor,
    "executor_stream": an_executor_stream,
}


def main() -> None:
    """Record every program."""
    for name, program in PROGRAMS.items():
        lines = settled(recorded(program, {}))
        text = "".join(f"{TEXT.sub(_shortened, line)}\n" for line in lines)
        (AGENTS / f"{name}.jsonl").write_text(text)
        print(f"recorded {name}: {len(lines)} lines, {len(text)} bytes")
        json.loads(text.splitlines()[-1])


def _shortened(match: re.Match[str]) -> str:
    return f'"{match[1]}":"{match[2].rstrip(chr(92))}"'


if __name__ == "__main__":
    main()
