"""Tests of the stage that captures."""
