"""Ids of traces and spans, which come from LangChain's run ids.

A trace id is the id of the run that the trace begins with: its 32 hexadecimal digits. A span id is the second half of
the run's id, 16 digits, where LangChain's ids (UUIDs of version 7) have their random bits; of a UUID that is not random
it is a digest. A run whose id was used before gets a random one (``capture/runs.py``).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final
from uuid import UUID

TRACE_ID_PREFIX: Final = "tr-"
"""What MLflow puts before the 32 hexadecimal digits of a trace id (``mlflow.tracing.constant``)."""

_SPAN_DIGITS: Final = 16
_RANDOM_VERSIONS: Final = "47"
"""Versions of UUIDs whose second half is random."""


def trace_id(run_id: UUID | str) -> str:
    """Return MLflow's id (``tr-…``) of the trace that begins with a run of this id.

    A program that gives a run its id (``chain.invoke(x, {"run_id": run_id})``) so knows the trace before it exists. It
    is the trace of the first run of that id; when the id is used again, the other runs get trace ids of their own.

    Args:
        run_id: LangChain's id of the outermost run, a UUID or its text.

    Raises:
        ValueError: the text is no UUID.
    """
    return TRACE_ID_PREFIX + trace_digits(UUID(str(run_id)))


def trace_digits(made_of: object) -> str:
    """Return the 32 digits of a trace's id; it is made of a UUID or its text, or is given itself."""
    return made_of.hex if isinstance(made_of, UUID) else str(made_of).replace("-", "")


def span_digits(made_of: object) -> str:
    """Return the 16 digits of a span's id; it is made of a UUID or its text, or is given itself."""
    digits = trace_digits(made_of)
    if len(digits) == _SPAN_DIGITS:
        return digits
    return digits[16:] if digits[12] in _RANDOM_VERSIONS else blake2b(digits.encode(), digest_size=8).hexdigest()


def derived_span_id(span_id: str, key: str) -> str:
    """Return the id of a span without a run, below the span of an id; ``key`` tells those below one span apart."""
    return blake2b(f"{span_id} {key}".encode(), digest_size=8).hexdigest()
