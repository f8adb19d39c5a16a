"""The records that pass from capture through the journal to the shipper, and the names they use.

A span is written as two records, :class:`SpanStart` and :class:`SpanEnd`, with any number of :class:`SpanEvent`
between them, so that a process that dies leaves behind what was in flight. All times are nanoseconds since the Unix
epoch. All ids are lower-case hexadecimal text: 32 digits for a trace, 16 for a span, as in W3C Trace Context.
Captured values are ``Json``: one JSON document as UTF-8 bytes, already scrubbed and cut to the size limit.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias, TypedDict

Json: TypeAlias = bytes

TRACE_ID_PREFIX: Final = "tr-"
"""What MLflow puts before the 32 hexadecimal digits of a trace id (``mlflow.tracing.constant``)."""


class SpanType(StrEnum):
    """The kinds of work a span stands for: the values of ``mlflow.entities.SpanType`` that LangChain's runs have."""

    CHAIN = "CHAIN"
    CHAT_MODEL = "CHAT_MODEL"
    LLM = "LLM"
    RETRIEVER = "RETRIEVER"
    TOOL = "TOOL"
    AGENT = "AGENT"
    PARSER = "PARSER"


class Status(StrEnum):
    """How a span ended, as in OpenTelemetry's status code."""

    OK = "OK"
    ERROR = "ERROR"


class Outcome(StrEnum):
    """Why a span ended otherwise than by returning or raising; the value of the attribute ``outcome``."""

    INTERRUPTED = "interrupted"
    """LangGraph's control flow: an interrupt, or a ``Command`` that hands over to another graph."""
    ABANDONED = "abandoned"
    """The consumer closed the stream before its end."""
    CANCELLED = "cancelled"
    """The asyncio task was cancelled."""
    LOST = "lost"
    """The process died while the span was open."""


class Attr:
    """Names of span attributes: MLflow's own where MLflow has one, so that its pages show them."""

    INPUTS: Final = "mlflow.spanInputs"
    OUTPUTS: Final = "mlflow.spanOutputs"
    SPAN_TYPE: Final = "mlflow.spanType"
    TRACE_REQUEST_ID: Final = "mlflow.traceRequestId"
    CHAT_TOOLS: Final = "mlflow.chat.tools"
    TOKEN_USAGE: Final = "mlflow.chat.tokenUsage"  # noqa: S105 - the name of an attribute
    MODEL: Final = "mlflow.llm.model"
    PROVIDER: Final = "mlflow.llm.provider"
    MESSAGE_FORMAT: Final = "mlflow.message.format"
    SESSION: Final = "session.id"
    USER: Final = "user.id"
    # The names below are those of mlflow.langchain.autolog's spans.
    METADATA: Final = "metadata"
    INVOCATION_PARAMS: Final = "invocation_params"
    # OpenTelemetry's semantic conventions for generative AI.
    REQUEST_MODEL: Final = "gen_ai.request.model"
    FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
    TIME_TO_FIRST_TOKEN: Final = "gen_ai.response.time_to_first_chunk"  # noqa: S105 - the name of an attribute
    REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
    # Our own.
    OUTCOME: Final = "outcome"
    TAGS: Final = "langchain.tags"
    RUN_ID: Final = "langchain.run_id"
    USAGE_METADATA: Final = "langchain.usage_metadata"
    CACHE_HIT: Final = "langchain.cache_hit"
    CHUNK_COUNT: Final = "langchain.chunk_count"
    TOOL_CALL_ID: Final = "langchain.tool_call_id"
    PARENT_RUN_ID: Final = "langchain.parent_run_id"
    TRUNCATED: Final = "langchain_autotrace.truncated"
    CONTENT_HASH: Final = "langchain_autotrace.content_hash"
    """Which chain the run is of, where chains are logged as models; also the name of the model's tag."""
    LINKS: Final = "langchain_autotrace.links"
    """A span's links on their way to the store, where they are no attribute."""


class TraceContext(NamedTuple):
    """What a root span's start says of its whole trace."""

    experiment: str | None
    """Name of the MLflow experiment; ``None`` for the one that ``experiment_id`` names."""
    experiment_id: str | None
    """Id of the MLflow experiment; ``None`` with ``experiment=None`` means MLflow's default experiment."""
    tags: dict[str, str]
    """Trace tags."""
    metadata: dict[str, str]
    """Trace metadata (immutable in MLflow), beside what the shipper adds of the process."""


