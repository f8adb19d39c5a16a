"""Id generator for MLflow spans with its own source of randomness.

OpenTelemetry's uses the ``random`` module: if a program seeds that, two runs of it get the same ids.
"""

from __future__ import annotations

from opentelemetry.sdk.trace.id_generator import IdGenerator

from langchain_autotrace.capture.runs import random_bits


class Ids(IdGenerator):
    """Generator of random trace and span ids."""

    def __init__(self) -> None:
        self._bits = random_bits()

    def after_fork(self) -> None:
        """Reseed in a forked child, so that it does not repeat the parent's ids."""
        self._bits = random_bits()

    def generate_span_id(self) -> int:
        """Return a random non-zero 64-bit id."""
        return self._bits(64) or 1

    def generate_trace_id(self) -> int:
        """Return a random non-zero 128-bit id."""
        return self._bits(128) or 1
