"""Read why the store rejected traces, from the files that the shipper writes (``ship/rejected.py``)."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_autotrace.journal.folder import DestinationFolder


def rejections(folder: DestinationFolder) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id of each rejected trace with the first line of its file: ``reason``, ``process`` and ``time``."""
    for path in folder.rejected.glob("*.jsonl"):
        with contextlib.suppress(OSError, ValueError, TypeError):  # the file may have just been deleted
            with path.open("rb") as file:
                head = dict(json.loads(file.readline()))
            yield path.stem, head


def last_reason(folder: DestinationFolder, process: str) -> str | None:
    """Return why the last of a process's rejected traces was rejected; None when its file is gone."""
    heads = [head for _, head in rejections(folder) if head.get("process") == process]
    return str(max(heads, key=lambda head: head.get("time", 0.0)).get("reason")) if heads else None
