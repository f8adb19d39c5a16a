"""Finds what redaction has changed in the JSON of a chain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def changed_paths(before: Any, after: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield the path of each part of a chain's tree that was changed, deepest first.

    Args:
        before: the tree.
        after: the tree after redaction.
        path: the path of ``before``, as in a problem: ``.first.template``.
    """
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        is_node = before.get("lc") == 1
        for key, item in before.items():
            yield from changed_paths(item, after[key], path if is_node and key == "kwargs" else f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, item in enumerate(before):
            yield from changed_paths(item, after[index], f"{path}[{index}]")
    elif before != after or type(before) is not type(after):
        yield path
