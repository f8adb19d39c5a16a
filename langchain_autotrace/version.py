"""The package's version, from its installed metadata."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _version() -> str:
    try:
        return version("langchain-autotrace")
    except PackageNotFoundError:  # run from a source tree
        return "0.0.0"


__version__: Final = _version()
