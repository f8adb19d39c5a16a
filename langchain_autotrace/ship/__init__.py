"""Deliver traces from the journal to the store, usually in a separate process."""
