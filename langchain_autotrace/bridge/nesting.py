"""Which run encloses the code that asks, and whether it is deeper than MLflow's span."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import var_child_runnable_config
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from langchain_autotrace.capture.guard import internal_errors
from langchain_autotrace.span import SpanType

if TYPE_CHECKING:
    from opentelemetry.context.context import Context
    from opentelemetry.trace import Span

    from langchain_autotrace.capture.runs import Run

LEAVES: Final = frozenset({SpanType.CHAT_MODEL.value, SpanType.LLM.value, SpanType.RETRIEVER.value})
"""Kinds of runs whose own methods LangChain calls without saying so in its context variable."""
_CALLERS: Final = (
    (BaseChatModel, ("_generate_with_cache", "_agenerate_with_cache", "stream", "astream")),
    (BaseLLM, ("_generate_helper", "_agenerate_helper", "stream", "astream")),
    (BaseRetriever, ("invoke", "ainvoke")),
)
_DROPPED: Final = NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(0)))
"""Stands for a run that is not traced: spans below it are dropped with it."""


def _codes() -> frozenset[CodeType]:
    """The functions of LangChain that call a model's or retriever's own methods."""
    methods: list[Any] = [getattr(owner, name, None) for owner, names in _CALLERS for name in names]
    return frozenset(method.__code__ for method in methods if hasattr(method, "__code__"))


_CODES: Final = _codes()


def leaf_on_stack() -> object:
    """The id of the innermost model's or retriever's run whose own method is being run in this thread; None else."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way: no context variable tells
    while frame is not None:
        if frame.f_code in _CODES:
            known = frame.f_locals
            managers = known.get("run_managers")
            manager = known.get("run_manager") or (managers[0] if managers else None)
            return getattr(manager, "run_id", None)
        frame = frame.f_back
    return None


def config_run_id() -> object:
    """The id of the run that LangChain says is around this code: a lambda's, tool's or graph node's; None else."""
    config = var_child_runnable_config.get()
    return getattr(config.get("callbacks"), "parent_run_id", None) if config else None


def is_around(span: SpanContext, run: Run) -> bool:
    """Whether MLflow's span is around the run: it was active as the run, or one above it, started."""
    span_id = f"{span.span_id:016x}"
    above: Run | None = run
    while above is not None:
        if (above.place is not None and above.place.span_id == span_id) or above.span_id == span_id:
            return True
        above = above.parent
    return False


class Runs(Protocol):
    """What knows the open runs: ``langchain_autotrace.bridge.core.MlflowBridge``."""

    def innermost_run(self) -> Run | bool | None:
        """The run around this code; None when there is none, False when it is one that is not traced."""

    def live(self, run: Run) -> Span:
        """The span that stands for a run in MLflow."""


class RunAwareContext(ContextVarsRuntimeContext):
    """MLflow's runtime context, which also sees LangChain's runs.

    MLflow's own object gets this class, and so keeps its context variable, its tokens and everybody who holds it.
    """

    runs: ClassVar[Runs | None] = None

    def get_current(self) -> Context:
        """MLflow's current span, or the run that is deeper."""
        base = super().get_current()
        if self.runs is None:
            return base
        try:
            return self._of_run(base, self.runs) or base
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("get_current", error)
            return base

    def _of_run(self, base: Context, runs: Runs) -> Context | None:
        run = runs.innermost_run()
        if run is None:
            return None
        if isinstance(run, bool):
            return set_span_in_context(_DROPPED, base)
        around = get_current_span(base).get_span_context()
        if around.is_valid and not is_around(around, run):
            return None
        return set_span_in_context(runs.live(run), base)

    def of_mlflow(self) -> SpanContext:
        """MLflow's current span, whatever LangChain's runs."""
        current: Any = self._current_context.get()
        return get_current_span(current).get_span_context() if current else INVALID_SPAN_CONTEXT


def descends(run: Run, ancestor: Run) -> bool:
    """Whether ``ancestor`` is the run or above it."""
    above: Run | None = run
    while above is not None and above is not ancestor:
        above = above.parent
    return above is ancestor
