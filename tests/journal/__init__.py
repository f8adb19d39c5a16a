"""Tests of the journal: real files, real processes."""
