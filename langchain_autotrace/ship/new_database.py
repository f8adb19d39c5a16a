"""Make a new SQLite database, so that no other process ever sees a part of its tables."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Final

from langchain_autotrace.destination import sqlite_path
from langchain_autotrace.ship import template
from langchain_autotrace.ship.schema import settled_schema
from langchain_autotrace.ship.sqlite_file import artifact_root

_STALE_SECONDS: Final = 600.0


def prepare(uri: str) -> None:
    """Make the database of an SQLite URI if it is missing; wait if another process is making it.

    Raises:
        SinkUnavailable: the database cannot be read, or stays locked.
        OSError: its folder cannot be written.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    if not path.exists():
        _remove_stale(path)
        _make(uri, path)
    settled_schema(uri)


def _make(uri: str, path: Path) -> None:
    """Make the database under another name, and give it its own when it is complete."""
    name, mark, query = uri.partition("?")
    unfinished = f"{name}.{secrets.token_hex(4)}.part{mark}{query}"
    part = sqlite_path(unfinished)
    if part is None:
        return
    root = artifact_root(path.absolute())
    try:
        if not template.copy_to(unfinished, part, root):
            _make_by_mlflow(unfinished, part, root)
        _place(part, path)
    finally:
        part.unlink(missing_ok=True)


def _make_by_mlflow(uri: str, path: Path, root: str) -> None:
    from mlflow import __version__  # noqa: PLC0415 - slow, and needed once for each version
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415

    store = SqlAlchemyStore(uri, root)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    template.keep(uri, path, __version__)


def _place(part: Path, path: Path) -> None:
    """Give a file its name, unless another process has made a file of that name."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:  # the file system has no hard links
        if not path.exists():
            part.rename(path)


def _remove_stale(path: Path) -> None:
    """Remove what processes left that were killed while they were making the database."""
    left = re.compile(rf"{re.escape(path.name)}\.[0-9a-f]{{8}}\.part(-journal)?")
    for other in path.parent.iterdir():
        with contextlib.suppress(OSError):
            if left.fullmatch(other.name) and time.time() - other.stat().st_mtime > _STALE_SECONDS:
                other.unlink()
