"""LangChain's callbacks, each turned into one call of the recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import LLMResult

from langchain_autotrace.capture import messages, usage
from langchain_autotrace.capture.convert import document
from langchain_autotrace.capture.guard import guarded, internal_errors
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.capture.runs import Run
from langchain_autotrace.capture.status import RETURNED, Ending, ending, error_text
from langchain_autotrace.span import Attr, SpanType, Status

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.agents import AgentAction, AgentFinish
    from tenacity import RetryCallState

_Metadata = Mapping[str, Any] | None

_AGENT_INTEGRATION: Final = "langchain_create_agent"
"""What langchain's ``create_agent`` writes into ``metadata["ls_integration"]``."""
# Looking up a member of an enumeration costs as much as a function call in Python 3.11, a name of a class half that.
_METADATA: Final = Attr.METADATA
_TAGS: Final = Attr.TAGS
_MESSAGE_FORMAT: Final = Attr.MESSAGE_FORMAT
_MODEL: Final = Attr.MODEL
_REQUEST_MODEL: Final = Attr.REQUEST_MODEL
_PROVIDER: Final = Attr.PROVIDER
_INVOCATION_PARAMS: Final = Attr.INVOCATION_PARAMS
_CHAIN: Final = SpanType.CHAIN.value
_AGENT: Final = SpanType.AGENT.value
_PARSER: Final = SpanType.PARSER.value
_CHAT_MODEL: Final = SpanType.CHAT_MODEL.value
_LLM: Final = SpanType.LLM.value
_TOOL: Final = SpanType.TOOL.value
_RETRIEVER: Final = SpanType.RETRIEVER.value
_PLAIN: Final = (str, int, float, bool)
_TOOL_PARAMS: Final = frozenset({"tools", "functions", "toolConfig"})
"""Parameters that hold tools: of most, of OpenAI before them, of Bedrock."""
_NO_PARAMS: Final[Mapping[str, Any]] = {}


