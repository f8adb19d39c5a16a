"""Imports what programs need, in the process that they are forked from."""

from __future__ import annotations

from tests import imported

imported.for_programs()
