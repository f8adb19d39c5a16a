"""Records to lines in a file, and back."""
