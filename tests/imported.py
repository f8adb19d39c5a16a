"""What the tests, and the processes that they start, need of other packages, imported once and unseen by coverage."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final

import langchain_autotrace
from tests.uncovered import unseen

_PROGRAMS: Final = (
    "langchain_core.language_models.fake_chat_models",
    "langchain_core.language_models.llms",
    "langchain_core.output_parsers",
    "langchain_core.prompts",
    "langchain_core.runnables",
    # for the first delivery
    "mlflow.tracing.client",
    "mlflow.store.tracking.sqlalchemy_store",
    "alembic.command",
    "sqlalchemy.dialects.sqlite",
    "git",
)

_TESTS: Final = (
    *_PROGRAMS,
    "hypothesis.strategies",
    "langchain.agents",
    "langchain_core.vectorstores",
    "langchain_openai",
    "langgraph.graph",
    "openai.resources.chat",
    "openai.resources.responses",
    "pandas",
    "rich.console",
    "vcr",
)


def for_programs() -> None:
    """Import what programs that trace, and deliver, need of others."""
    with unseen():
        for name in _PROGRAMS:
            importlib.import_module(name)


def for_tests() -> None:
    """Import what tests need of others, and then all of this package."""
    with unseen():
        for name in _TESTS:
            importlib.import_module(name)
    for module in pkgutil.walk_packages(langchain_autotrace.__path__, f"{langchain_autotrace.__name__}."):
        importlib.import_module(module.name)