class SpanStart(NamedTuple):
    """A run has started."""

    trace_id: str
    span_id: str
    parent_id: str | None
    """``None`` for the root of the trace."""
    name: str
    type: str
    """A value of :class:`SpanType`."""
    time_ns: int
    inputs: Json | None
    """``None`` when they come with the end (the steps of a stream) or when content is not captured."""
    attributes: Json
    """A JSON object."""
    trace: TraceContext | None
    """Given on the root of a trace, and on a span whose parent is in another process."""


class SpanEvent(NamedTuple):
    """Something happened within an open span."""

    trace_id: str
    span_id: str
    name: str
    time_ns: int
    attributes: Json
    """A JSON object."""


class SpanEnd(NamedTuple):
    """A run has ended."""

    trace_id: str
    span_id: str
    time_ns: int
    status: str
    """A value of :class:`Status`."""
    message: str
    """The error's text, empty when ``status`` is OK."""
    inputs: Json | None
    """Given when they were not known at the start."""
    outputs: Json | None
    attributes: Json
    """A JSON object, merged over the start's."""


class SpanFile(NamedTuple):
    """A file among the values of an open span, which name it by its id (``mlflow.tracing.attachments``)."""

    trace_id: str
    span_id: str
    file_id: str
    content: str
    """Its bytes in Base64."""


class TraceUpdate(NamedTuple):
    """What the program has made of an open trace's own fields. The last one counts."""

    trace_id: str
    fields: Json
    """A JSON object with ``tags`` and ``metadata``, in place of the context's, and those of ``client_request_id``,
    ``request_preview``, ``response_preview``, ``state`` (OK or ERROR) and ``name`` that were set."""


class ModelSeen(NamedTuple):
    """A chain has run to its end for the first time in its process: what is to be logged as an MLflow model."""

    trace_id: str
    """The trace of that run."""
    content_hash: str
    """What the chain is, 64 hexadecimal digits: the same for the same chain in another process."""
    form: Json
    """A JSON object, :class:`ModelForm`."""


class ModelForm(TypedDict):
    """What is known of a chain."""

    name: str
    """The name of its run."""
    chain: Any
    """The tree that ``models/revive.py`` builds it from."""
    problems: list[list[str]]
    """Why it cannot be built again: path, class or function, and reason of each part."""
    left_out: list[str]
    """Paths of values that were not written because they look like secrets."""
    secrets: list[str]
    """Environment variables that it reads its keys from."""
    packages: list[str]
    """Packages, by their first name, that its parts are of."""
    params: dict[str, str]
    """Parameters of its models."""
    example: list[Any] | None
    """The first input, as ``[input]``; None when it was not asked for, or has no form in JSON."""
    signature: dict[str, str | None] | None
    """As in an MLmodel file."""
    code: list[str] | None
    """Name and text of the file that builds it, where the program has named one."""
    search_path: list[str]
    """The program's ``sys.path``, to find its modules again."""
    registered_model_name: str | None
    tags: dict[str, str]


LOADABLE_TAG: Final = "langchain_autotrace.loadable"
"""A logged model's tag: whether it can be loaded, "true" or "false"."""
REASON_TAG: Final = "langchain_autotrace.reason"
"""And why it cannot."""


class Flush(NamedTuple):
    """The process asks for everything before this record to be delivered, and waits for the answer."""

    number: int
    """Counts up from 1 within a process."""


class ProcessInfo(NamedTuple):
    """The first record of every journal file: who writes it."""

    pid: int
    host: str
    started_ns: int
    user: str
    source: str
    """The program: ``sys.argv[0]`` or the notebook's marker, MLflow's ``mlflow.source.name``."""
    folder: str
    """The working folder, from which the shipper reads the git commit."""
    package: str
    """Version of langchain_autotrace that wrote the file."""


Record: TypeAlias = ProcessInfo | SpanStart | SpanEvent | SpanEnd | SpanFile | TraceUpdate | ModelSeen | Flush
