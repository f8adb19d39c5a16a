"""Names used in spans: types, statuses, outcomes and attributes, and how LangChain's terms map to them.

They are MLflow's own names where MLflow has one, so that its pages show the spans as they show its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class SpanType:
    """Type of a span: the values of ``mlflow.entities.SpanType`` that LangChain's runs have."""

    CHAIN: Final = "CHAIN"
    CHAT_MODEL: Final = "CHAT_MODEL"
    LLM: Final = "LLM"
    RETRIEVER: Final = "RETRIEVER"
    TOOL: Final = "TOOL"
    AGENT: Final = "AGENT"
    PARSER: Final = "PARSER"
    UNKNOWN: Final = "UNKNOWN"


class Status:
    """Status of a span that has ended, as in OpenTelemetry's status code."""

    OK: Final = "OK"
    ERROR: Final = "ERROR"


class Outcome:
    """Value of the attribute ``outcome``: why a span ended other than by returning or raising."""

    INTERRUPTED: Final = "interrupted"
    """LangGraph's control flow: an interrupt, or a ``Command`` that hands over to another graph."""
    ABANDONED: Final = "abandoned"
    """The consumer closed the stream before its end."""
    CANCELLED: Final = "cancelled"
    """The asyncio task was cancelled."""
    LOST: Final = "lost"
    """The process died while the span was open."""


class Kind:
    """What started: a run, named after LangChain's callback, or a span of MLflow's own API."""

    CHAIN: Final = "chain"
    CHAT_MODEL: Final = "chat_model"
    LLM: Final = "llm"
    TOOL: Final = "tool"
    RETRIEVER: Final = "retriever"
    SPAN: Final = "span"


class Attr:
    """Names of span attributes."""

    INPUTS: Final = "mlflow.spanInputs"
    OUTPUTS: Final = "mlflow.spanOutputs"
    SPAN_TYPE: Final = "mlflow.spanType"
    TRACE_REQUEST_ID: Final = "mlflow.traceRequestId"
    CHAT_TOOLS: Final = "mlflow.chat.tools"
    TOKEN_USAGE: Final = "mlflow.chat.tokenUsage"  # noqa: S105 - the name of an attribute
    COST: Final = "mlflow.llm.cost"
    MODEL: Final = "mlflow.llm.model"
    PROVIDER: Final = "mlflow.llm.provider"
    MESSAGE_FORMAT: Final = "mlflow.message.format"
    SESSION: Final = "session.id"
    USER: Final = "user.id"
    # Names that spans of mlflow.langchain.autolog have.
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
    ANSWER: Final = "langgraph.resume"
    """What was answered, on the root of a trace that resumes an interrupted one."""
    INTERRUPTED_THREAD: Final = "langchain_autotrace.interrupted_thread"
    """Thread id of an interrupted graph, on the root and in the trace's metadata: a resume finds the trace by it."""
    RESUMES: Final = "langchain_autotrace.resumes"
    """MLflow's id (``tr-…``) of the trace that this one resumes, on the root and in the trace's metadata."""
    PLUMBING: Final = "langchain_autotrace.plumbing"
    """True on spans that LangChain or LangGraph made by itself and that say nothing of their own; viewers fold them."""
    CONTENT_HASH: Final = "langchain_autotrace.content_hash"
    """Hash of the chain that ran, where chains are logged as models; also a tag of the model."""


WITHOUT_CONTENT: Final = frozenset(value for name, value in vars(Attr).items() if name.isupper()) - {
    *(Attr.INPUTS, Attr.OUTPUTS, Attr.METADATA, Attr.TAGS, Attr.INVOCATION_PARAMS, Attr.CHAT_TOOLS, Attr.TOOL_CALL_ID),
    Attr.ANSWER,
} | {
    *("mlflow.spanFunctionName", "mlflow.spanLogLevel", "mlflow.spanStartTimeNs"),
    *("mlflow.experimentId", "mlflow.linkedPrompts", "mlflow.gateway.linkedTraceId"),
}
"""Attributes that hold no content."""


class TraceKey:
    """MLflow's names of a trace's metadata and tags."""

    SCHEMA: Final = "mlflow.trace_schema.version"
    SESSION: Final = "mlflow.trace.session"
    USER: Final = "mlflow.trace.user"
    TOKEN_USAGE: Final = "mlflow.trace.tokenUsage"  # noqa: S105 - the name of a metadata entry
    COST: Final = "mlflow.trace.cost"
    SOURCE_TYPE: Final = "mlflow.source.type"
    SOURCE_RUN: Final = "mlflow.sourceRun"
    MODEL_ID: Final = "mlflow.modelId"
    FINALIZED: Final = "mlflow.trace.infoFinalized"
    NAME: Final = "mlflow.traceName"
    ARTIFACTS: Final = "mlflow.artifactLocation"
    SPANS_LOCATION: Final = "mlflow.trace.spansLocation"


