"""What is said of a run beside its inputs and outputs: its name, its kind, labels, and the facts of a model's call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from langchain_core.outputs import LLMResult

from langchain_autotrace.capture import messages, usage
from langchain_autotrace.capture.runs import Run
from langchain_autotrace.span import Attr, SpanType

Metadata: TypeAlias = Mapping[str, Any] | None

_AGENT_INTEGRATION: Final = "langchain_create_agent"
"""What langchain's ``create_agent`` writes into ``metadata["ls_integration"]``."""
# As in handler.py.
_METADATA: Final = Attr.METADATA
_TAGS: Final = Attr.TAGS
_MESSAGE_FORMAT: Final = Attr.MESSAGE_FORMAT
_MODEL: Final = Attr.MODEL
_REQUEST_MODEL: Final = Attr.REQUEST_MODEL
_PROVIDER: Final = Attr.PROVIDER
_INVOCATION_PARAMS: Final = Attr.INVOCATION_PARAMS
_CHAIN: Final = SpanType.CHAIN.value
_AGENT: Final = SpanType.AGENT.value
_PLAIN: Final = (str, int, float, bool)
_TOOL_PARAMS: Final = frozenset({"tools", "functions", "toolConfig"})
"""Parameters that hold tools: of most, of OpenAI before them, of Bedrock."""
_NO_PARAMS: Final[Mapping[str, Any]] = {}


def run_name(serialized: Mapping[str, Any] | None, metadata: Metadata, default: str) -> str:
    """The name of a run that was given none. LangGraph's asynchronous ``Send`` names its node in the metadata."""
    known = serialized or _NO_PARAMS
    path = known.get("id")
    last = path[-1] if isinstance(path, list | tuple) and path else None
    return str(known.get("name") or last or (metadata or _NO_PARAMS).get("langgraph_node") or default)


def chain_type(name: str, metadata: Mapping[str, Any]) -> str:
    """The kind of a chain: an agent is the graph that ``create_agent`` made, not the runs within it."""
    if metadata.get("ls_integration") == _AGENT_INTEGRATION and name == metadata.get("lc_agent_name", "LangGraph"):
        return _AGENT
    return _CHAIN


def labels(tags: Sequence[str] | None, metadata: Metadata) -> dict[str, object]:
    """LangChain's tags and metadata as attributes."""
    found: dict[str, object] = {}
    if metadata:
        found[_METADATA] = metadata
    if tags:
        found[_TAGS] = tags
    return found


def model_attributes(
    tags: Sequence[str] | None, metadata: Metadata, invocation_params: object, *, content: bool
) -> dict[str, object]:
    """What is known of a model's call when it starts. ``invocation_params`` are the integration's, a dict as a rule."""
    is_known = type(invocation_params) is dict or isinstance(invocation_params, Mapping)
    params: Mapping[str, Any] = invocation_params if is_known else _NO_PARAMS  # type: ignore[assignment]
    known = metadata or _NO_PARAMS
    attributes: dict[str, object] = {_MESSAGE_FORMAT: messages.MESSAGE_FORMAT}
    if metadata:
        attributes[_METADATA] = metadata
    if tags:
        attributes[_TAGS] = tags
    asked = known.get("ls_model_name") or usage.model_named(params)
    if asked:
        attributes[_MODEL] = attributes[_REQUEST_MODEL] = str(asked)
    provider = known.get("ls_provider") or usage.provider_named(params)
    if provider:
        attributes[_PROVIDER] = str(provider)
    if params and content and _TOOL_PARAMS.isdisjoint(params):
        attributes[_INVOCATION_PARAMS] = params
    elif params:
        _add_params(params, attributes, content=content)
    return attributes


def _add_params(params: Mapping[str, Any], attributes: dict[str, object], *, content: bool) -> None:
    """Model parameters, and the tools in the form of MLflow's pages. Tools and schemas are content."""
    if not content:
        attributes[_INVOCATION_PARAMS] = {key: v for key, v in params.items() if isinstance(v, _PLAIN)}
        return
    offered = params.get("tools") or params.get("functions") or params.get("toolConfig")
    if not offered:
        attributes[_INVOCATION_PARAMS] = params
        return
    attributes[_INVOCATION_PARAMS] = {key: value for key, value in params.items() if key not in _TOOL_PARAMS}
    attributes[Attr.CHAT_TOOLS] = messages.tools(offered)


def answer_attributes(run: Run, response: LLMResult | None, answered: Mapping[str, Any] | None) -> dict[str, object]:
    """What is known of a model's call when it ends; a stream that was closed may have no response."""
    own: dict[str, object] = {}
    if run.chunks:
        own[Attr.CHUNK_COUNT] = run.chunks
        own[Attr.TIME_TO_FIRST_TOKEN] = (run.first_chunk_ns - run.started_ns) / 1e9
    if response is None or answered is None:
        return own
    spent, model = usage.facts(response)
    if spent.details:
        own[Attr.USAGE_METADATA] = spent.details
        if spent.counts:
            own[Attr.TOKEN_USAGE] = spent.counts
        if spent.reasoning:
            own[Attr.REASONING_TOKENS] = spent.reasoning
        if spent.cached:
            own[Attr.CACHE_HIT] = True
    if model:
        own[_MODEL] = model
    choices = answered["choices"]
    if choices and (choices[0]["finish_reason"] or len(choices) > 1):
        reasons = [choice["finish_reason"] for choice in choices]
        if any(reasons):
            own[Attr.FINISH_REASONS] = reasons
    return own
