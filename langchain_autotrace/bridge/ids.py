"""Ids of MLflow's spans, from a generator of our own: programs seed Python's, and two runs would have the same."""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import IdGenerator

from langchain_autotrace.capture.runs import random_bits


class Ids(IdGenerator):
    """Random ids."""

    def __init__(self) -> None:
        self._bits = random_bits()

    def after_fork(self) -> None:
        """In a forked child: the parent's ids must not come again."""
        self._bits = random_bits()

    def generate_span_id(self) -> int:
        """Give 64 random bits, not all zero."""
        return self._bits(64) or 1

    def generate_trace_id(self) -> int:
        """Give 128 random bits, not all zero."""
        return self._bits(128) or 1
