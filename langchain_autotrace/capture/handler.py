"""LangChain's callbacks, each turned into one call of the recorder."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import LLMResult

from langchain_autotrace.capture import messages, usage
from langchain_autotrace.capture.encode import document
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.capture.runs import Run
from langchain_autotrace.capture.status import RETURNED, Ending, ending, error_text
from langchain_autotrace.span import Attr, SpanType, Status

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.agents import AgentAction, AgentFinish
    from tenacity import RetryCallState

_P = ParamSpec("_P")
_Metadata = Mapping[str, Any] | None

_logger: Final = logging.getLogger("langchain_autotrace")

_AGENT_INTEGRATION: Final = "langchain_create_agent"
"""What langchain's ``create_agent`` writes into ``metadata["ls_integration"]``."""
# Looking up a member of an enumeration costs as much as a function call in Python 3.11.
_CHAIN: Final = SpanType.CHAIN.value
_AGENT: Final = SpanType.AGENT.value
_PARSER: Final = SpanType.PARSER.value
_PLAIN: Final = (str, int, float, bool)
_NO_PARAMS: Final[Mapping[str, Any]] = {}


class InternalErrors:
    """Errors of our own in callbacks: counted, said once each, never raised into the program.

    With ``LANGCHAIN_AUTOTRACE_STRICT`` set, as in this package's tests, they are raised.
    """

    def __init__(self) -> None:
        self.count = 0
        self._said: set[str] = set()

    def note(self, where: str, error: Exception) -> None:
        """Count an error, and log it unless the same was logged before."""
        self.count += 1
        text = f"{where}: {error_text(error)}"
        if text not in self._said and len(self._said) < 100:  # noqa: PLR2004
            self._said.add(text)
            _logger.warning("a trace may be incomplete, please report: %s", text, exc_info=error)


internal_errors: Final = InternalErrors()


def _guarded(callback: Callable[_P, None]) -> Callable[_P, None]:
    @functools.wraps(callback)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception as error:
            internal_errors.note(callback.__name__, error)
            if os.environ.get("LANGCHAIN_AUTOTRACE_STRICT"):
                raise

    return guarded


class CallbackHandler(BaseCallbackHandler):
    """All callbacks of LangChain, synchronous and inline, so that none costs a thread and none comes late."""

    run_inline = True

    recorder: Recorder
    """Where the events go."""

    @_guarded
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
        called = _name(name, serialized, metadata, "chain")
        self.recorder.start(
            run_id,
            parent_run_id,
            name=called,
            kind=_chain_type(run_type, called, metadata),
            inputs=inputs,
            deferred=defers_inputs,
            metadata=metadata,
            attributes=_labels(tags, metadata),
        )

    @_guarded
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A chain returned."""
        self.recorder.end(run_id, outputs, inputs=kwargs.get("inputs"), deferred="inputs" in kwargs)

    @_guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A chain raised, was interrupted, cancelled or abandoned."""
        self.recorder.fail(run_id, error, ending(error), inputs=kwargs.get("inputs"), deferred="inputs" in kwargs)

    @_guarded
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
        self._start_model(
            SpanType.CHAT_MODEL,
            _name(name, serialized, metadata, "chat model"),
            _chat_inputs(messages),
            run_id,
            parent_run_id,
            tags,
            metadata,
            kwargs.get("invocation_params"),
        )

    @_guarded
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
            SpanType.LLM,
            _name(name, serialized, metadata, "llm"),
            prompts,
            run_id,
            parent_run_id,
            tags,
            metadata,
            kwargs.get("invocation_params"),
        )

    def _start_model(
        self,
        kind: SpanType,
        name: str,
        inputs: object,
        run_id: UUID,
        parent_run_id: UUID | None,
        tags: Sequence[str] | None,
        metadata: _Metadata,
        invocation_params: object,
    ) -> None:
        params = invocation_params if isinstance(invocation_params, Mapping) else _NO_PARAMS
        known = metadata or _NO_PARAMS
        attributes = _labels(tags, metadata)
        attributes[Attr.MESSAGE_FORMAT] = messages.MESSAGE_FORMAT
        asked = usage.model_asked_for(known, params)
        if asked:
            attributes[Attr.MODEL] = attributes[Attr.REQUEST_MODEL] = asked
        provider = usage.provider(known, params)
        if provider:
            attributes[Attr.PROVIDER] = provider
        if params:
            self._add_params(params, attributes)
        self.recorder.start(
            run_id, parent_run_id, name=name, kind=kind, inputs=inputs, attributes=attributes, metadata=metadata
        )

    def _add_params(self, params: Mapping[str, Any], attributes: dict[str, object]) -> None:
        """Model parameters, and the tools in the form of MLflow's pages. Tools and schemas are content."""
        if not self.recorder.settings.capture_content:
            attributes[Attr.INVOCATION_PARAMS] = {key: v for key, v in params.items() if isinstance(v, _PLAIN)}
            return
        offered = params.get("tools") or params.get("functions")
        if not offered:
            attributes[Attr.INVOCATION_PARAMS] = params
            return
        attributes[Attr.INVOCATION_PARAMS] = {k: v for k, v in params.items() if k not in {"tools", "functions"}}
        attributes[Attr.CHAT_TOOLS] = messages.tools(offered)

    @_guarded
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A model streamed a chunk: text, or a list of content blocks."""
        self.recorder.token(run_id, token if isinstance(token, str) else _block_text(token))

    @_guarded
    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A model streamed a protocol event (``stream_events(version="v3")``); those with content are chunks."""
        if isinstance(event, Mapping) and event.get("event") == "content-block-delta":
            delta = event.get("delta") or event.get("content_block")
            self.recorder.token(run_id, _block_text([delta]))

    @_guarded
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """A model answered."""
        run = self.recorder.get(run_id)
        if run is not None:
            self.recorder.end(run_id, messages.answer(response), attributes=_answer_attributes(run, response))

    @_guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A model failed, or its stream was closed; what it had said until then is kept."""
        run = self.recorder.get(run_id)
        if run is None:
            return
        response = kwargs.get("response")
        partial = response if isinstance(response, LLMResult) and any(response.generations) else None
        self.recorder.fail(
            run_id,
            error,
            ending(error),
            None if partial is None else messages.answer(partial),
            attributes=_answer_attributes(run, partial),
        )

    @_guarded
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
            name=_name(name, serialized, metadata, "tool"),
            kind=SpanType.TOOL,
            inputs={"input": input_str} if inputs is None else inputs,
            metadata=metadata,
            attributes=attributes,
        )

    @_guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool returned; a ``ToolMessage`` may say that it failed and the failure was handled."""
        failed = isinstance(output, ToolMessage) and output.status == "error"
        self.recorder.end(
            run_id,
            output,
            ending=Ending(Status.ERROR, None, _tool_error(output)) if failed else RETURNED,
        )

    @_guarded
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
            name=_name(name, serialized, metadata, "retriever"),
            kind=SpanType.RETRIEVER,
            inputs=query,
            metadata=metadata,
            attributes=_labels(tags, metadata),
        )

    @_guarded
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        """A retriever found documents."""
        found = [document(one) if isinstance(one, Document) else one for one in documents]
        self.recorder.end(run_id, found)

    # A tool or a retriever that raises is told the same way as a chain.
    on_tool_error = on_chain_error
    on_retriever_error = on_chain_error

    @_guarded
    def on_agent_action(self, action: AgentAction, *, run_id: UUID, **kwargs: Any) -> None:
        """An agent of the older kind chose a tool."""
        chosen = {"tool": action.tool, "tool_input": action.tool_input, "log": action.log}
        self.recorder.event(run_id, "agent_action", chosen)

    @_guarded
    def on_agent_finish(self, finish: AgentFinish, *, run_id: UUID, **kwargs: Any) -> None:
        """An agent of the older kind is done."""
        self.recorder.event(run_id, "agent_finish", {"return_values": finish.return_values, "log": finish.log})

    @_guarded
    def on_retry(self, retry_state: RetryCallState, *, run_id: UUID, **kwargs: Any) -> None:
        """A run is tried again."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None and outcome.failed else None
        failed = {"exception": error_text(error)} if error is not None else {}
        facts = {"attempt": retry_state.attempt_number, "slept": retry_state.idle_for}
        self.recorder.event(run_id, "retry", {**facts, **failed})

    @_guarded
    def on_text(self, text: str, *, run_id: UUID, **kwargs: Any) -> None:
        """A chain says something."""
        self.recorder.event(run_id, "text", {"text": text})

    @_guarded
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The program dispatched an event of its own."""
        self.recorder.event(run_id, name, {"data": data})


