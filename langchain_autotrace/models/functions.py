"""Names the functions and classes of a chain as they can be imported."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from typing import Any, Final

from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tools import BaseTool

from langchain_autotrace.models import revive

CALLABLES: Final = (
    *(type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType),
    functools.partial,
)
"""Types of values that are named instead of written."""
_LAMBDA: Final = "<lambda>"
_NOTHING: Final = revive.nothing().__code__


def importable(value: Any) -> str | None:
    """Return ``module:qualified.name`` of a class or function; None if importing that does not give this object."""
    if isinstance(value, types.MethodDescriptorType):
        return f"{value.__objclass__.__module__}:{value.__qualname__}"
    module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not module or not qualified or module == "__main__" or "<" in qualified:
        return None
    try:
        found: Any = importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    name = f"{module}:{qualified}"
    is_method_of_class = isinstance(value, types.MethodType) and isinstance(value.__self__, type)
    if found is value or (is_method_of_class and found == value):
        return name
    # LangChain passes on what is below its decorator; called with messages, the decorated function does the same.
    return name if name in revive.TRUSTED_FUNCTIONS and getattr(found, "__wrapped__", None) is value else None


def is_nothing(value: object) -> bool:
    """Return whether a function is ``lambda _: None``, which packages use as a step without a result."""
    if not isinstance(value, types.FunctionType) or value.__name__ != _LAMBDA:
        return False
    code = value.__code__
    return (
        code.co_code == _NOTHING.co_code
        and code.co_consts == _NOTHING.co_consts
        and (code.co_argcount, code.co_flags & 0x0C) == (1, 0)
        and not value.__defaults__
    )


def variable(value: object) -> str | None:
    """Return ``module:name`` of the variable of a module that holds a tool, or a decorated function; None if none does.

    ``@tool`` and ``@chain`` put such an object in the place of the function.
    """
    if not isinstance(value, BaseTool | RunnableLambda):
        return None
    for field in ("func", "coroutine", "afunc"):
        function = getattr(value, field, None)
        module = getattr(function, "__module__", None)
        if module and module != "__main__" and importable(function) is None:
            held = vars(sys.modules.get(module, types.ModuleType(module)))
            found = next((name for name, item in held.items() if item is value), None)
            return None if found is None else f"{module}:{found}"
    return None


def function_fields(value: object) -> dict[str, object] | None:
    """Return the arguments that a runnable of functions is built from; None for any other runnable."""
    if isinstance(value, RunnableLambda):
        return _fields(value, {"func": "func", "afunc": "afunc"})
    if type(value) is RunnableGenerator:
        return _fields(value, {"transform": "_transform", "atransform": "_atransform"})
    return None


def _fields(value: object, attributes: dict[str, str]) -> dict[str, object]:
    held = vars(value)
    found = {argument: held[name] for argument, name in attributes.items() if name in held}
    first = next(iter(attributes))
    if first not in found:  # an asynchronous function alone is given as the first argument
        found = dict.fromkeys([first], next(iter(found.values()), None))
    name = held.get("name")
    return {**found, "name": name} if name and "<" not in name else found