class CallbackHandler(BaseCallbackHandler):
    """All callbacks of LangChain, synchronous and inline, so that none costs a thread and none comes late."""

    run_inline = True

    # LangChain asks before every event; a constant answers faster than the base's property.
    ignore_llm = False
    ignore_retry = False
    ignore_chain = False
    ignore_agent = False
    ignore_retriever = False
    ignore_chat_model = False
    ignore_custom_event = False

    recorder: Recorder
    """Where the events go."""

    def __init__(self, recorder: Recorder) -> None:
        """Send the events to ``recorder``."""
        self.recorder = recorder

    def __eq__(self, other: object) -> bool:
        """Handlers that record to the same place are the same to LangChain, which adds each once."""
        return isinstance(other, CallbackHandler) and self.recorder is other.recorder

    def __hash__(self) -> int:
        return hash(CallbackHandler)

    def on_chain_start(
        self,
        serialized: Mapping[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: _Metadata = None,
        name: str | None = None,
        run_type: str | None = None,
        defers_inputs: bool = False,
        **kwargs: Any,
    ) -> None:
        """A chain, parser, prompt, lambda or graph starts. With ``defers_inputs`` they come with its end."""
        try:
            called = name or _name(serialized, metadata, "chain")
            self.recorder.start(
                run_id,
                parent_run_id,
                called,
                _PARSER if run_type == "parser" else _chain_type(called, metadata) if metadata else _CHAIN,
                inputs,
                {_METADATA: metadata, _TAGS: tags} if metadata else {_TAGS: tags} if tags else {},
                metadata,
                defers_inputs,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_chain_start", error)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A chain returned."""
        try:
            if "inputs" in kwargs:
                self.recorder.end(run_id, outputs, inputs=kwargs["inputs"], deferred=True)
            else:
                self.recorder.end(run_id, outputs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_chain_end", error)

    @guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A chain raised, was interrupted, cancelled or abandoned."""
        self.recorder.fail(run_id, error, ending(error), inputs=kwargs.get("inputs"), deferred="inputs" in kwargs)

    def on_chat_model_start(
        self,
        serialized: Mapping[str, Any] | None,
        messages: Sequence[Sequence[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: _Metadata = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A chat model is asked."""
        try:
            called = name or _name(serialized, metadata, "chat model")
            asked = _chat_inputs(messages)
            params = kwargs.get("invocation_params")
            self._start_model(_CHAT_MODEL, called, asked, run_id, parent_run_id, tags, metadata, params)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_chat_model_start", error)

    @guarded
    def on_llm_start(
        self,
        serialized: Mapping[str, Any] | None,
        prompts: Sequence[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: _Metadata = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A text model is asked."""
        self._start_model(
            _LLM,
            name or _name(serialized, metadata, "llm"),
            prompts,
            run_id,
            parent_run_id,
            tags,
            metadata,
            kwargs.get("invocation_params"),
        )

    def _start_model(  # noqa: PLR0917 - by position: a hot call
        self,
        kind: str,
        name: str,
        inputs: object,
        run_id: UUID,
        parent_run_id: UUID | None,
        tags: Sequence[str] | None,
        metadata: _Metadata,
        invocation_params: object,
    ) -> None:
        is_known = type(invocation_params) is dict or isinstance(invocation_params, Mapping)
        params: Mapping[str, Any] = invocation_params if is_known else _NO_PARAMS  # type: ignore[assignment]
        known = metadata or _NO_PARAMS
        attributes = _labels(tags, metadata)
        attributes[_MESSAGE_FORMAT] = messages.MESSAGE_FORMAT
        asked = usage.model_asked_for(known, params)
        if asked:
            attributes[_MODEL] = attributes[_REQUEST_MODEL] = asked
        provider = usage.provider(known, params)
        if provider:
            attributes[_PROVIDER] = provider
        if params:
            self._add_params(params, attributes)
        self.recorder.start(run_id, parent_run_id, name, kind, inputs, attributes, metadata)

    def _add_params(self, params: Mapping[str, Any], attributes: dict[str, object]) -> None:
        """Model parameters, and the tools in the form of MLflow's pages. Tools and schemas are content."""
        if not self.recorder.settings.capture_content:
            attributes[_INVOCATION_PARAMS] = {key: v for key, v in params.items() if isinstance(v, _PLAIN)}
            return
        offered = params.get("tools") or params.get("functions") or params.get("toolConfig")
        if not offered:
            attributes[_INVOCATION_PARAMS] = params
            return
        attributes[_INVOCATION_PARAMS] = {key: value for key, value in params.items() if key not in _TOOL_PARAMS}
        attributes[Attr.CHAT_TOOLS] = messages.tools(offered)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A model streamed a chunk: text, or a list of content blocks."""
        try:
            self.recorder.token(run_id, token if isinstance(token, str) else _block_text(token))
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_llm_new_token", error)

    @guarded
    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A model streamed a protocol event (``stream_events(version="v3")``); those with content are chunks."""
        if isinstance(event, Mapping) and event.get("event") == "content-block-delta":
            delta = event.get("delta") or event.get("content_block")
            self.recorder.token(run_id, _block_text([delta]))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """A model answered."""
        try:
            recorder = self.recorder
            run = recorder.get(run_id)
            if run is not None:
                answered = messages.answer(response)
                attributes = _answer_attributes(run, response, answered)
                recorder.end(run_id, answered, attributes=attributes, ours=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_llm_end", error)

    @guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A model failed, or its stream was closed; what it had said until then is kept."""
        run = self.recorder.get(run_id)
        if run is None:
            return
        response = kwargs.get("response")
        partial = response if isinstance(response, LLMResult) and any(response.generations) else None
        answered = None if partial is None else messages.answer(partial)
        attributes = _answer_attributes(run, partial, answered)
        self.recorder.fail(run_id, error, ending(error), answered, attributes=attributes)

    @guarded
    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: _Metadata = None,
        inputs: Mapping[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool is called. Its inputs are a dict; LangChain gives only their text for tools that take one string."""
        attributes = _labels(tags, metadata)
        if tool_call_id:
            attributes[Attr.TOOL_CALL_ID] = tool_call_id
        self.recorder.start(
            run_id,
            parent_run_id,
            name=name or _name(serialized, metadata, "tool"),
            kind=_TOOL,
            inputs={"input": input_str} if inputs is None else inputs,
            metadata=metadata,
            attributes=attributes,
        )

    @guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool returned; a ``ToolMessage`` may say that it failed and the failure was handled."""
        failed = isinstance(output, ToolMessage) and output.status == "error"
        self.recorder.end(
            run_id,
            output,
            ending=Ending(Status.ERROR.value, None, _tool_error(output)) if failed else RETURNED,
        )

    @guarded
    def on_retriever_start(
        self,
        serialized: Mapping[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: _Metadata = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever is asked."""
        self.recorder.start(
            run_id,
            parent_run_id,
            name=name or _name(serialized, metadata, "retriever"),
            kind=_RETRIEVER,
            inputs=query,
            metadata=metadata,
            attributes=_labels(tags, metadata),
        )

    @guarded
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        """A retriever found documents."""
        found = [document(one) if isinstance(one, Document) else one for one in documents]
        self.recorder.end(run_id, found)

    # A tool or a retriever that raises is told the same way as a chain.
    on_tool_error = on_chain_error
    on_retriever_error = on_chain_error

    @guarded
    def on_agent_action(self, action: AgentAction, *, run_id: UUID, **kwargs: Any) -> None:
        """An agent of the older kind chose a tool."""
        chosen: dict[str, object] = {"tool": action.tool, "tool_input": action.tool_input, "log": action.log}
        self.recorder.event(run_id, "agent_action", chosen)

    @guarded
    def on_agent_finish(self, finish: AgentFinish, *, run_id: UUID, **kwargs: Any) -> None:
        """An agent of the older kind is done."""
        self.recorder.event(run_id, "agent_finish", {"return_values": finish.return_values, "log": finish.log})

    @guarded
    def on_retry(self, retry_state: RetryCallState, *, run_id: UUID, **kwargs: Any) -> None:
        """A run is tried again."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None and outcome.failed else None
        facts: dict[str, object] = {"attempt": retry_state.attempt_number, "slept": retry_state.idle_for}
        if error is not None:
            facts["exception"] = error_text(error)
        self.recorder.event(run_id, "retry", facts)

    @guarded
    def on_text(self, text: str, *, run_id: UUID, **kwargs: Any) -> None:
        """A chain says something."""
        self.recorder.event(run_id, "text", {"text": text})

    @guarded
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The program dispatched an event of its own."""
        self.recorder.event(run_id, name, {"data": data})


def _name(serialized: Mapping[str, Any] | None, metadata: _Metadata, default: str) -> str:
    """The name of a run that was given none. LangGraph's asynchronous ``Send`` names its node in the metadata."""
    known = serialized or _NO_PARAMS
    path = known.get("id")
    last = path[-1] if isinstance(path, list | tuple) and path else None
    return str(known.get("name") or last or (metadata or _NO_PARAMS).get("langgraph_node") or default)


def _chain_type(name: str, metadata: Mapping[str, Any]) -> str:
    if metadata.get("ls_integration") == _AGENT_INTEGRATION and name == metadata.get("lc_agent_name", "LangGraph"):
        return _AGENT
    return _CHAIN


def _labels(tags: Sequence[str] | None, metadata: _Metadata) -> dict[str, object]:
    labels: dict[str, object] = {}
    if metadata:
        labels[_METADATA] = metadata
    if tags:
        labels[_TAGS] = tags
    return labels


def _chat_inputs(batches: Sequence[Sequence[BaseMessage]]) -> object:
    try:
        return messages.chat_inputs(batches)
    except Exception:  # noqa: BLE001 - a message of the user's own class; the encoder takes anything
        return batches


def _answer_attributes(run: Run, response: LLMResult | None, answered: Mapping[str, Any] | None) -> dict[str, object]:
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


def _block_text(blocks: object) -> str:
    if not isinstance(blocks, Sequence):
        return ""
    return "".join(str(block.get("text") or "") if isinstance(block, Mapping) else str(block) for block in blocks)


def _tool_error(output: ToolMessage) -> str:
    return output.content if isinstance(output.content, str) else str(output.content)
