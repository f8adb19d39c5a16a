"""Finds the run that encloses the calling code, and whether it is inside MLflow's current span."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.retrievers import BaseRetriever
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
from langchain_autotrace.semconv import SpanType

if TYPE_CHECKING:
    from opentelemetry.context.context import Context
    from opentelemetry.trace import Span

    from langchain_autotrace.capture.runs import Run

LEAVES: Final = frozenset({SpanType.CHAT_MODEL, SpanType.LLM, SpanType.RETRIEVER})
"""Types of runs whose own methods LangChain calls without setting its context variable."""
_CALLERS: Final = (
    (BaseChatModel, ("_generate_with_cache", "_agenerate_with_cache", "stream", "astream")),
    (BaseLLM, ("_generate_helper", "_agenerate_helper", "stream", "astream")),
    (BaseRetriever, ("invoke", "ainvoke")),
)
_DROPPED: Final = NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(0)))
"""Represents a run that is not traced, so that MLflow drops the spans below it too."""


def _caller_codes() -> frozenset[CodeType]:
    """Return the code of LangChain's functions that call a model's or retriever's own methods."""
    methods: list[Any] = [getattr(owner, name, None) for owner, names in _CALLERS for name in names]
    return frozenset(method.__code__ for method in methods if hasattr(method, "__code__"))


_CALLER_CODES: Final = _caller_codes()


def leaf_on_stack() -> object:
    """Return the callback manager of the model or retriever on this thread's stack; None without one."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - no context variable holds it
    while frame is not None:
        if frame.f_code in _CALLER_CODES:
            known = frame.f_locals
            managers = known.get("run_managers")
            return known.get("run_manager") or (managers[0] if managers else None)
        frame = frame.f_back
    return None


def is_around(span: SpanContext, run: Run) -> bool:
    """Return whether an MLflow span encloses the run: whether it was active as the run, or one above it, started."""
    span_id = f"{span.span_id:016x}"
    above: Run | None = run
    while above is not None:
        if span_id in (above.span_id, above.parent_span.span_id if above.parent_span is not None else None):
            return True
        above = above.parent
    return False


class Runs(Protocol):
    """Interface to the open runs, implemented by ``langchain_autotrace.bridge.core.MlflowBridge``."""

    def innermost_run(self) -> Run | bool | None:
        """Return the innermost run that encloses the calling code; None without one, False if it is not traced."""

    def live(self, run: Run) -> Span:
        """Return the MLflow span that represents a run."""


class RunAwareContext(ContextVarsRuntimeContext):
    """MLflow's runtime context, made aware of LangChain runs.

    The class of MLflow's existing object is changed to this one: its context variable, its tokens, and all references
    to it stay valid.

    Attributes:
        runs: the bridge; None while it is not installed.
    """

    runs: ClassVar[Runs | None] = None

    def get_current(self) -> Context:
        """Return the context of MLflow's current span, or of the LangChain run if that is the inner one."""
        base = super().get_current()
        if self.runs is None:
            return base
        try:
            return self._of_run(base, self.runs) or base
        except Exception as error:  # noqa: BLE001 - no error of ours may reach the user's program
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
        """Return MLflow's current span, ignoring LangChain runs."""
        current: Any = self._current_context.get()
        return get_current_span(current).get_span_context() if current else INVALID_SPAN_CONTEXT


def descends(run: Run, ancestor: Run) -> bool:
    """Return whether ``ancestor`` is the run itself or above it."""
    above: Run | None = run
    while above is not None and above is not ancestor:
        above = above.parent
    return above is ancestor
