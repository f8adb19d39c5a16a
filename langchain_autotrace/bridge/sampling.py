"""Which of MLflow's spans are traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import sampling

from langchain_autotrace.capture import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

_DROP = sampling.SamplingResult(sampling.Decision.DROP)


class Sampler(sampling.Sampler):
    """MLflow's sampler, or one of ``autolog()``'s rate where MLflow has none; nothing within ``suppress()``."""

    def __init__(self, of_mlflow: sampling.Sampler | None, rate: float) -> None:
        """``rate`` is the share of traces kept."""
        own = sampling.ParentBasedTraceIdRatio(rate) if rate < 1.0 else sampling.DEFAULT_ON
        self._inner = of_mlflow or own

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
        """Whether a span that starts now is traced."""
        if scope.suppressed.get():
            return _DROP
        return self._inner.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Say what it is."""
        return f"langchain_autotrace({self._inner.get_description()})"
