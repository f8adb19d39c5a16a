"""Facts of the running Python: how to start a process of this package, and whether it can still start threads."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def interpreter() -> str:
    """Return the path of this Python. ``sys.executable`` is another program in servers that embed Python (uWSGI)."""
    if "python" in Path(sys.executable or "").name.lower():
        return sys.executable
    return str(Path(sys.prefix, "bin", "python3"))


def search_path() -> str:
    """Return PYTHONPATH for a child process: this process's, plus this package's folder when it is not installed."""
    ours = str(Path(__file__).parent.parent.parent)
    named = os.environ.get("PYTHONPATH", "")
    absolute = [str(Path(part).absolute()) for part in named.split(os.pathsep) if part]
    return os.pathsep.join([*absolute, *([] if Path(ours).name.endswith("-packages") else [ours])])


def is_shutdown(error: RuntimeError) -> bool:
    """Return whether a thread was not started because the program is ending: Python 3.12 and later start none then."""
    return "interpreter shutdown" in str(error)
