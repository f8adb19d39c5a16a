"""What the tests, and the processes that they start, need of other packages, imported once and unseen by coverage.

Coverage looks at each line that runs, and counts this package's alone: others take half as long again under its eyes.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import langchain_autotrace

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


@contextmanager
def unseen() -> Iterator[None]:
    """Keep coverage from looking at what this thread does meanwhile, which is none of this package's."""
    eyes = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(eyes)


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
