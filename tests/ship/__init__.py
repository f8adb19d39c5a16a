"""Tests of the shipper and its sinks: real files, real processes, a real store."""
