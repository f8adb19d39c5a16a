from collections.abc import Callable
from mmap import mmap
from typing import Self
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import ChatPromptValue

def keeper(
    message_classes: tuple[type[BaseMessage], ...],
    other_classes: tuple[type[BaseMessage], ...],
    other_fields: tuple[str, ...],
    prompt_class: type[ChatPromptValue],
    text_class: type[str],
    uuid_class: type[UUID],
    hints: tuple[str, ...],
    is_secret: Callable[[bytes], bool],
    limit: int,
    /,
) -> Callable[[tuple[object, ...], Callable[[bytes], object]], bytes | bool | None]: ...
def chat_former(
    roles: dict[type, str], more: tuple[str, ...], otherwise: Callable[[object], object], /
) -> Callable[[object], object]: ...

class MapWriter:
    def __new__(cls, target: mmap, /) -> Self: ...
    def put(self, line: bytes, /) -> None: ...
    def seal(self) -> None: ...
    def unseal(self, used: int, /) -> None: ...
    def release(self) -> None: ...
