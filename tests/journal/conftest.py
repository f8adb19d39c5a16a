"""Folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.journal.support import new_folder

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_autotrace.journal.folder import DestinationFolder


@pytest.fixture
def folder(tmp_path: Path) -> DestinationFolder:
    """A destination folder."""
    return new_folder(tmp_path)
