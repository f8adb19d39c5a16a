"""Converts objects of classes that declare no fields: ordinary classes, images, tensors, buffers."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from types import MemberDescriptorType
from typing import Any, Final

from langchain_autotrace.capture.describe import STOPPED, class_name, described

CLASS: Final = "__class__"
"""Key of an object's class among its fields."""

_MAX_FIELDS: Final = 100
_MAX_ITEMS: Final = 1_000
"""Items of a container in a field that are looked at for objects."""
_MAX_LEVELS: Final = 4
"""How many levels of objects within objects are shown with their fields."""
_MAX_DEPTH: Final = 20
"""How many levels of containers and objects are read; what is deeper is left out."""
_MAX_OBJECTS: Final = 200
_MAX_NUMBERS: Final = 1_000
_INFRASTRUCTURE: Final = (
    *("langchain", "langgraph", "langsmith", "deepagents", "mlflow", "opentelemetry", "pydantic", "openai"),
    *("anthropic", "google", "boto", "httpx", "httpcore", "requests", "urllib3", "aiohttp", "grpc", "sqlalchemy"),
    *("psycopg", "asyncpg", "redis", "pymongo", "tiktoken", "tokenizers", "transformers"),
)
"""Beginnings of the names of packages whose objects are no data: clients, stores, pools, settings."""


class ObjectReader:
    """Converts objects of one ordinary class to ``{"__class__": its name, public field: value, …}``.

    A public field is in the object's ``__dict__`` or in a slot, its name begins with no underscore, and it cannot be
    called. Properties are not run. Objects in fields are shown in the same way, four levels deep; what contains itself
    is named where it comes again. An object without public fields becomes its ``repr``.
    """

    __slots__ = ("_converter_of", "_slots")

    def __init__(self, kind: type, converter_of: Callable[[type], Callable[[Any], object]]) -> None:
        """Read objects of a class.

        Args:
            kind: the class.
            converter_of: returns the converter of another class.
        """
        self._converter_of = converter_of
        self._slots = _slots(kind)

    def __call__(self, value: object) -> object:
        """Return the public fields of an object."""
        return _Expansion(self._converter_of).fields(self, value, 0)

    def read(self, value: object) -> dict[str, Any]:
        """Return the public fields of an object as they are."""
        try:
            held = object.__getattribute__(value, "__dict__").copy()  # one step: another thread may write to it
        except AttributeError:
            held = {}
        for name, read in self._slots.items():
            try:
                held.setdefault(name, read(value))
            except AttributeError:  # it was never set
                continue
        public = ((name, field) for name, field in held.items() if type(name) is str and name[:1] != "_")
        return dict(islice(((name, field) for name, field in public if not callable(field)), _MAX_FIELDS))


class _Expansion:
    """Converts one object and those in its fields, counting them."""

    __slots__ = ("_converter_of", "_left", "_path")

    def __init__(self, converter_of: Callable[[type], Callable[[Any], object]]) -> None:
        self._converter_of = converter_of
        self._left = _MAX_OBJECTS
        self._path: list[object] = []

    def fields(self, reader: ObjectReader, value: object, level: int) -> object:
        """Return an object's class and public fields; its name alone, where it is too deep or one of too many."""
        self._left -= 1
        if level >= _MAX_LEVELS or self._left < 0:
            return f"<{class_name(value)}>"
        held = reader.read(value)
        if not held:
            return described(value)
        self._path.append(value)
        shown = {name: self._any(field, level + 1) for name, field in held.items()}
        self._path.pop()
        return {CLASS: class_name(value), **shown}

    def _any(self, value: Any, level: int) -> object:  # noqa: ANN401 - any value
        """Return a value with its ordinary objects replaced by their fields; other objects are left as they are."""
        kind = type(value)
        reader = None if kind in _CONTAINERS else self._converter_of(kind)
        if reader is not None and not isinstance(reader, ObjectReader):
            return value
        if any(value is above for above in self._path):
            return f"<{class_name(value)}: contains itself>"
        if reader is not None:
            return self.fields(reader, value, level)
        if len(self._path) > _MAX_DEPTH or len(value) > _MAX_ITEMS:
            return value
        self._path.append(value)
        made = (
            {name: self._any(item, level) for name, item in value.copy().items()}
            if kind is dict
            else [self._any(item, level) for item in [*value]]
        )
        self._path.pop()
        return made


_CONTAINERS: Final = frozenset({dict, list, tuple})


def reads_fields(kind: type) -> bool:
    """Return whether objects of a class are shown by their public fields.

    They are where the class has no ``__repr__`` of its own: ``<Order object at 0x7f…>`` says nothing. One that a person
    wrote is kept, for it may say more, or hide something on purpose. Objects of Python's own library and of clients
    and frameworks are no data.
    """
    if type.__getattribute__(kind, "__repr__") is not object.__repr__:
        return False
    package = str(type.__dict__["__dict__"].__get__(kind).get("__module__")).partition(".")[0]
    return package not in _NO_DATA and not package.startswith(_INFRASTRUCTURE)


_NO_DATA: Final = sys.stdlib_module_names | {"builtins"}


def _slots(kind: type) -> dict[str, Callable[[object], object]]:
    """Return what reads each slot of a class by name, those of the classes that it extends included."""
    found: dict[str, Callable[[object], object]] = {}
    for base in type.__dict__["__mro__"].__get__(kind):
        held: Mapping[str, Any] = type.__dict__["__dict__"].__get__(base)
        for name, one in held.items():
            if type(one) is MemberDescriptorType:
                found.setdefault(name, one.__get__)
    return found


def from_buffer(value: io.BytesIO) -> str:
    """Return the class and size of a file in memory."""
    return f"<{class_name(value)}: {'closed' if value.closed else f'{value.getbuffer().nbytes} bytes'}>"


def from_image(value: Any) -> str:  # noqa: ANN401 - PIL is not imported
    """Return the class, format, size and mode of an image of PIL: ``PngImageFile PNG 640x480 RGB``."""
    try:
        width, height = value.size
        form = f"{value.format} " if value.format else ""
        return f"{type(value).__name__} {form}{width}x{height} {value.mode}"
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - another object of PIL's
        return described(value)


def from_tensor(value: Any) -> object:  # noqa: ANN401 - torch is not imported
    """Return a small tensor of torch as lists, a large one or one on a GPU as its shape, dtype and device."""
    if not (hasattr(value, "numel") and hasattr(value, "tolist")):
        return described(value)
    device = str(value.device)
    if device == "cpu" and value.numel() <= _MAX_NUMBERS:
        return value.tolist()
    return {"shape": [*map(int, value.shape)], "dtype": str(value.dtype), "device": device}
