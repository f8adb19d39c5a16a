"""Values without objects, which orjson can write without calling back.

Objects are replaced by plain values *before* orjson sees them. Its ``default`` hook would do both in one pass, but
Python code that runs within orjson lets other threads run, and when one of these changes a list or dict that orjson is
in the midst of, the process dies of a segmentation fault.
"""

from __future__ import annotations

from typing import Any, Final

from langchain_core.prompt_values import ChatPromptValue

from langchain_autotrace.capture.atoms import ATOMS, CONTAINERS, is_plain
from langchain_autotrace.capture.convert import PLAIN_MESSAGES, Converter, converter_of, document, key_text, message

_MAX_DEPTH: Final = 100
_MAX_SETTLED: Final = 200_000


def plain(value: object) -> object:
    """``value`` as orjson can write it without calling back: itself, where it holds no objects.

    Raises:
        BaseException: whatever the objects raise; ``RecursionError`` when it is too much to be written whole, and
            ``TypeError`` when objects are left.
    """
    kind = type(value)
    # The commonest first: a dict of texts, a text, a message, a prompt's messages.
    if kind is dict:
        pass
    elif kind in ATOMS:
        return value
    elif isinstance(value, str):  # a parser's text is of a class of LangChain's own
        return str.__str__(value)
    elif kind in PLAIN_MESSAGES:
        value = message(value)  # type: ignore[arg-type]
    elif kind is ChatPromptValue:
        value = {"messages": [message(one) for one in value.messages]}  # type: ignore[attr-defined]
    if is_plain(value):
        return value
    made = settled(value)
    if not is_plain(made):
        made = settled(value, deep=True)
        if not is_plain(made):
            raise TypeError
    return made


def settled(value: object, *, deep: bool = False) -> object:
    """``value`` with each object in it replaced by what it holds, so that orjson need not call back.

    Args:
        value: any value; it is not changed.
        deep: whether to look for objects within messages and documents too. They hold plain values nearly always.

    Raises:
        BaseException: whatever the objects raise; ``RecursionError`` when they are nested too deep or too many.
    """
    return value if type(value) in ATOMS else _Settling(deep=deep).settle(value, 0)


class _Settling:
    def __init__(self, *, deep: bool) -> None:
        self._flat: tuple[Converter, ...] = () if deep else (message, document)
        self._known: dict[int, tuple[object, object]] = {}
        """What was made of each container, by its id; with the container, whose id would be given away else."""

    def settle(self, value: Any, depth: int) -> object:  # noqa: ANN401 - any value
        kind = type(value)
        if kind not in CONTAINERS:
            converter = converter_of(kind)
            form = converter(value)
            if type(form) in ATOMS or converter in self._flat:
                return form
            return self.settle(form, depth + 1)
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        if depth > _MAX_DEPTH or len(self._known) > _MAX_SETTLED:
            raise RecursionError
        if kind is dict:
            made: dict[object, object] = {}
            self._known[id(value)] = value, made
            for key, item in value.copy().items():  # a copy: other threads may write to it
                name = key if type(key) is str else key_text(key)
                made[name] = item if type(item) in ATOMS else self.settle(item, depth + 1)
            return made
        if ATOMS.issuperset(map(type, value)):
            return value
        items: list[object] = []
        self._known[id(value)] = value, items
        for item in value:
            items.append(item if type(item) in ATOMS else self.settle(item, depth + 1))  # noqa: PERF401 - see _known
        return items
