"""Tests of reading the tables of a database."""
