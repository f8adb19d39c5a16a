"""From the journal to the store, in a process of its own."""
