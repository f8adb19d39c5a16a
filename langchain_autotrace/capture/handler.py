"""LangChain's callbacks: each writes down what LangChain said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler

from langchain_autotrace.capture.calls import asked
from langchain_autotrace.capture.exceptions import error_facts, error_text
from langchain_autotrace.capture.guard import guarded, internal_errors
from langchain_autotrace.capture.recorder import Recorder
from langchain_autotrace.capture.runs import Run, RunHolder, close, find, key_of
from langchain_autotrace.semconv import PAUSE, STREAM_CLOSED, Kind

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.agents import AgentAction, AgentFinish
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult
    from tenacity import RetryCallState

Serialized = Mapping[str, Any] | None


class CallbackHandler(RunHolder, BaseCallbackHandler):
    """All callbacks of LangChain, synchronous and inline, so that none costs a thread and none comes late.

    LangChain hands a root run's handlers on to all runs below it. Each root gets a handler of its own: so runs of one
    run id, at the same time, are told apart.

    Attributes:
        recorder: writes the events.
        runs: the open runs of this handler.
    """

    run_inline = True

    # LangChain asks before every event; a constant answers faster than the base's property.
    ignore_llm = False
    ignore_retry = False
    ignore_chain = False
    ignore_agent = False
    ignore_retriever = False
    ignore_chat_model = False
    ignore_custom_event = False

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.runs = {}

    def __eq__(self, other: object) -> bool:
        """Return whether both record to the same place: LangChain adds only one of equal handlers to a run."""
        return isinstance(other, CallbackHandler) and self.recorder is other.recorder

    def __hash__(self) -> int:
        return hash(CallbackHandler)

    def on_chain_start(
        self,
        serialized: Serialized,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        run_type: str | None = None,
        defers_inputs: bool = False,
        **kwargs: Any,
    ) -> None:
        """Write that a chain, parser, prompt, lambda or graph starts. With ``defers_inputs`` they come with its end."""
        try:
            details = _details(serialized, name, metadata)
            if run_type is not None:
                details["run_type"] = run_type
            given = None if defers_inputs else (inputs,)
            self.recorder.start(self.runs, Kind.CHAIN, run_id, parent_run_id, name, tags, given, details)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_chain_start", error)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Write that a chain, tool or retriever returned."""
        try:
            run = close(self.runs, key_of(run_id))
            if run is None:
                return
            details: dict[str, Any] = {}
            if "inputs" in kwargs:
                details["inputs"] = (kwargs["inputs"],)
                if self._goes_on_below(run):  # a stream that its consumer has closed
                    run.note(is_incomplete=True)
                    details["streamed"] = self._streamed_below(run)
            run.recorder.end(run, (outputs,), details)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_chain_end", error)

    @guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Write that a chain, tool or retriever raised, was interrupted, cancelled or abandoned."""
        details = {"inputs": (kwargs["inputs"],)} if "inputs" in kwargs else {}
        self._fail(run_id, error, None, details)

    def on_chat_model_start(
        self,
        serialized: Serialized,
        messages: Sequence[Sequence[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write that a chat model is asked."""
        try:
            details = _details(serialized, name, metadata)
            details["params"] = kwargs.get("invocation_params")
            self.recorder.start(self.runs, Kind.CHAT_MODEL, run_id, parent_run_id, name, tags, (messages,), details)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_chat_model_start", error)

    @guarded
    def on_llm_start(
        self,
        serialized: Serialized,
        prompts: Sequence[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write that a text model is asked."""
        details = _details(serialized, name, metadata)
        details["params"] = kwargs.get("invocation_params")
        self.recorder.start(self.runs, Kind.LLM, run_id, parent_run_id, name, tags, (prompts,), details)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Remember a chunk that a model streamed: text, or a list of content blocks."""
        try:
            run = self.runs.get(key_of(run_id))
            if run is not None:
                run.add_chunk(token)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_llm_new_token", error)

    @guarded
    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Remember the content of a protocol event (``stream_events(version="v3")``) as a chunk."""
        run = self.runs.get(key_of(run_id))
        if run is not None and isinstance(event, Mapping) and event.get("event") == "content-block-delta":
            run.add_chunk([event.get("delta") or event.get("content_block")])

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Write that a model answered."""
        try:
            run = close(self.runs, key_of(run_id))
            if run is not None:
                run.recorder.end(run, (response,), {} if run.chunks is None else _chunks(run))
        except Exception as error:  # noqa: BLE001 - whatever it is, the program must not feel it
            internal_errors.note("on_llm_end", error)

    @guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Write that a model failed, or its stream was closed, with what it had said until then."""
        response = kwargs.get("response")
        self._fail(run_id, error, response if getattr(response, "generations", None) else None, {})

    @guarded
    def on_tool_start(
        self,
        serialized: Serialized,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write that a tool is called. Its inputs are a dict; the text, of tools that take one string."""
        details = _details(serialized, name, metadata)
        if tool_call_id is not None:
            details["tool_call_id"] = tool_call_id
        given = (input_str if inputs is None else inputs,)
        self.recorder.start(self.runs, Kind.TOOL, run_id, parent_run_id, name, tags, given, details)

    @guarded
    def on_retriever_start(
        self,
        serialized: Serialized,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write that a retriever is asked."""
        details = _details(serialized, name, metadata)
        self.recorder.start(self.runs, Kind.RETRIEVER, run_id, parent_run_id, name, tags, (query,), details)

    # A tool or a retriever that returns or raises says it in the same way as a chain.
    on_tool_end = on_chain_end  # type: ignore[assignment] # what LangChain gives first is named differently
    on_retriever_end = on_chain_end  # type: ignore[assignment]
    on_tool_error = on_chain_error
    on_retriever_error = on_chain_error

    @guarded
    def on_agent_action(self, action: AgentAction, *, run_id: UUID, **kwargs: Any) -> None:
        """Write that an agent of the older kind chose a tool."""
        chosen: dict[str, object] = {"tool": action.tool, "tool_input": action.tool_input, "log": action.log}
        self._event(run_id, "agent_action", chosen)

    @guarded
    def on_agent_finish(self, finish: AgentFinish, *, run_id: UUID, **kwargs: Any) -> None:
        """Write that an agent of the older kind is done."""
        self._event(run_id, "agent_finish", {"return_values": finish.return_values, "log": finish.log})

    @guarded
    def on_retry(self, retry_state: RetryCallState, *, run_id: UUID, **kwargs: Any) -> None:
        """Write that a run is tried again."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None and outcome.failed else None
        facts: dict[str, object] = {"attempt": retry_state.attempt_number, "slept": retry_state.idle_for}
        if error is not None:
            facts["exception"] = error_text(error)
        self._event(run_id, "retry", facts)

    @guarded
    def on_text(self, text: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Write what a chain says."""
        self._event(run_id, "text", {"text": text})

    @guarded
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Write an event that the program dispatched."""
        self._event(run_id, name, {"data": data})

    def _event(self, run_id: UUID, name: str, details: dict[str, Any]) -> None:
        run = find(self.runs, key_of(run_id))
        if run is not None:
            run.recorder.event(run, name, details)

    def _fail(self, run_id: UUID, error: BaseException, response: object, details: dict[str, Any]) -> None:
        run = close(self.runs, key_of(run_id))
        if run is None:
            return
        facts = error_facts(error)
        details["error"] = facts
        if run.chunks is not None:
            details |= _chunks(run)
            if STREAM_CLOSED in facts["classes"]:
                details["streamed"] = run.chunks
        if PAUSE in facts["classes"]:
            _mark_incomplete(run)
            details |= asked(error)
        run.recorder.end(run, None if response is None else (response,), details)

    def _goes_on_below(self, run: Run) -> bool:
        return any(other is not None and other.parent is run for other in list(self.runs.values()))

    def _streamed_below(self, run: Run) -> list[object]:
        """Return what the model below a run has streamed so far; that of the first, where there are several."""
        for other in list(self.runs.values()):
            if other is not None and other.chunks is not None and other.is_below(run):
                return [*other.chunks]
        return []


def _details(serialized: Serialized, name: str | None, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the start of any run says beside its inputs: its metadata, and its class where it has no name."""
    details: dict[str, Any] = {"metadata": metadata} if metadata else {}
    if name is None and serialized:
        path = serialized.get("id")
        details["class"] = serialized.get("name") or (path[-1] if isinstance(path, list | tuple) and path else None)
    return details


def _chunks(run: Run) -> dict[str, Any]:
    return {"chunks": len(run.chunks or ()), "first_chunk_ns": run.first_chunk_ns}


def _mark_incomplete(run: Run | None) -> None:
    """Note that a run was interrupted, and with it all that it is below."""
    while run is not None:
        run.note(is_incomplete=True)
        run = run.parent
