"""Tests of writing to a database in bulk."""
