"""Tests of sending to a tracking server."""
