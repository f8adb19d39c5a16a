"""The program that is tested: an agent with a tool."""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

SYSTEM_PROMPT = "You answer questions about the weather in one sentence. Use the tool for every fact."
REPORTS = {"Oslo": "9 degrees Celsius, light rain", "Lisbon": "24 degrees Celsius, clear sky"}


@tool
def weather(city: str) -> str:
    """Report the weather in a city right now."""
    return REPORTS.get(city, "no report")


def ask(question: str) -> str:
    """Return the agent's answer to a question."""
    agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), [weather], system_prompt=SYSTEM_PROMPT)
    return str(agent.invoke({"messages": [("user", question)]})["messages"][-1].content)
