"""Says why a part of a chain cannot be built again, and what to do about it."""

from __future__ import annotations

import functools
import types
from typing import Any, Final, NamedTuple

from langchain_autotrace.models.fingerprint import is_installed

_CODE_FILE: Final = "pass the file that builds the chain with autolog(model_code=...)"
CLEANED: Final = (
    "part of it looks like a secret and was left out; pass that part as an input, or leave a placeholder such as {key}"
)
NEEDED: Final = (
    "a required field is a secret and was left out; declare it as SecretStr with a default that reads an environment "
    "variable"
)
_VECTOR_STORE: Final = (
    f"the documents of a vector store are not part of a chain; {_CODE_FILE}, and open the store from where it is kept "
    "in that file"
)


class Problem(NamedTuple):
    """Why a part of a chain cannot be built again."""

    path: str
    """Path to the part, such as ``.first.func``; empty for the chain itself."""
    name: str
    """Its class or function."""
    reason: str
    """What stands in the way, and what to do about it."""

    def __str__(self) -> str:
        return f"{self.path.lstrip('.') or 'the chain itself'} ({self.name}): {self.reason}"


def reason_of(value: object) -> str:  # noqa: PLR0911 - a case each
    """Return why a value of a chain cannot be written as JSON, with a fix."""
    kind = type(value)
    if isinstance(value, functools.partial):
        return f"a partial of it cannot be written as JSON; define a function in a module instead, or {_CODE_FILE}"
    if isinstance(value, types.MethodType):
        return (
            "it is a method of an object; define a function in a module that creates the object and calls the method, "
            f"or {_CODE_FILE}"
        )
    if isinstance(value, type | types.FunctionType):
        return _not_importable(value)
    if any(base.__name__ in {"VectorStore", "VectorStoreRetriever"} for base in kind.__mro__):
        return _VECTOR_STORE
    if kind.__module__.startswith("langgraph."):
        return f"a graph cannot be written as JSON; {_CODE_FILE}"
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        return _not_importable(kind)
    if kind.__module__ == "builtins" or is_installed(kind):
        return f"its class cannot be written as JSON; {_CODE_FILE}"
    return f"its class cannot be written as JSON; make it a pydantic model of LangChain's Serializable, or {_CODE_FILE}"


def _not_importable(value: Any) -> str:
    name, module = str(value.__qualname__), str(value.__module__)
    is_package = isinstance(value, types.FunctionType) and is_installed(value)
    if is_package:
        return f"it cannot be imported: it is a function within {module}; {_CODE_FILE}"
    if name.endswith("<lambda>"):
        return f"it is a lambda, which cannot be imported; define a function in a module instead, or {_CODE_FILE}"
    if "<" in name:
        return f"it is defined inside a function; define it at the top level of a module, or {_CODE_FILE}"
    if module == "__main__":
        return f"it is defined in the program's own file (__main__); move it into a module, or {_CODE_FILE}"
    return f"it cannot be imported as {module}.{name}; give it that name in its module, or {_CODE_FILE}"
