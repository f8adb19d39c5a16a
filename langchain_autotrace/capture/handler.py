"""LangChain's callbacks, each turned into one call of the recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import LLMResult

from langchain_autotrace.capture import messages
from langchain_autotrace.capture.attributes import (
    Metadata,
    answer_attributes,
    chain_type,
    labels,
    model_attributes,
    run_name,
)
from langchain_autotrace.capture.convert import document
from langchain_autotrace.capture.guard import guarded, internal_errors
from langchain_autotrace.capture.messages import chat_inputs
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.capture.status import RETURNED, Ending, ending, error_text
from langchain_autotrace.span import Attr, SpanType, Status

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.agents import AgentAction, AgentFinish
    from tenacity import RetryCallState

# Looking up a member of an enumeration costs as much as a function call in Python 3.11, a name of a class half that.
_TAGS: Final = Attr.TAGS
_CHAIN: Final = SpanType.CHAIN.value
_PARSER: Final = SpanType.PARSER.value
_CHAT_MODEL: Final = SpanType.CHAT_MODEL.value
_LLM: Final = SpanType.LLM.value
_TOOL: Final = SpanType.TOOL.value
_RETRIEVER: Final = SpanType.RETRIEVER.value


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
        metadata: Metadata = None,
        name: str | None = None,
        run_type: str | None = None,
        defers_inputs: bool = False,
        **kwargs: Any,
    ) -> None:
        """A chain, parser, prompt, lambda or graph starts. With ``defers_inputs`` they come with its end."""
        try:
            called = name or run_name(serialized, metadata, "chain")
            self.recorder.start(
                run_id,
                parent_run_id,
                called,
                _PARSER if run_type == "parser" else chain_type(called, metadata) if metadata else _CHAIN,
                inputs,
                labels(tags, metadata) if metadata else {_TAGS: tags} if tags else {},
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
        metadata: Metadata = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A chat model is asked."""
        try:
            called = name or run_name(serialized, metadata, "chat model")
            recorder, params = self.recorder, kwargs.get("invocation_params")
            attributes = model_attributes(tags, metadata, params, content=recorder.settings.capture_content)
            asked = chat_inputs(messages)
            recorder.start(run_id, parent_run_id, called, _CHAT_MODEL, asked, attributes, metadata)
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
        metadata: Metadata = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A text model is asked."""
        recorder, params = self.recorder, kwargs.get("invocation_params")
        attributes = model_attributes(tags, metadata, params, content=recorder.settings.capture_content)
        called = name or run_name(serialized, metadata, "llm")
        recorder.start(run_id, parent_run_id, called, _LLM, prompts, attributes, metadata)

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
                attributes = answer_attributes(run, response, answered)
                recorder.end(run_id, answered, attributes=attributes)
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
        attributes = answer_attributes(run, partial, answered)
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
        metadata: Metadata = None,
        inputs: Mapping[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool is called. Its inputs are a dict; LangChain gives only their text for tools that take one string."""
        attributes = labels(tags, metadata)
        if tool_call_id:
            attributes[Attr.TOOL_CALL_ID] = tool_call_id
        self.recorder.start(
            run_id,
            parent_run_id,
            name=name or run_name(serialized, metadata, "tool"),
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
        metadata: Metadata = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever is asked."""
        self.recorder.start(
            run_id,
            parent_run_id,
            name=name or run_name(serialized, metadata, "retriever"),
            kind=_RETRIEVER,
            inputs=query,
            metadata=metadata,
            attributes=labels(tags, metadata),
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


def _block_text(blocks: object) -> str:
    if not isinstance(blocks, Sequence):
        return ""
    return "".join(str(block.get("text") or "") if isinstance(block, Mapping) else str(block) for block in blocks)


def _tool_error(output: ToolMessage) -> str:
    return output.content if isinstance(output.content, str) else str(output.content)
