"""Chains to log, for programs that do without MLflow, whose import takes longer than all that they do."""

from __future__ import annotations

from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable

CHAIN = "PromptTemplate-FakeListChatModel-StrOutputParser"
"""The name of its model."""


def chain(template: str = "Tell of {topic}", answer: str = "Yes.") -> Runnable[dict[str, str], str]:
    """A chain of three steps."""
    return PromptTemplate.from_template(template) | FakeListChatModel(responses=[answer]) | StrOutputParser()
