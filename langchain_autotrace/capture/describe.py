"""Short texts about values: the name of a class, a ``repr`` that cannot fail, the beginning of a text."""

from __future__ import annotations

from typing import Final

STOPPED: Final = (KeyboardInterrupt, SystemExit)
"""Exceptions that are always re-raised: Ctrl-C, and ``sys.exit()`` from a signal handler."""

_WORD: Final = "".join(chr(code) for code in range(33, 127) if chr(code) not in "\"',;&<>()[]{}")
"""Characters that a secret may consist of; any other character ends it."""
_MAX_REPR: Final = 10_000
_MAX_SECRET: Final = 512


def described(value: object) -> str:
    """Return the ``repr`` of an object, or a placeholder that names the exception if ``repr`` raised."""
    try:
        text = str.__str__(repr(value))
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's __repr__ raises anything
        return f"<{class_name(value)}: repr raised {class_name(error)}>"
    return text if len(text) <= _MAX_REPR else f"{beginning(text, _MAX_REPR)}… [cut, {len(text)} characters]"


def class_name(value: object) -> str:
    """Return the name of a value's class with its module, bypassing metaclasses that override either."""
    return name_of(type(value))


def name_of(kind: type) -> str:
    """Return the name of a class with its module, bypassing metaclasses that override either."""
    name: str = type.__dict__["__name__"].__get__(kind)
    module = type.__dict__["__dict__"].__get__(kind).get("__module__")
    return f"{module}.{name}" if isinstance(module, str) and module != "builtins" else name


def number_text(value: float) -> str:
    """Return "NaN", "Infinity" or "-Infinity": the names in JavaScript of numbers that JSON does not have."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - NaN alone differs


def digits(value: int) -> str:
    """Return an integer of any size as a string, in hexadecimal if it is too long for Python's decimal limit."""
    return str(value) if value.bit_length() < 10_000 else f"{value:#x}"  # noqa: PLR2004


def beginning(text: str, most: int) -> str:
    """Return at most the first ``most`` characters of a longer text, dropping a cut-off last word.

    Redaction comes after the cut and would not recognize half of a key. A word of over 512 characters is not a key
    (it may be an image in Base64) and is cut where the limit falls.
    """
    tail = text[max(most - _MAX_SECRET - 1, 0) : most]
    half = len(tail) - len(tail.rstrip(_WORD))
    return text[:most] if half > _MAX_SECRET else text[: most - half]
