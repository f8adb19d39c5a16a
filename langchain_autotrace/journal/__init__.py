"""Write records to files as JSON lines, and read them back."""
