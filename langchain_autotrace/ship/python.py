"""How a process of this package is started: with which Python, and where that finds the package."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def interpreter() -> str:
    """This Python; servers that embed it (uWSGI) name themselves as the executable."""
    if "python" in Path(sys.executable or "").name.lower():
        return sys.executable
    return str(Path(sys.prefix, "bin", "python3"))


def search_path() -> str:
    """The child's PYTHONPATH: ours, and where this package is when it is not installed."""
    ours = str(Path(__file__).parent.parent.parent)
    named = os.environ.get("PYTHONPATH", "")
    absolute = [str(Path(part).absolute()) for part in named.split(os.pathsep) if part]
    return os.pathsep.join([*absolute, *([] if Path(ours).name.endswith("-packages") else [ours])])
