"""The package's tests."""
