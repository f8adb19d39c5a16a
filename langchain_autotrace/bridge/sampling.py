"""Decides which MLflow spans are traced."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import sampling
from opentelemetry.trace import get_current_span

from langchain_autotrace.capture import scope
from langchain_autotrace.settings import MLFLOW_RATIO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

_DROP: Final = sampling.SamplingResult(sampling.Decision.DROP)


class Sampler(sampling.Sampler):
    """MLflow's own sampler, extended by ``suppress()`` and by ``autolog()``'s sample rate.

    Within ``suppress()`` no span is traced. The sample rate applies to new traces unless MLflow has its own ratio.
    """

    def __init__(self, of_mlflow: sampling.Sampler | None, rate: Callable[[], float]) -> None:
        """Wrap MLflow's sampler; ``rate`` returns ``autolog()``'s sample rate, from 0 to 1."""
        self._inner = of_mlflow or sampling.DEFAULT_ON
        self._rate = rate

    def should_sample(  # noqa: PLR0913, PLR0917 - OpenTelemetry's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> sampling.SamplingResult:
        """Return the decision whether to trace a span that starts now."""
        if scope.suppressed.get():
            return _DROP
        arguments = parent_context, trace_id, name, kind, attributes, links, trace_state
        is_root = not get_current_span(parent_context).get_span_context().is_valid
        if is_root and (rate := self._rate()) < 1.0 and not _has_mlflow_ratio():
            return sampling.TraceIdRatioBased(rate).should_sample(*arguments)
        return self._inner.should_sample(*arguments)

    def get_description(self) -> str:
        """Return the sampler's name, with that of MLflow's sampler."""
        return f"langchain_autotrace({self._inner.get_description()})"


def _has_mlflow_ratio() -> bool:
    """Return whether MLflow has a sampling ratio of its own, for all traces or for this one."""
    override = getattr(sys.modules.get("mlflow.tracing.sampling"), "_SAMPLING_RATIO_OVERRIDE", None)
    return MLFLOW_RATIO in os.environ or (override is not None and override.get() is not None)
