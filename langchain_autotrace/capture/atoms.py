"""The types that JSON has, and values of nothing else."""

from __future__ import annotations

from gc import get_referents
from typing import Any, Final
from uuid import UUID

import orjson

STOPPED: Final = (KeyboardInterrupt, SystemExit)
"""What passes: Ctrl-C, and the ``sys.exit()`` of a signal's handler. Swallowed, the program would not stop."""

ATOMS: Final = frozenset({str, int, float, bool, type(None), UUID, orjson.Fragment})
CONTAINERS: Final = frozenset({dict, list, tuple})
_PLAIN: Final = ATOMS | CONTAINERS
_MAX_LEVELS: Final = 200
_MAX_NODES: Final = 10_000_000
_MAX_CHARACTERS: Final = 256_000_000
_FEW: Final = 24
_MANY: Final = 100
_VERY_MANY: Final = 50_000


def is_plain(value: Any) -> bool:  # noqa: ANN401 - any value
    """Whether a value is of orjson's own types throughout.

    Raises:
        RecursionError: it is too much to be written whole: too deep, in itself, or vast. Sharing makes it vast: 60
            levels of ``[below, below]`` are 60 lists in memory, and 2 to the power of 60 in JSON.
    """
    if type(value) not in CONTAINERS:
        return type(value) in ATOMS
    found = [value]
    for one in found:
        if len(found) > _FEW or len(one) > _MANY:
            return _in_levels(value)
        for item in one.values() if type(one) is dict else one:
            kind = type(item)
            if kind not in ATOMS:
                if kind not in CONTAINERS:
                    return False
                found.append(item)
    return True


def _in_levels(value: Any) -> bool:  # noqa: ANN401 - a dict, list or tuple
    """The same for a larger value, level by level in C."""
    level, nodes, characters = [value], 0, 0
    for _ in range(_MAX_LEVELS):
        nodes += sum(map(len, level))
        if nodes > _MAX_NODES or (len(level) > _VERY_MANY and len(set(map(id, level))) * 4 < len(level)):
            break
        found = get_referents(*level)
        kinds = set(map(type, found))
        if not kinds <= _PLAIN:
            return False
        if len(found) > _MANY:  # a sample: 1,000 times the same megabyte
            step = len(found) // _MANY
            characters += step * sum([len(one) for one in found[::step] if type(one) is str])
        level = [one for one in found if type(one) in CONTAINERS] if kinds & CONTAINERS else []
        if characters > _MAX_CHARACTERS:
            break
        if not level:
            return True
    raise RecursionError
