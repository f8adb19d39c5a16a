from collections.abc import Callable
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import ChatPromptValue

def maker(
    message_classes: tuple[type[BaseMessage], ...],
    prompt_class: type[ChatPromptValue],
    text_class: type[str],
    uuid_class: type[UUID],
    hints: tuple[str, ...],
    is_secret: Callable[[bytes], bool],
    limit: int,
    /,
) -> Callable[[tuple[object, ...]], bytes | None]: ...
