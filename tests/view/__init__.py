"""Tests of the stage that reads."""
