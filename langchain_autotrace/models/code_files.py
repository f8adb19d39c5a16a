"""Reads the files of code that ``model_code`` and ``code_paths`` name, as they are written into the journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from langchain_autotrace.placeholders import secret_lines

_NOT_COPIED: Final = ("__pycache__", ".")
"""Beginnings of the names of files and folders that are not copied."""
_MANY: Final = 3


def code_of(paths: Iterable[str]) -> list[list[str]] | None:
    """Return name, text, and why it is not used (empty if it is) of each file that may build a chain; None for none."""
    return [_code(Path(path)) for path in paths] or None


def copies_of(paths: Iterable[str], max_bytes: int, warn: Callable[[str], None]) -> list[list[str]]:
    """Return the relative path and text of each file below the given files and folders.

    Args:
        paths: absolute paths. A file keeps its name, the files of a folder their paths from the folder's parent.
        max_bytes: maximum size of all of them.
        warn: is called with a text about files that are not copied.
    """
    found: list[list[str]] = []
    size = 0
    for path, name in _files(paths):
        reason, text = _read(path)
        size += len(text)
        if reason is None and size > max_bytes:
            reason = f"code_paths are larger than max_value_bytes ({max_bytes} bytes)"
        if reason is None:
            found.append([name, text])
        else:
            warn(f"{name} of code_paths was not copied into models: {reason}.")
    return found


def _code(path: Path) -> list[str]:
    reason, text = _read(path)
    return [path.name, text if reason is None else "", reason or ""]


def _read(path: Path) -> tuple[str | None, str]:
    """Return why a file cannot be written down, or None, and its text."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return f"it cannot be read ({type(error).__name__})", ""
    lines = list(secret_lines(text))
    if not lines:
        return None, text
    where = ", ".join(map(str, lines[:_MANY])) + (", …" if len(lines) > _MANY else "")
    return f"it holds what looks like a secret (line {where}); read it from os.environ instead", ""


def _files(paths: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield each file to copy, and its path in a model."""
    for root in map(Path, paths):
        if root.is_file():
            yield root, root.name
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith(_NOT_COPIED))
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix != ".pyc" and not name.startswith("."):
                    yield path, path.relative_to(root.parent).as_posix()
