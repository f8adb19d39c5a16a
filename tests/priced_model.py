"""A model whose calls cost something. It needs no test package, and so runs in any environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

USAGE: Final = UsageMetadata(
    input_tokens=1_000, output_tokens=2_000, total_tokens=3_000, input_token_details={"cache_read": 400}
)


class Model(BaseChatModel):
    """A model of a provider, as its integration names them to LangChain."""

    provider: str = "openai"
    requested: str = "gpt-4o-mini"
    answered: str = "gpt-4o-mini-2024-07-18"

    @property
    def _llm_type(self) -> str:
        return "model"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(ls_provider=self.provider, ls_model_name=self.requested, ls_model_type="chat")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        names = {"model_name": self.answered}
        message = AIMessage("Yes.", usage_metadata=USAGE, response_metadata=names)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="Yes"))
        yield ChatGenerationChunk(
            message=AIMessageChunk(content=".", usage_metadata=USAGE, response_metadata={"model_name": self.answered})
        )