SESSION_KEYS: Final = ("session_id", "thread_id", "conversation_id")
"""Names under which metadata, ``configurable`` or an agent's context have the session, the first one counts."""
USER_KEYS: Final = ("user_id", "langgraph_auth_user_id")
"""The same of the user; LangGraph's server writes the second."""
THREAD_KEY: Final = "thread_id"
"""Name of LangGraph's thread, in ``configurable`` and in metadata."""
COMMAND: Final = frozenset({"graph", "update", "resume", "goto"})
"""Fields of LangGraph's ``Command``."""
ATTACHMENT: Final = "mlflow-attachment://"
"""What MLflow's reference to a file of a trace begins with (``mlflow.tracing.attachments``)."""
INTERRUPTS: Final = "__interrupt__"
"""Key of a graph's output under which LangGraph returns what was asked."""

LOADABLE_TAG: Final = "langchain_autotrace.loadable"
"""Tag of a logged model: whether it can be loaded, "true" or "false"."""
REASON_TAG: Final = "langchain_autotrace.reason"
"""Tag of a logged model: why it cannot be loaded."""
STEPS_TAG: Final = "langchain_autotrace.steps"
"""Tag of a logged model: names of the chain's steps, or of a graph's nodes, separated by `` | ``."""

CONTROL_FLOW: Final = "langgraph.errors.GraphBubbleUp"
"""Base class of the exceptions by which LangGraph steers a graph: interrupts, ``Command`` to a parent graph."""
PAUSE: Final = "langgraph.errors.GraphInterrupt"
"""Class of those exceptions that pause the whole graph."""
STREAM_CLOSED: Final = "GeneratorExit"
"""Class of the exception that a generator gets when its consumer closes it."""
CANCELLED: Final = frozenset({"asyncio.exceptions.CancelledError", "concurrent.futures._base.CancelledError"})
"""Classes of the exceptions that a cancelled task gets."""

USAGE_PLACES: Final = ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics", "token_count")
"""Names under which the metadata of a model's answer has the token usage."""

AGENT_INTEGRATIONS: Final = frozenset({"langchain_create_agent", "deepagents"})
"""What langchain's ``create_agent`` and deepagents' ``create_deep_agent`` write into ``metadata["ls_integration"]``."""
_TYPES: Final = {
    Kind.CHAT_MODEL: SpanType.CHAT_MODEL,
    Kind.LLM: SpanType.LLM,
    Kind.TOOL: SpanType.TOOL,
    Kind.RETRIEVER: SpanType.RETRIEVER,
}
_UNNAMED: Final = {Kind.CHAT_MODEL: "chat model"}


def metadata_of(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return LangChain's metadata of a run, as they were before the redact hook; ``details`` are those of its start."""
    found = details.get("metadata_facts", details.get("metadata"))
    return found if isinstance(found, dict) else {}


def span_name(kind: str, name: object, details: Mapping[str, Any]) -> str:
    """Return the name of a run's span: the run's own name, else its class's, its graph node's, or its kind.

    Args:
        kind: a value of :class:`Kind`.
        name: the name that LangChain gave, if any.
        details: those of the run's :class:`~langchain_autotrace.records.SpanStart`.
    """
    # A node that LangGraph's asynchronous Send starts has its name in the metadata alone.
    return str(name or details.get("class") or metadata_of(details).get("langgraph_node") or _UNNAMED.get(kind, kind))


def span_type(kind: str, name: str, details: Mapping[str, Any]) -> str:
    """Return the type of a run's span, a value of :class:`SpanType`, by its start alone.

    Not every agent is known by its start: see ``trace/agents.py``.

    Args:
        kind: a value of :class:`Kind`.
        name: the span's name.
        details: those of the run's :class:`~langchain_autotrace.records.SpanStart`.
    """
    found = _TYPES.get(kind)
    if found is not None:
        return found
    if details.get("run_type") == "parser":
        return SpanType.PARSER
    metadata = metadata_of(details)
    # An agent is the graph that create_agent made, not the runs within it, which have the same metadata.
    is_agent = metadata.get("ls_integration") in AGENT_INTEGRATIONS
    is_graph = name == (metadata.get("lc_agent_name") or "LangGraph")
    return SpanType.AGENT if is_agent and is_graph else SpanType.CHAIN