def _name(name: str | None, serialized: Mapping[str, Any] | None, metadata: _Metadata, default: str) -> str:
    """A run's name; LangGraph's asynchronous ``Send`` gives none, but names the node in the metadata."""
    if name:
        return name
    known = serialized or _NO_PARAMS
    path = known.get("id")
    last = path[-1] if isinstance(path, list | tuple) and path else None
    return str(known.get("name") or last or (metadata or _NO_PARAMS).get("langgraph_node") or default)


def _chain_type(run_type: str | None, name: str, metadata: _Metadata) -> str:
    if run_type == "parser":
        return _PARSER
    if metadata and metadata.get("ls_integration") == _AGENT_INTEGRATION:
        return _AGENT if name == metadata.get("lc_agent_name", "LangGraph") else _CHAIN
    return _AGENT if name == "AgentExecutor" else _CHAIN


def _labels(tags: Sequence[str] | None, metadata: _Metadata) -> dict[str, object]:
    labels: dict[str, object] = {}
    if metadata:
        labels[Attr.METADATA] = metadata
    if tags:
        labels[Attr.TAGS] = tags
    return labels


def _chat_inputs(batches: Sequence[Sequence[BaseMessage]]) -> object:
    try:
        return messages.chat_inputs(batches)
    except Exception:  # noqa: BLE001 - a message of the user's own class; the encoder takes anything
        return batches


def _answer_attributes(run: Run, response: LLMResult | None) -> dict[str, object]:
    own: dict[str, object] = {}
    if run.chunks:
        own[Attr.CHUNK_COUNT] = run.chunks
        own[Attr.TIME_TO_FIRST_TOKEN] = (run.first_chunk_ns - run.started_ns) / 1e9
    if response is None:
        return own
    spent = usage.usage(response)
    if spent.counts:
        own[Attr.TOKEN_USAGE] = spent.counts
    if spent.reasoning:
        own[Attr.REASONING_TOKENS] = spent.reasoning
    if spent.details:
        own[Attr.USAGE_METADATA] = spent.details
    if spent.cached:
        own[Attr.CACHE_HIT] = True
    model = usage.model_that_answered(response)
    if model:
        own[Attr.MODEL] = model
    reasons = [messages.finish_reason(one) for batch in response.generations for one in batch]
    if any(reasons):
        own[Attr.FINISH_REASONS] = reasons
    return own


def _block_text(blocks: object) -> str:
    if not isinstance(blocks, Sequence):
        return ""
    return "".join(str(block.get("text") or "") if isinstance(block, Mapping) else str(block) for block in blocks)


def _tool_error(output: ToolMessage) -> str:
    return output.content if isinstance(output.content, str) else str(output.content)
